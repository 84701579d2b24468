"""Batches by size, and the reader under them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval_core.training import descriptors
from retrieval_core.training.descriptors import batches, global_descriptors, group_by_shape


def test_groups_keep_positions_by_shape():
    images = [torch.zeros(3, *shape) for shape in [(4, 5), (5, 4), (4, 5), (4, 4)]]
    assert group_by_shape(images) == [[0, 2], [1], [3]]


def test_batches_cover_every_image_once_with_one_size_each(rows, reader):
    seen = Counter()
    for positions, images in batches(rows, reader):
        assert len(positions) == len(images) <= descriptors.BATCH
        seen.update(positions)
    assert seen == Counter(range(len(rows)))


def test_few_images_wait_at_a_time(rows, reader, monkeypatch):
    monkeypatch.setattr(descriptors, "MAX_WAITING", 4)
    found = list(batches(rows, reader))
    assert sorted(i for positions, _ in found for i in positions) == list(range(len(rows)))
    assert max(len(positions) for positions, _ in found) <= 4


def test_descriptors_equal_those_of_single_images(rows, reader, model):
    found, vectors = global_descriptors(model, rows, reader)
    assert found == rows
    for image, vector in zip(reader.stream(rows), vectors, strict=True):
        with torch.inference_mode():
            np.testing.assert_allclose(model(image[None])[0].numpy(), vector, atol=1e-5)


def test_unreadable_images_are_left_out_and_told(rows, reader, model):
    Path(rows[3].path).write_bytes(b"")
    Path(rows[5].path).unlink()
    found, vectors = global_descriptors(model, rows, reader)
    assert [row.image_id for row in found] == [i for i in range(len(rows)) if i not in (3, 5)]
    assert vectors.shape == (len(rows) - 2, model.global_dim)
    reasons = {entry["image_id"]: entry["reason"] for entry in reader.excluded}
    assert reasons == {3: "empty", 5: "missing"}


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_image(rows, reader, model, count):
    found, vectors = global_descriptors(model, rows[:count], reader)
    assert len(found) == len(vectors) == count
