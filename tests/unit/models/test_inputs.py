"""Images of other sizes than a network's."""

import pytest
import torch

from retrieval_core.config import InputConfig, ModelConfig
from retrieval_core.errors import ConfigError, ModelInputError
from retrieval_core.models import RetrievalModel, build_model
from retrieval_core.models.inputs import fit_images


def network(
    backbone: str, size: int | None, fit: str = "pad", **settings: object
) -> RetrievalModel:
    return build_model(
        ModelConfig(
            method="embedding",
            backbone=backbone,
            dim=8,
            input=InputConfig(size=size, fit=fit),
            **settings,
        )
    )


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 80, 60, generator=torch.Generator().manual_seed(0))


def test_smaller_images_are_centred_on_the_mean_colour(images: torch.Tensor) -> None:
    padded = fit_images(images, 101, "pad")
    assert padded.shape == (2, 3, 101, 101)
    torch.testing.assert_close(padded[:, :, 10:90, 20:80], images)
    assert padded.count_nonzero() == images.count_nonzero()


def test_larger_images_are_shrunk_and_keep_their_aspect() -> None:
    padded = fit_images(torch.ones(1, 3, 80, 60), 40, "pad")
    assert padded.shape == (1, 3, 40, 40)
    assert (padded[0, 0] != 0).any(dim=0).sum() == 30
    torch.testing.assert_close(padded[:, :, :, 5:35], torch.ones(1, 3, 40, 30))


@pytest.mark.parametrize("shape", [(3, 20, 50), (3, 300, 120)])
def test_preparation_fills_the_square(shape: tuple[int, ...]) -> None:
    pixels = torch.full(shape, 255, dtype=torch.uint8)
    padded = network("resnet18", 60).prepare(pixels)
    assert padded.shape == (3, 60, 60)
    assert int((padded != 0).all(dim=0).sum()) == 60 * 24
    torch.testing.assert_close(
        padded[:, 30, 30], torch.tensor([2.2489, 2.4286, 2.64]), atol=1e-4, rtol=0
    )
    stretched = network("resnet18", 60, "stretch").prepare(pixels)
    torch.testing.assert_close(stretched, padded[:, 30:31, 30:31].expand(3, 60, 60))
    with pytest.raises(ModelInputError, match="for a network of 60 x 60"):
        network("resnet18", 60, "refuse").prepare(pixels)
    assert network("resnet18", None).prepare(pixels).shape == shape


def test_very_long_images_keep_a_row() -> None:
    assert fit_images(torch.ones(1, 3, 8, 4000), 32, "pad").amax() == 1


def test_stretching(images: torch.Tensor) -> None:
    assert fit_images(images, 32, "stretch").shape == (2, 3, 32, 32)
    flat = fit_images(torch.ones(1, 3, 20, 70), 32, "stretch")
    torch.testing.assert_close(flat, torch.ones(1, 3, 32, 32))


def test_refusal_names_both_sizes(images: torch.Tensor) -> None:
    model = network("test_vit", 32, "refuse")
    assert model(images[:, :, :32, :32]).shape == (2, 8)
    with pytest.raises(ModelInputError, match="60 x 80 pixels for a network of 32 x 32"):
        model(images)


def test_right_size_is_left_alone() -> None:
    image = torch.randn(1, 3, 32, 32)
    assert all(fit_images(image, 32, fit) is image for fit in ("pad", "stretch", "refuse"))


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_fixed_transformer_describes_images_of_any_size(fit: str, images: torch.Tensor) -> None:
    model = network("test_vit", 48, fit)
    vectors = model.extract_global(images, scales=(1.0, 0.5, 1.5), power=2.0)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    fitted = fit_images(images, 48, fit)
    torch.testing.assert_close(model(images), model(fitted))


def test_a_smaller_scale_lies_amid_more_padding(images: torch.Tensor) -> None:
    model = network("test_vit", 96)
    half = torch.nn.functional.interpolate(images, scale_factor=0.5, mode="bilinear")
    expected = model(fit_images(half, 96, "pad"))
    torch.testing.assert_close(model.extract_global(images, scales=(0.5,)), expected)


@pytest.mark.parametrize("size", [64, 100])
def test_swin_v2_of_any_size(size: int, images: torch.Tensor) -> None:
    model = network("swinv2_tiny_window8_256", size, skip_layer=1)
    assert model.input_size == size
    side = -(-size // 16)
    assert model.feature_maps(images).shape == (2, 384, side, side)
    torch.testing.assert_close(model(images).norm(dim=1), torch.ones(2))


def test_swin_v2_without_a_size_takes_what_comes(images: torch.Tensor) -> None:
    model = network("swinv2_tiny_window8_256", None, skip_layer=1)
    assert model.input_size is None
    assert model.feature_maps(images).shape == (2, 384, 5, 4)


def test_no_block_is_dropped_in_training(images: torch.Tensor) -> None:
    model = network("swinv2_tiny_window8_256", None, skip_layer=1).train()
    assert any(getattr(m, "drop_prob", 0) > 0 for m in model.modules())
    assert torch.equal(model(images), model(images))


def test_a_network_that_takes_its_own_size_alone_gets_it(images: torch.Tensor) -> None:
    model = network("levit_128s", None)
    assert model.input_size == 224
    assert model(images).shape == (2, 8)


def test_convolutional_networks_are_given_squares_on_demand(images: torch.Tensor) -> None:
    assert network("resnet18", None, skip_layer=2).feature_maps(images).shape[2:] == (10, 8)
    assert network("resnet18", 64, skip_layer=2).feature_maps(images).shape[2:] == (8, 8)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"maxvit_rmlp_pico_rw_256 .* of 200 pixels"):
        network("maxvit_rmlp_pico_rw_256", 200)
    with pytest.raises(ConfigError, match=r"model\.input\.size: 100 for vit_b_32"):
        network("vit_b_32", 100)
    for name, down in (("vit_tiny_patch16_224", 16), ("swinv2_cr_tiny_ns_224", 4)):
        with pytest.raises(ConfigError, match=rf"model\.input\.size: 150 for {name}: .*{down} x"):
            network(name, 150)
    with pytest.raises(ValueError, match="greater than or equal to 32"):
        InputConfig(size=16)


@torch.no_grad()
def test_tokens(images: torch.Tensor) -> None:
    whole, alone = (network("test_vit", 32, tokens=tokens) for tokens in ("patches", "class"))
    fitted = fit_images(images, 32, "pad")
    tokens = whole.features.network.forward_features(fitted)
    maps = whole.feature_maps(images)
    assert maps.shape == (2, 64, 2, 2)
    torch.testing.assert_close(maps.flatten(2).transpose(1, 2), tokens[:, 1:])
    torch.testing.assert_close(alone.feature_maps(images)[:, :, 0, 0], tokens[:, 0])


@pytest.mark.slow  # 88 million parameters
@torch.no_grad()
def test_tokens_of_torchvision(images: torch.Tensor) -> None:
    whole, alone = (network("vit_b_32", 64, tokens=tokens) for tokens in ("patches", "class"))
    assert whole.feature_maps(images).shape == (2, 768, 2, 2)
    expected = whole.features.network(fit_images(images, 64, "pad"))
    torch.testing.assert_close(alone.feature_maps(images)[:, :, 0, 0], expected)


@pytest.mark.parametrize(
    ("backbone", "skip_layer", "reason"),
    [
        ("resnet18", 0, "resnet18 has no class token"),
        ("swinv2_tiny_window8_256", 0, "swinv2_tiny_window8_256 has no class token"),
        ("test_vit", 1, "class comes from the last block, skip_layer is 1"),
    ],
)
def test_no_class_token(backbone: str, skip_layer: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"model\.tokens: {reason}"):
        network(backbone, None, tokens="class", skip_layer=skip_layer)
