"""Views of training images: seeded, within the ranges asked for."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from retrieval_core.config import AugmentationConfig
from retrieval_core.data.augmentation import Augmentation, draw_crop


@pytest.fixture
def pixels():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 40, 80), np.uint8))


def view(pixels, seed=0, flip=0.0, **settings):
    config = AugmentationConfig(**{"side": 32, **settings})
    return Augmentation(config, flip)(pixels, np.random.default_rng(seed))


@pytest.mark.parametrize("shape", [(3, 40, 80), (3, 9, 200), (3, 32, 32), (3, 12, 10)])
def test_crops_become_squares(shape):
    found = view(torch.zeros(shape, dtype=torch.uint8))
    assert found.shape == (3, 32, 32)
    assert found.dtype == torch.uint8


def test_whole_images_are_left_as_they_are(pixels):
    assert torch.equal(view(pixels, crop=False), pixels)


def test_the_generator_decides_everything(pixels):
    settings = {"flip": 0.5, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1}
    first, same = view(pixels, **settings), view(pixels, **settings)
    state = torch.get_rng_state()
    other = view(pixels, seed=1, **settings)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_mirroring(pixels):
    assert torch.equal(view(pixels, crop=False, flip=1.0), pixels.flip(2))


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_jitter_changes_colours_only_where_asked(pixels, name):
    assert not torch.equal(view(pixels, crop=False, **{name: 0.4}), pixels)


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
        ({"side": 16}, "side"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        AugmentationConfig(**settings)
