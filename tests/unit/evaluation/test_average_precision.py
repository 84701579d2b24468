"""Protocols against the printed reference scores and a slow implementation."""

import json

import numpy as np
import pytest

from retrieval_core.errors import RankingError
from retrieval_core.evaluation import mean_average_precision, revisited_scores

SETUPS = {
    "easy": (["easy"], ["junk", "hard"]),
    "medium": (["easy", "hard"], ["junk"]),
    "hard": (["hard"], ["junk", "easy"]),
}


def slow_scores(ranking, ok, junk, kappas):
    """Average precision and precision@k of one query; missing answers are ranked last."""
    clean = [i for i in ranking if i != -1 and i not in junk]
    found = [rank for rank, image in enumerate(clean) if image in ok]
    average = 0.0
    for number, rank in enumerate(found):
        before = number / rank if rank else 1.0
        average += (before + (number + 1) / (rank + 1)) / 2 / len(ok)
    last = found[-1] + 1 if len(found) == len(ok) else float("inf")
    precisions = [sum(r < min(k, last) for r in found) / min(k, last) for k in kappas]
    return average, precisions


def random_case(rng, images, truncated):
    ids = rng.choice(10**12, images, replace=False)
    easy, hard, junk, _ = np.split(rng.permutation(ids), np.sort(rng.integers(0, images, 3)))
    truth = {"easy": easy.tolist(), "hard": hard.tolist(), "junk": junk.tolist()}
    ranking = rng.permutation(ids)
    if truncated:
        ranking[rng.integers(0, images + 1) :] = -1
    return ranking, truth


@pytest.mark.parametrize("truncated", [False, True])
def test_short_random_rankings_agree_with_the_definition(truncated):
    rng, kappas = np.random.default_rng(2), (1, 3, 5, 10)
    for images in (1, 2, 5, 12):
        cases = [random_case(rng, images, truncated) for _ in range(100)]
        ranks, truths = np.stack([r for r, _ in cases]), [t for _, t in cases]
        scores = revisited_scores(ranks, truths, kappas)
        for setup, (right, ignored) in SETUPS.items():
            averages = []
            for row, truth in enumerate(truths):
                ok = [i for name in right for i in truth[name]]
                junk = [i for name in ignored for i in truth[name]]
                if not ok:
                    assert np.isnan(scores[setup].average_precisions[row])
                    assert row in scores[setup].excluded
                    continue
                average, precisions = slow_scores(ranks[row], ok, junk, kappas)
                averages.append(average)
                assert scores[setup].average_precisions[row] == pytest.approx(average, abs=1e-12)
                np.testing.assert_allclose(scores[setup].precisions[row], precisions, atol=1e-12)
            if averages:
                assert scores[setup].map == pytest.approx(np.mean(averages), abs=1e-12)


def test_reference_scores(shared_parity):
    with np.load(shared_parity / "numerics.npz") as file:
        printed = dict(file)
    truth = json.loads(str(printed["gnd_json"]))
    ranks = printed["ranks"].T
    for setup, scores in revisited_scores(ranks, truth).items():
        for actual, name in (
            (scores.map, "map"),
            (scores.average_precisions, "ap"),
            (scores.precision_at, "mp@k"),
            (scores.precisions, "p@k"),
        ):
            expected = printed[f"revisited_{name}_{setup}"]
            np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9)
    old = [{"ok": t["easy"] + t["hard"], "junk": t["junk"]} for t in truth]
    scores = mean_average_precision(ranks, old)
    np.testing.assert_allclose(scores.map, printed["old_map"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(scores.average_precisions, printed["old_aps"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(scores.precision_at, printed["old_pr"], rtol=0, atol=1e-9)


def test_a_perfect_ranking_scores_one_wherever_the_junk_is():
    truth = [{"ok": [4, 2], "junk": [9, 8]}]
    for ranking in ([4, 2, 9, 8, 1], [9, 4, 8, 2, 1], [8, 9, 2, 4, 1]):
        scores = mean_average_precision([ranking], truth)
        assert scores.map == 1
        assert scores.precision_at.tolist() == [1, 1, 1]


def test_junk_may_be_absent_from_the_ground_truth():
    assert mean_average_precision([[1, 2]], [{"ok": [2]}]).map == 0.25


def test_answers_that_were_not_retrieved_count_as_ranked_last():
    truth = [{"ok": [4, 2], "junk": []}]
    scores = mean_average_precision([[4, 7, -1, -1]], truth, kappas=(1, 5))
    assert scores.map == 0.5
    assert scores.precision_at.tolist() == [1, 0.2]
    nothing = mean_average_precision([[-1, -1]], truth)
    assert (nothing.map, nothing.precision_at.tolist()) == (0, [0, 0, 0])
    assert mean_average_precision(np.empty((1, 0), int), truth).map == 0


def test_queries_without_right_answers_are_left_out_and_listed():
    truth = [{"ok": [1], "junk": []}, {"ok": [], "junk": [2]}]
    scores = mean_average_precision([[1, 2], [1, 2]], truth)
    assert scores.map == 1
    assert scores.excluded.tolist() == [1]
    assert np.isnan(scores.precisions[1]).all()
    assert np.isnan(mean_average_precision([[1, 2]], truth[1:]).map)


@pytest.mark.parametrize("ranks", [[[1, 2], [3, 4]], [1, 2], [[0.5, 1.0]]])
def test_rankings_that_do_not_fit_are_refused(ranks):
    with pytest.raises(RankingError, match=r"expected whole numbers of shape \(1, N\)"):
        mean_average_precision(ranks, [{"ok": [1], "junk": []}])
