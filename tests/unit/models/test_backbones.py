"""Networks by name, cut to feature maps."""

from pathlib import Path

import pytest
import torch

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import ModelConfig
from retrieval_core.errors import ConfigError
from retrieval_core.models import build_model, load_model, save_model
from retrieval_core.models.backbones import build_backbone, feature_map
from retrieval_core.training.folding import folded_batch_norm


@pytest.mark.parametrize(
    ("name", "skip_layer", "channels", "stride"),
    [
        ("resnet18", 0, 512, 32),
        ("vgg11_bn", 0, 512, 16),
        ("alexnet", 0, 256, 16),
        ("densenet121", 0, 1024, 32),
        ("squeezenet1_1", 0, 512, 16),
        ("mobilenet_v2", 1, 320, 32),
        ("mobilenet_v3_small", 0, 576, 32),
        ("efficientnet_b0", 0, 1280, 32),
        ("resnet18d", 0, 512, 32),
        ("resnet18d", 1, 256, 16),
        ("tf_efficientnet_lite0", 0, 1280, 32),
        ("tf_efficientnet_lite0", 1, 112, 16),
        ("convnext_atto", 0, 320, 32),
        ("regnet_y_400mf", 0, 440, 32),
        ("mnasnet0_5", 0, 1280, 32),
        ("shufflenet_v2_x0_5", 0, 1024, 32),
    ],
)
def test_maps_have_the_channels_and_the_stride(
    name: str, skip_layer: int, channels: int, stride: int
) -> None:
    features, built = build_backbone(ModelConfig(backbone=name, skip_layer=skip_layer))
    with torch.no_grad():
        maps = feature_map(features.eval(), torch.zeros(1, 3, 128, 192))
    assert built == channels
    assert maps.shape[:2] == (1, channels)
    # Alexnet and squeezenet do not pad everywhere, so a cell or two is missing.
    assert 0 <= 128 // stride - maps.shape[2] <= 2
    assert 0 <= 192 // stride - maps.shape[3] <= 2


@pytest.mark.parametrize(
    ("name", "skip_layer", "channels"),
    [
        ("swin_tiny_patch4_window7_224", 0, 768),
        ("swin_tiny_patch4_window7_224", 1, 384),
        ("swinv2_tiny_window8_256", 1, 384),
        ("swin_v2_t", 0, 768),
        ("test_vit", 0, 64),
    ],
)
def test_transformers_give_maps_channels_first(name: str, skip_layer: int, channels: int) -> None:
    features, built = build_backbone(ModelConfig(backbone=name, skip_layer=skip_layer))
    with torch.no_grad():
        maps = feature_map(features.eval(), torch.zeros(1, 3, 128, 160))
    assert built == maps.shape[1] == channels
    assert maps.shape[2] < maps.shape[3]


def test_dropped_levels_hold_no_parameters() -> None:
    for name in ("tf_efficientnet_lite0", "resnet18d"):
        whole, _ = build_backbone(ModelConfig(backbone=name, skip_layer=0))
        cut, _ = build_backbone(ModelConfig(backbone=name, skip_layer=1))
        assert len(cut.state_dict()) < len(whole.state_dict()) - 20


def test_tensors_carry_the_official_names() -> None:
    assert (
        "7.1.conv2.weight"
        in build_backbone(ModelConfig(backbone="resnet18", skip_layer=0))[0].state_dict()
    )
    assert (
        "10.weight" in build_backbone(ModelConfig(backbone="alexnet", skip_layer=0))[0].state_dict()
    )


def test_unknown_name_suggests_close_ones() -> None:
    with pytest.raises(ConfigError, match=r"'resnet51' is neither.*resnet50"):
        build_backbone(ModelConfig(backbone="resnet51", skip_layer=0))


@pytest.mark.parametrize("name", ["resnet18", "resnet18d"])
def test_skipping_everything_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        build_backbone(ModelConfig(backbone=name).model_copy(update={"skip_layer": 9}))


def test_a_network_that_takes_nothing_small_gets_it_enlarged() -> None:
    model = build_model(ModelConfig(method="embedding", backbone="inception_v4", dim=8))
    assert model.smallest_side == 75
    for side in (40, 64, 74, 96):
        assert torch.isfinite(model.eval()(torch.zeros(1, 3, side, side))).all()
    with folded_batch_norm(model) as folded:
        assert folded


def test_modules_that_are_used_twice_are_saved(tmp_path: Path) -> None:
    model = build_model(ModelConfig(method="embedding", backbone="coat_lite_tiny", dim=8)).eval()
    save_model(model, ArtifactDirectory(tmp_path))
    images = torch.rand(1, 3, model.input_size, model.input_size)
    assert torch.equal(load_model(tmp_path)(images), model(images))


def test_network_without_maps_is_refused() -> None:
    with pytest.raises(ConfigError, match="crossvit_tiny_240 gives no feature maps"):
        build_backbone(ModelConfig(backbone="crossvit_tiny_240", skip_layer=0))


@pytest.mark.parametrize("backbone", ["alexnet", "densenet121", "convnext_atto", "resnet18"])
def test_narrow_images_have_features_at_every_scale(backbone: str) -> None:
    model = build_model(ModelConfig(method="how", backbone=backbone, dim=8))
    images = torch.rand(2, 3, 9, 40)
    local, vectors = model.extract(
        images, scales=(1.0, 0.25), max_features=50, global_scales=(1.0, 0.125)
    )
    assert set(local.scales.tolist()) == {1.0, 0.25}
    assert torch.isfinite(vectors).all()
    assert torch.isfinite(model(images)).all()


@pytest.mark.parametrize("name", ["test_vit", "swin_tiny_patch4_window7_224"])
def test_sides_need_not_be_multiples_of_patches(name: str) -> None:
    features, _ = build_backbone(ModelConfig(backbone=name, skip_layer=0))
    with torch.inference_mode():
        maps = features.eval()(torch.zeros(1, 3, 83, 101))
    assert maps.shape[2:] == ((6, 7) if name == "test_vit" else (3, 4))


@pytest.mark.parametrize(
    ("name", "skip_layer", "side"),
    [
        ("resnet18", 0, 8),
        ("resnet18", 1, 16),
        ("mobilenet_v2", 0, 8),
        ("tf_efficientnet_lite0", 0, 8),
        ("tf_efficientnet_lite0", 1, 16),
        ("resnet18d", 0, 8),
        ("squeezenet1_1", 0, 13),
        ("convnext_atto", 0, 7),
    ],
)
def test_the_last_down_sampling_is_left_out(name: str, skip_layer: int, side: int) -> None:
    settings = {"backbone": name, "skip_layer": skip_layer}
    whole, channels = build_backbone(ModelConfig(**settings))
    kept, same = build_backbone(ModelConfig(**settings, keep_resolution=True))
    with torch.inference_mode():
        maps = kept.eval()(torch.zeros(1, 3, 128, 128))
    assert maps.shape == (1, channels, side, side)
    assert channels == same
    shapes = {k: v.shape for k, v in whole.state_dict().items()}
    assert shapes == {k: v.shape for k, v in kept.state_dict().items()}


@pytest.mark.parametrize("name", ["test_vit", "swinv2_tiny_window8_256", "resnetblur18"])
def test_without_a_stride_of_two_there_is_nothing_to_leave_out(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"model\.keep_resolution: {name} has no convolution"):
        build_backbone(ModelConfig(backbone=name, keep_resolution=True))


def test_stages_of_torchvisions_swin_stay_together() -> None:
    with pytest.raises(ConfigError, match=r"model\.skip_layer: swin_v2_t is taken as a whole"):
        build_backbone(ModelConfig(backbone="swin_v2_t", skip_layer=1))
