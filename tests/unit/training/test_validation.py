"""Leave-one-out mean average precision against loops."""

import dataclasses

import numpy as np
import pytest

from retrieval_core.training import validation
from retrieval_core.training.validation import leave_one_out_map, validate


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


def test_equals_loops(monkeypatch):
    monkeypatch.setattr(validation, "BLOCK", 11)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 5)).astype(np.float32)
    labels = rng.integers(-1, 9, 40)
    assert leave_one_out_map(vectors, labels) == pytest.approx(slow_map(vectors, labels))


def test_perfect_descriptors_score_one():
    labels = np.array([0, 0, 1, 1, -1])
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2]]
    assert leave_one_out_map(vectors, labels) == 1.0


@pytest.mark.parametrize("labels", [[], [0], [0, 1, 2], [-1, -1]])
def test_nothing_to_score_is_none(labels):
    vectors = np.zeros((len(labels), 3), dtype=np.float32)
    assert leave_one_out_map(vectors, np.array(labels, dtype=np.int64)) is None


def test_only_the_val_split_is_scored(rows, reader, model):
    assert 0 < validate(model, rows, reader) <= 1
    training = [row for row in rows if row.split == "train"]
    assert validate(model, training, reader) is None
    unlabelled = [dataclasses.replace(row, label="") for row in rows]
    assert validate(model, unlabelled, reader) is None
