"""Vectors for the whitening's PCA."""

from pathlib import Path

import pytest
import torch
from training_subject import CONFIG, TinyNetwork

from retrieval_core.errors import DatasetError, TooManyExclusionsError
from retrieval_core.training import initialise_whitening, whitening


class LocalTiny(TinyNetwork):
    """Gives every cell of the map, strongest first."""

    @torch.inference_mode()
    def whitening_inputs(self, images):
        cells = self.features(images).flatten(2).transpose(1, 2)
        order = cells.norm(dim=2).argsort(dim=1, descending=True)
        return cells.gather(1, order[..., None].expand_as(cells)).flatten(0, 1)


def test_takes_training_images_up_to_the_number(rows, model):
    config = CONFIG.model_copy(update={"whitening_images": 10})
    seen = []
    report = initialise_whitening(
        model, rows, config, seed=0, progress=lambda done, total: seen.append((done, total))
    )
    assert (report.images, report.vectors, report.excluded) == (10, 10, [])
    assert model.vectors.shape == (10, 16)
    assert seen[-1] == (10, 10)
    assert initialise_whitening(model, rows, CONFIG, seed=0).images == 24


def test_keeps_the_strongest_vectors_of_each_image(rows, monkeypatch):
    model = LocalTiny()
    monkeypatch.setattr(whitening, "VECTORS_PER_IMAGE", 5)
    report = initialise_whitening(model, rows[:1], CONFIG, seed=0)
    kept = model.vectors.norm(dim=1)
    monkeypatch.setattr(whitening, "VECTORS_PER_IMAGE", 10_000)
    initialise_whitening(model, rows[:1], CONFIG, seed=0)
    everything = model.vectors.norm(dim=1)
    assert report.vectors == 5 < len(everything)
    torch.testing.assert_close(kept, everything.sort(descending=True).values[:5])


def test_memory_bounds_the_vectors(rows, monkeypatch):
    monkeypatch.setattr(whitening, "MAX_BYTES", 24 * 3 * 16 * 4)
    assert initialise_whitening(LocalTiny(), rows, CONFIG, seed=0).vectors == 24 * 3


def test_the_draw_depends_on_the_seed_alone(rows, model):
    config = CONFIG.model_copy(update={"whitening_images": 6})
    drawn = []
    for seed in (0, 0, 1):
        initialise_whitening(model, rows, config, seed=seed)
        drawn.append(model.vectors.clone())
    torch.testing.assert_close(drawn[0], drawn[1], rtol=0, atol=0)
    assert not torch.equal(drawn[0], drawn[2])


def test_unreadable_images_are_told(rows, model):
    Path(rows[2].path).write_bytes(b"no image")
    config = CONFIG.model_copy(update={"max_excluded": 0.1})
    report = initialise_whitening(model, rows, config, seed=0)
    assert report.images == 23
    assert report.excluded == [{"image_id": 2, "path": rows[2].path, "reason": "unreadable"}]
    with pytest.raises(TooManyExclusionsError):
        initialise_whitening(model, rows, CONFIG, seed=0)


def test_no_training_image_is_refused(rows, model):
    with pytest.raises(DatasetError, match="train"):
        initialise_whitening(model, [r for r in rows if r.split == "val"], CONFIG, seed=0)


def test_too_few_vectors_are_refused(rows, model):
    Path(rows[0].path).write_bytes(b"no image")
    tolerant = CONFIG.model_copy(update={"max_excluded": 1.0})
    with pytest.raises(DatasetError, match="0 readable of 1 training images gave 0"):
        initialise_whitening(model, rows[:1], tolerant, seed=0)
