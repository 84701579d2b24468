"""Published ImageNet weights: from files, and from the places that publish them."""

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from retrieval_core.config import InputConfig, ModelConfig
from retrieval_core.errors import CheckpointError, ConfigError, DownloadError
from retrieval_core.models import RetrievalModel, build_model
from retrieval_core.models.download import _local_name

HALF = (0.5, 0.5, 0.5)


def build(backbone: str, weights: Path | str, size: int | None = None, **settings: object):
    return build_model(
        ModelConfig(
            method="embedding",
            backbone=backbone,
            weights=str(weights),
            dim=8,
            input=InputConfig(size=size),
            **settings,
        )
    )


def holds(model: RetrievalModel, state: dict[str, torch.Tensor], *names: str) -> bool:
    own = model.features.network.state_dict()
    return all(torch.equal(own[name], state[name]) for name in names)


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty work directory on a machine without a hub."""
    monkeypatch.setenv("RETRIEVAL_WORKDIR", str(tmp_path / "work"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "work"


@pytest.mark.parametrize("nested", [None, "state_dict", "model"])
def test_timm_weights_for_another_image_size(nested: str | None, tmp_path: Path) -> None:
    state = timm.create_model("test_vit", img_size=64).state_dict()
    torch.save({nested: state} if nested else state, tmp_path / "vit.pth")
    same = build("test_vit", tmp_path / "vit.pth", 64)
    other = build("test_vit", tmp_path / "vit.pth", 96)
    names = ("patch_embed.proj.weight", "blocks.5.mlp.fc2.weight", "norm.bias")
    assert holds(same, state, *names, "pos_embed")
    assert holds(other, state, *names, "cls_token")
    positions = other.features.network.pos_embed
    assert positions.shape == (1, 1 + 6 * 6, 64)
    expected = torch.nn.functional.interpolate(
        state["pos_embed"][:, 1:].transpose(1, 2).unflatten(2, (4, 4)),
        size=(6, 6),
        mode="bicubic",
        antialias=True,
    )
    torch.testing.assert_close(positions[:, 1:], expected.flatten(2).transpose(1, 2))


def test_swin_v2_weights_for_another_image_size(tmp_path: Path) -> None:
    name = "swinv2_tiny_window8_256"
    state = timm.create_model(name).state_dict()
    save_file(state, tmp_path / "swin.safetensors")
    model = build(name, tmp_path / "swin.safetensors", 96)
    own = model.features.network.state_dict()
    assert all(torch.equal(own[key], state[key]) for key in own)


@pytest.mark.slow  # 88 million parameters
def test_torchvision_vit_weights_for_another_image_size(tmp_path: Path) -> None:
    state = torchvision.models.vit_b_32(image_size=64).state_dict()
    torch.save(state, tmp_path / "vit.pth")
    model = build("vit_b_32", tmp_path / "vit.pth", 96)
    assert holds(model, state, "conv_proj.weight", "class_token", "encoder.ln.bias")
    assert model.features.network.encoder.pos_embedding.shape == (1, 10, 768)


@pytest.mark.slow  # 28 million parameters
def test_torchvision_swin_weights(tmp_path: Path) -> None:
    state = torchvision.models.swin_t().state_dict()
    torch.save(state, tmp_path / "swin.pth")
    own = build("swin_t", tmp_path / "swin.pth").features.state_dict()
    assert torch.equal(own["0.0.weight"], state["features.0.0.weight"])
    assert torch.equal(own["8.bias"], state["norm.bias"])


def test_weights_of_another_transformer_are_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("levit_128s").state_dict(), tmp_path / "levit.pth")
    with pytest.raises(CheckpointError, match=r"does not fit the network; missing: .* more"):
        build("test_vit", tmp_path / "levit.pth", 64)


def test_damaged_safetensors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"12345678")
    with pytest.raises(CheckpointError, match=r"broken\.safetensors is not a checkpoint"):
        build("resnet18", tmp_path / "broken.safetensors")


def test_without_a_hub_the_error_says_what_would_do(workdir: Path) -> None:
    with pytest.raises(DownloadError, match=r"cannot get timm/resnet18d.* give model\.weights"):
        build("resnet18d", "hub")


def test_hugging_face_weights_are_kept_in_the_work_directory(workdir: Path) -> None:
    state = timm.create_model("test_vit").state_dict()
    place = workdir / "downloads" / "hub" / "models--timm--test_vit.r160_in1k"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    snapshot = place / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    save_file(state, snapshot / "model.safetensors")
    model = build("test_vit", "hub", 32, mean=HALF, std=HALF)
    assert holds(model, state, "cls_token", "blocks.0.attn.qkv.weight")


def test_torchvision_weights_come_from_its_address(workdir: Path) -> None:
    url = torchvision.models.ResNet18_Weights.DEFAULT.url
    (workdir / "downloads").mkdir(parents=True)
    state = torchvision.models.resnet18().state_dict()
    torch.save(state, workdir / "downloads" / _local_name(url))
    model = build("resnet18", "hub")
    assert torch.equal(model.features.state_dict()["0.weight"], state["conv1.weight"])


def test_other_normalisation_than_in_training_is_refused(workdir: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.mean: \[0\.485.*trained with \[0\.5, 0\.5"):
        build("test_vit", "hub")
    with pytest.raises(ConfigError, match=r"model\.std: .*resnet18.*\[0\.229"):
        build("resnet18", "hub", std=HALF)


def test_a_backbone_without_published_weights(workdir: Path) -> None:
    with pytest.raises(ConfigError, match="hub has no weights of test_vit4"):
        build("test_vit4", "hub")
