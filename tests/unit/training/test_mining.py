"""The tuples of an epoch."""

from pathlib import Path

import numpy as np
import pytest
from training_subject import CONFIG

from retrieval_core.errors import TooManyExclusionsError
from retrieval_core.training.mining import mine_tuples


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
