"""Hard negatives against a sort of everything."""

from pathlib import Path

import numpy as np
import pytest
from training_subject import CONFIG

from retrieval_core.errors import TooManyExclusionsError
from retrieval_core.training import mining
from retrieval_core.training.mining import hardest_negatives, mine_tuples


def slow_negatives(query, own, pool, labels, count):
    """The published rule: walk the full ranking, one image per label; then fill up."""
    ranked = np.argsort(-(pool @ query), kind="stable")
    chosen, seen = [], {own}
    for i in ranked:
        if labels[i] not in seen and len(chosen) < count:
            chosen.append(i)
            seen.add(labels[i])
    rest = [i for i in ranked if labels[i] != own and i not in chosen]
    return chosen + rest[: count - len(chosen)]


@pytest.mark.parametrize("count", [1, 4, 5, 9, 200])
def test_equals_the_walk_down_the_ranking(monkeypatch, count):
    monkeypatch.setattr(mining, "BLOCK", 7)
    rng = np.random.default_rng(0)
    pool = rng.standard_normal((60, 8)).astype(np.float32)
    labels = rng.integers(0, 6, 60) * 10
    queries = rng.standard_normal((20, 8)).astype(np.float32)
    own = rng.integers(0, 8, 20) * 10  # some labels are not in the pool
    found = list(hardest_negatives(queries, own, pool, labels, count))
    for query, label, actual in zip(queries, own, found, strict=True):
        assert actual.tolist() == slow_negatives(query, label, pool, labels, count)


def test_a_pool_of_the_query_label_alone_gives_no_negative():
    pool = np.eye(3, dtype=np.float32)
    (found,) = hardest_negatives(pool[:1], np.array([4]), pool, np.array([4, 4, 4]), 2)
    assert len(found) == 0


def test_tuples_of_an_epoch(catalogue, model, reader):
    tuples = mine_tuples(model, catalogue, CONFIG, reader, np.random.default_rng(0))
    assert len(tuples) == CONFIG.queries
    for member in tuples:
        assert member.query.label == member.positive.label
        labels = [row.label for row in member.negatives]
        assert len(set(labels)) == len(labels) == CONFIG.mining.negatives
        assert member.query.label not in labels
        assert all(row.split == "train" for row in member.images)
    again = mine_tuples(model, catalogue, CONFIG, reader, np.random.default_rng(0))
    assert tuples == again


def test_unreadable_queries_and_negatives_are_left_out(rows, catalogue, model, reader):
    Path(rows[0].path).write_bytes(b"no image")
    config = CONFIG.model_copy(
        update={"queries": 24, "mining": CONFIG.mining.model_copy(update={"pool": 24})}
    )
    tuples = mine_tuples(model, catalogue, config, reader, np.random.default_rng(0))
    assert len(tuples) == 23
    assert all(t.query.image_id != 0 for t in tuples)
    assert all(row.image_id != 0 for t in tuples for row in t.negatives)
    assert [entry["image_id"] for entry in reader.excluded] == [0]


def test_too_many_unreadable_images_stop_the_mining(rows, catalogue, model, reader):
    for row in rows[:4]:
        Path(row.path).write_bytes(b"")
    with pytest.raises(TooManyExclusionsError, match="4 of 32 images"):
        mine_tuples(
            model,
            catalogue,
            CONFIG.model_copy(update={"queries": 24}),
            reader,
            np.random.default_rng(0),
        )
