import numpy as np
import pytest

from retrieval_core.errors import RankingError
from retrieval_core.evaluation.comparison import compare_scores
from retrieval_core.evaluation.report import Scores
from retrieval_core.evaluation.review import ReviewedRun, ScoredDescriptor, review_runs
from retrieval_core.search.ranking import empty_ranking


def scores(*precisions, setup="all", first=0):
    queries = list(range(first, first + len(precisions)))
    return Scores({"map": 0.0}, {}, {setup: list(precisions)}, queries, [])


def run(name, found, digest="d1", descriptor="global", **settings):
    scored = ScoredDescriptor(found, empty_ranking(found.query_ids, 1))
    return ReviewedRun(name, f"/{name}", digest, settings, {descriptor: scored})


def test_wins_ties_and_losses_are_counted():
    (pair,) = compare_scores(scores(0.1, 0.5, 0.9, 0.3), scores(0.2, 0.5 + 1e-12, 0.4, 0.6))
    assert pair.counts == {"wins": 2, "ties": 1, "losses": 1}
    assert pair.means == pytest.approx((0.45, 0.425))
    assert pair.difference.mean == pytest.approx(-0.025)
    assert pair.extremes(5, wins=True) == [3, 0]
    assert pair.extremes(5, wins=False) == [2]
    assert pair.verdict == "within chance"


def test_rounding_is_no_gain():
    first = [n / 40 for n in range(40)]
    (pair,) = compare_scores(scores(*first), scores(*(score + 1e-12 for score in first)))
    assert (pair.counts["ties"], pair.p_value, pair.difference.high) == (40, 1.0, 0.0)
    assert pair.verdict == "within chance"


def test_queries_without_positives_are_in_neither_mean():
    (pair,) = compare_scores(scores(0.1, None, 0.5), scores(0.3, None, 0.5))
    assert pair.query_ids.tolist() == [0, 2]
    assert pair.left_out == 0


def test_runs_are_paired_on_the_queries_they_share():
    (pair,) = compare_scores(scores(0.1, 0.2, 0.3), scores(0.5, 0.6, None, 0.7, first=1))
    assert pair.query_ids.tolist() == [1, 2]
    assert pair.before.tolist() == [0.2, 0.3]
    assert pair.after.tolist() == [0.5, 0.6]
    assert pair.left_out == 2


def test_a_gain_of_every_query_is_clear():
    before = np.linspace(0.1, 0.5, 10)
    (pair,) = compare_scores(scores(*before), scores(*(before + 0.1)))
    assert pair.verdict == "clear gain"
    assert pair.difference.low > 0
    assert pair.p_value == 2 / 2**10


def test_few_queries_are_never_clear():
    (pair,) = compare_scores(scores(0.1, 0.2, 0.3), scores(0.0, 0.1, 0.2))
    assert pair.difference.high < 0, "the interval alone would call it clear"
    assert pair.verdict == "within chance"


def test_setups_come_in_the_order_of_the_protocol():
    three = {"hard": [0.1, None], "medium": [0.2, 0.4], "easy": [None, None]}
    found = Scores({}, {}, three, [4, 7], [])
    assert [pair.setup for pair in compare_scores(found, found)] == ["medium", "hard"]


def test_recall_is_compared_too():
    before, after = scores(*[0.5] * 8), scores(*[0.5] * 8)
    before.query_scores.update({"recall@1": [0.0] * 7 + [None], "map@r": [0.5] * 8})
    after.query_scores.update({"recall@1": [1.0] * 7 + [None], "recall@5": [1.0] * 8})
    precision, recall = compare_scores(before, after)
    assert [precision.metric, recall.metric] == ["map", "recall@1"]
    assert precision.of_precisions
    assert not recall.of_precisions
    assert recall.means == (0, 1)
    assert recall.counts == {"wins": 7, "ties": 0, "losses": 0}
    assert recall.p_value == 2 / 2**7
    assert recall.verdict == "clear gain"


def test_other_protocols_and_disjoint_queries_are_refused():
    with pytest.raises(RankingError, match=r"all.*medium"):
        compare_scores(scores(0.1), scores(0.1, setup="medium"))
    with pytest.raises(RankingError, match="no scored query in common"):
        compare_scores(scores(0.1), scores(0.1, first=5))


def test_every_run_is_paired_with_the_first():
    review = review_runs(
        [run(name, scores(0.1, value)) for name, value in zip("xyz", (0.2, 0.3, 0.1), strict=True)]
    )
    assert [pairing.number for pairing in review.pairings] == [1, 2]
    changes = [pairing.main.difference.mean for pairing in review.pairings]
    assert changes == pytest.approx([0.05, -0.05])


def test_only_settings_that_differ_are_listed():
    runs = [
        run("a", scores(0.1), asmk={"alpha": 3.0, "binary": True}, seed=0),
        run("b", scores(0.1), asmk={"alpha": 1.0, "binary": True}, seed=0),
        run("c", scores(0.1), asmk={"alpha": 1.0}),
    ]
    assert review_runs(runs).differences == {"asmk.alpha": [3.0, 1.0, 1.0]}


def test_datasets_are_named_by_their_digests():
    with pytest.raises(RankingError, match=r"aaaa.*bbbb"):
        review_runs([run("x", scores(0.1), "aaaa"), run("y", scores(0.1), "bbbb")])


def test_protocols_are_named_with_the_dataset():
    with pytest.raises(RankingError, match="x and y on the dataset d1: protocols differ"):
        review_runs([run("x", scores(0.1)), run("y", scores(0.1, setup="hard"))])


def test_one_run_or_no_common_descriptor_is_refused():
    with pytest.raises(RankingError, match="2 to 26"):
        review_runs([run("x", scores(0.1))])
    with pytest.raises(RankingError, match="no descriptor in common: global and asmk"):
        review_runs([run("x", scores(0.1)), run("y", scores(0.1), descriptor="asmk")])
