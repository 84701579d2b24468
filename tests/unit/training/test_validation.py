"""Leave-one-out mean average precision against loops."""

import dataclasses

import numpy as np
import pytest
from training_subject import as_catalogue

from retrieval_core.data.catalogue import QueryTruth, label_truth
from retrieval_core.evaluation.average_precision import mean_average_precision
from retrieval_core.training import validation
from retrieval_core.training.validation import leave_one_out_scores, listed_truth_scores, validate


def slow_map(vectors, labels):
    precisions = []
    for query, label in enumerate(labels):
        positives = {i for i, other in enumerate(labels) if other == label and i != query}
        if label < 0 or not positives:
            continue
        ranking = [i for i in np.argsort(-(vectors @ vectors[query]), kind="stable") if i != query]
        hits, total = 0, 0.0
        for rank, i in enumerate(ranking):
            if i in positives:
                before = hits / rank if rank else 1.0
                hits += 1
                total += (before + hits / (rank + 1)) / 2
        precisions.append(total / len(positives))
    return float(np.mean(precisions))


def slow_recall(vectors, labels):
    similarity = vectors @ vectors.T - 9 * np.eye(len(labels))
    asked = [i for i, label in enumerate(labels) if label >= 0 and (labels == label).sum() > 1]
    return np.mean([labels[similarity[i].argmax()] == labels[i] for i in asked])


def test_equals_loops(monkeypatch):
    monkeypatch.setattr(validation, "BLOCK", 11)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 5)).astype(np.float32)
    labels = rng.integers(-1, 9, 40)
    found = leave_one_out_scores(vectors, labels)
    assert found == pytest.approx((slow_map(vectors, labels), slow_recall(vectors, labels)))


def test_perfect_descriptors_score_one():
    labels = np.array([0, 0, 1, 1, -1])
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2]]
    assert leave_one_out_scores(vectors, labels) == (1.0, 1.0)


@pytest.mark.parametrize("labels", [[], [0], [0, 1, 2], [-1, -1]])
def test_nothing_to_score_is_none(labels):
    vectors = np.zeros((len(labels), 3), dtype=np.float32)
    assert leave_one_out_scores(vectors, np.array(labels, dtype=np.int64)) is None


def test_only_the_val_split_is_scored(rows, reader, model):
    scores = validate(model, as_catalogue(rows), reader)
    assert 0 < scores.map <= 1
    assert 0 <= scores.recall <= 1
    training = [row for row in rows if row.split == "train"]
    assert validate(model, as_catalogue(training), reader) is None
    unlabelled = [dataclasses.replace(row, label="") for row in rows]
    assert validate(model, as_catalogue(unlabelled), reader) is None


def test_listed_right_answers_come_before_labels(rows, reader, model):
    val = [row for row in rows if row.split == "val"]
    by_label = validate(model, as_catalogue(rows), reader)
    same = as_catalogue(rows, val_truth=label_truth(val))
    assert validate(model, same, reader) == pytest.approx(by_label)
    # the most similar of a pair's images is the query itself
    itself = (QueryTruth(val[0].image_id, (val[0].image_id,), (), ()),)
    assert validate(model, as_catalogue(rows, val_truth=itself), reader) == (1.0, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_listed_right_answers_are_scored_as_the_evaluation_scores_them(monkeypatch, seed):
    monkeypatch.setattr(validation, "BLOCK", 3)
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((30, 4)).astype(np.float32)
    ids = rng.permutation(100)[:30].tolist()  # the other 70 images have no vector
    truth = []
    for query in ids[:8]:
        right, junk = np.split(rng.permutation(100)[:25], [rng.integers(0, 15)])
        truth.append(QueryTruth(query, tuple(right), (), tuple(junk)))
    similarity = vectors[:8] @ vectors.T
    ranks = np.array(ids)[np.argsort(-similarity, axis=1, kind="stable")]
    expected = mean_average_precision(ranks, [{"ok": t.easy, "junk": t.junk} for t in truth])
    assert listed_truth_scores(vectors, ids, truth).map == pytest.approx(expected.map)


def test_listed_queries_that_cannot_be_scored_are_left_out():
    vectors = np.eye(3, dtype=np.float32)
    assert listed_truth_scores(vectors, [5, 6, 7], [QueryTruth(5, (), (), (6,))]) is None
    assert listed_truth_scores(vectors, [5, 6, 7], [QueryTruth(8, (5,), (), ())]) is None
