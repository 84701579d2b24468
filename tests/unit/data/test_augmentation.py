"""Views of training images: squares, seeded, within the ranges asked for."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from retrieval_core.config import AugmentationConfig
from retrieval_core.data.augmentation import Augmentation, draw_crop

MEAN = (0.5, 0.25, 0.75)


@pytest.fixture
def pixels():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 40, 80), np.uint8))


def view(pixels, seed=0, flip=0.0, **settings):
    config = AugmentationConfig(**{"side": 32, **settings})
    return Augmentation(config, flip, MEAN)(pixels, np.random.default_rng(seed))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(3, 40, 80), (3, 9, 200), (3, 32, 32), (3, 12, 10)])
def test_images_become_squares(fit, shape):
    found = view(torch.zeros(shape, dtype=torch.uint8), fit=fit)
    assert found.shape == (3, 32, 32)
    assert found.dtype == torch.uint8


def test_padding_keeps_the_shape_and_shows_the_mean_colour(pixels):
    found = view(pixels, fit="pad")
    colour = torch.tensor([128, 64, 191], dtype=torch.uint8)
    assert (found[:, :8] == colour[:, None, None]).all()
    assert (found[:, 24:] == colour[:, None, None]).all()
    small = torch.full((3, 10, 20), 7, dtype=torch.uint8)
    found = view(small, fit="pad")
    assert (found == 7).all(dim=0).sum() == 16 * 32  # as large as the square allows


def test_the_generator_decides_everything(pixels):
    settings = {"flip": 0.5, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1}
    first, same = view(pixels, **settings), view(pixels, **settings)
    state = torch.get_rng_state()
    other = view(pixels, seed=1, **settings)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_mirroring(pixels):
    plain = view(pixels, fit="stretch")
    assert torch.equal(view(pixels, fit="stretch", flip=1.0), plain.flip(2))
    assert torch.equal(view(pixels, fit="stretch", flip=0.0), plain)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_jitter_changes_colours_only_where_asked(pixels, name):
    plain = view(pixels, fit="stretch")
    assert not torch.equal(view(pixels, fit="stretch", **{name: 0.4}), plain)


def test_crops_keep_to_their_ranges():
    config = AugmentationConfig(scale=(0.3, 0.6), ratio=(0.8, 1.25))
    rng = np.random.default_rng(0)
    for _ in range(300):
        top, left, h, w = draw_crop(100, 120, config, rng)
        assert 0 <= top <= 100 - h
        assert 0 <= left <= 120 - w
        assert 0.28 < h * w / 12_000 < 0.62
        assert 0.78 < w / h < 1.28


def test_a_shape_that_no_crop_fits_gives_its_middle():
    config = AugmentationConfig(scale=(0.9, 1.0))
    assert draw_crop(10, 200, config, np.random.default_rng(0)) == (0, 93, 10, 13)
    assert draw_crop(200, 10, config, np.random.default_rng(0)) == (93, 0, 13, 10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": (0.5, 0.2)}, "scale must ascend"),
        ({"scale": (0.5, 1.2)}, "must not exceed 1"),
        ({"ratio": (2.0, 1.0)}, "ratio must ascend"),
        ({"scale": (0.0, 1.0)}, "scale"),
        ({"fit": "squash"}, "fit"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        AugmentationConfig(**settings)
