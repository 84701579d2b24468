import json

import numpy as np
import pytest

from retrieval_core.config import EvaluationConfig
from retrieval_core.data.catalogue import Catalogue, ImageRow, QueryTruth
from retrieval_core.errors import RankingError
from retrieval_core.evaluation import Scores, evaluate_ranking
from retrieval_core.search import Ranking

CONFIG = EvaluationConfig(kappas=(1, 2), bootstrap=200)


def row(image_id, label, role="database"):
    return ImageRow(image_id, f"/images/{image_id}.jpg", label, "test", role)


def catalogue(truth, *, revisited):
    labels = ["a", "a", "b", "c"]
    queries = [row(100 + i, label, "query") for i, label in enumerate(labels[: len(truth)])]
    database = [row(i, "a") for i in range(8)]
    return Catalogue("toy", (*database, *queries), tuple(truth), revisited)


def ranking(query_ids, ids):
    ids = np.array(ids)
    return Ranking(np.array(query_ids), ids, np.zeros(ids.shape, np.float32))


OLD = catalogue(
    [
        QueryTruth(100, (1, 2), (), (7,)),
        QueryTruth(101, (3,), (), ()),
        QueryTruth(102, (4,), (), ()),
        QueryTruth(103, (), (), ()),
    ],
    revisited=False,
)
OLD_IDS = [[7, 1, 2], [0, 3, 1], [5, 6, 0], [1, 2, 3]]


def test_the_old_protocol():
    scores = evaluate_ranking(ranking([100, 101, 102, 103], OLD_IDS), OLD, CONFIG)
    assert scores.average_precisions == {"all": [1, 0.25, 0, None]}
    assert scores.excluded_queries == [103]
    assert scores.query_ids == [100, 101, 102, 103]
    assert scores.metrics == pytest.approx(
        {
            "map": 1.25 / 3,
            "map_over_labels": (1.25 / 2 + 0) / 2,
            "precision@1": 1 / 3,
            "precision@2": (1 + 0.5) / 3,
            "recall@1": 1 / 3,
            "recall@2": 2 / 3,
            # without its junk, the first query has both answers first
            "map@r": 1 / 3,
            "precision@r": 1 / 3,
        }
    )
    assert scores.query_scores["recall@2"] == [1, 1, 0, None]
    assert scores.query_scores["precision@r"] == [1, 0, 0, None]
    assert scores.by_label == {
        "a": {"queries": 2, "map": 0.625, "recall@1": 0.5, "recall@2": 1, "map@r": 0.5,
              "precision@r": 0.5},
        "b": {"queries": 1, "map": 0, "recall@1": 0, "recall@2": 0, "map@r": 0, "precision@r": 0},
    }  # fmt: skip
    low, high = scores.intervals["map"]
    assert 0 <= low < scores.metrics["map"] < high <= 1
    assert set(scores.intervals) == set(scores.metrics) - {"map_over_labels"}


def test_the_revisited_protocol():
    truth = [QueryTruth(100, (1,), (2,), (7,)), QueryTruth(101, (3,), (), ())]
    scores = evaluate_ranking(
        ranking([100, 101], [[7, 2, 1], [3, 0, 1]]), catalogue(truth, revisited=True), CONFIG
    )
    assert scores.average_precisions == {
        "easy": [1, 1],
        "medium": [1, 1],
        "hard": [1, None],
    }
    assert scores.excluded_queries == []
    assert scores.metrics["map"] == scores.metrics["map_medium"]
    assert scores.intervals["map"] == scores.intervals["map_medium"]
    assert {"map_easy", "map_hard", "precision@2_hard", "recall@1"} <= set(scores.metrics)
    assert not {"map@r", "precision@r"} & set(scores.metrics)
    assert scores.query_scores == {}


def test_a_setup_without_any_right_answer_is_left_out_of_the_metrics():
    truth = [QueryTruth(100, (1,), (), ())]
    scores = evaluate_ranking(ranking([100], [[1, 2]]), catalogue(truth, revisited=True), CONFIG)
    assert "map_hard" not in scores.metrics
    assert scores.average_precisions["hard"] == [None]


def test_queries_may_come_in_any_order_and_unranked_ones_score_zero():
    whole = evaluate_ranking(ranking([100, 101, 102, 103], OLD_IDS), OLD, CONFIG)
    order = [3, 0, 1]
    part = ranking([100 + i for i in order], [OLD_IDS[i] for i in order])
    assert evaluate_ranking(part, OLD, CONFIG) == whole


def test_scores_survive_json():
    scores = evaluate_ranking(ranking([100, 101, 102, 103], OLD_IDS), OLD, CONFIG)
    text = json.dumps(scores.to_dict(), allow_nan=False)
    assert Scores.from_dict(json.loads(text)) == scores


def test_the_bootstrap_can_be_switched_off_and_is_seeded():
    ranked = ranking([100, 101, 102, 103], OLD_IDS)
    off = EvaluationConfig(kappas=(1,), bootstrap=0)
    assert evaluate_ranking(ranked, OLD, off).intervals == {}
    assert evaluate_ranking(ranked, OLD, CONFIG, seed=3) == evaluate_ranking(
        ranked, OLD, CONFIG, seed=3
    )


def test_a_query_of_another_dataset_is_refused():
    with pytest.raises(RankingError, match=r"\[55\].*toy"):
        evaluate_ranking(ranking([55], [[1]]), OLD, CONFIG)


def test_a_dataset_without_right_answers_is_refused():
    nothing = catalogue([QueryTruth(100, (), (), (1,))], revisited=False)
    with pytest.raises(RankingError, match="toy: no query has a right answer"):
        evaluate_ranking(ranking([100], [[1]]), nothing, CONFIG)
