"""Weights from files: what is read, and what is refused."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import GlobalConfig, LitConfig, ModelConfig
from retrieval_core.errors import CheckpointError, ConfigError, UnsafePickleError
from retrieval_core.models import build_model, load_model, save_model

HOW = ModelConfig(method="how", backbone="resnet18", skip_layer=2, dim=16)
FIRE = ModelConfig(
    method="fire",
    backbone="resnet18",
    skip_layer=2,
    dim=16,
    lit=LitConfig(iterations=2, templates=4, dim=32),
)
GEM = ModelConfig(method="gem", backbone="squeezenet1_1", dim=None)


def official_how(config: ModelConfig = HOW) -> dict[str, Any]:
    state = OrderedDict(build_model(config, seed=3).state_dict())
    state["dim_reduction.weight"] = state.pop("whitening.weight")[:, :, None, None]
    state["dim_reduction.bias"] = state.pop("whitening.bias")
    net_params = {
        "architecture": "resnet18",
        "pretrained": True,
        "skip_layer": 2,
        "dim_reduction": {"dim": 16},
        "smoothing": {"kernel_size": 3},
        "runtime": {"mean_std": [[0.5, 0.5, 0.5], np.full(3, 0.25)]},
    }
    scores = {"map": np.float64(0.5), "aps": np.arange(3), "epoch": np.int32(3)}
    head = {"epoch": 3, "meta": {"architecture": "resnet18"}, "scores": scores}
    return {**head, "state_dict": state, "net_params": net_params, "_version": "how/2020"}


def save(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def without(content: dict[str, Any], *names: str) -> dict[str, Any]:
    state = {k: v for k, v in content["state_dict"].items() if k not in names}
    return {**content, "state_dict": state}


def test_official_file_describes_its_network(tmp_path: Path) -> None:
    path = save(official_how(), tmp_path / "how.pth")
    model = load_model(path)
    update = {"weights": str(path), "mean": (0.5,) * 3, "std": (0.25,) * 3}
    assert model.config == HOW.model_copy(update=update)
    expected = build_model(HOW, seed=3).state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in model.state_dict().items())


def test_cirtorch_file_with_learned_whitening_in_its_meta(tmp_path: Path) -> None:
    state = {
        k.replace("pooling.", "pool.").replace("whitening.", "whiten."): v
        for k, v in build_model(GEM).state_dict().items()
    }
    meta = {
        "architecture": "squeezenet1_1",
        "pooling": "gem",
        "whitening": True,
        "mean": [0.4, 0.4, 0.4],
        "std": [0.2, 0.2, 0.2],
        "Lw": {"retrieval-SfM-120k": {"ss": {"m": np.zeros((512, 1)), "P": np.eye(512)}}},
    }
    model = load_model(save({"meta": meta, "state_dict": state}, tmp_path / "gem.pth"))
    assert model.config.method == "gem"
    assert model.config.pooled == GlobalConfig()
    assert (model.global_dim, model.config.mean) == (512, (0.4, 0.4, 0.4))


@pytest.mark.parametrize("weights_of", ["bundle", "official"])
def test_configuration_takes_weights_of_its_method(weights_of: str, tmp_path: Path) -> None:
    if weights_of == "bundle":
        save_model(build_model(HOW, seed=3), ArtifactDirectory(tmp_path / "source"))
    else:
        save(official_how(), tmp_path / "source")
    update = {"weights": str(tmp_path / "source")}
    if weights_of == "official":
        update |= {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    model = build_model(HOW.model_copy(update=update), seed=9)
    expected = build_model(HOW, seed=3).state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in model.state_dict().items())


def test_start_weights_may_lack_the_whitening_and_hold_a_classifier(tmp_path: Path) -> None:
    state = without({"state_dict": build_model(FIRE, seed=3).state_dict()}, *WHITENING)
    state["state_dict"] |= {"fc.weight": torch.zeros(2, 2), "fc.bias": torch.zeros(2)}
    path = save(state, tmp_path / "fire_imagenet.pth")
    model = build_model(FIRE.model_copy(update={"weights": str(path)}), seed=9)
    expected = build_model(FIRE, seed=3)
    assert torch.equal(model.lit.templates_init, expected.lit.templates_init)
    with pytest.raises(CheckpointError, match=r"does not describe its fire network.*weights"):
        load_model(path)


WHITENING = ("whitening.weight", "whitening.bias")


def test_another_method_s_checkpoint_is_refused(tmp_path: Path) -> None:
    save_model(build_model(HOW), ArtifactDirectory(tmp_path / "bundle"))
    for source in (tmp_path / "bundle", save(official_how(), tmp_path / "how.pth")):
        with pytest.raises(CheckpointError, match="is a how checkpoint, the configuration says"):
            build_model(FIRE.model_copy(update={"weights": str(source)}))


def test_another_pooling_is_refused(tmp_path: Path) -> None:
    config = HOW.model_copy(
        update={"method": "embedding", "pooled": GlobalConfig(pooling="rmac", rmac_levels=1)}
    )
    save_model(build_model(config), ArtifactDirectory(tmp_path))
    pooled = GlobalConfig(pooling="rmac", rmac_levels=5)
    with pytest.raises(CheckpointError, match="rmac_levels is 1 in the checkpoint and 5"):
        build_model(config.model_copy(update={"weights": str(tmp_path), "pooled": pooled}))


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return print, ("this must never run",)


def bad_official(**changes: Any) -> dict[str, Any]:
    return {**official_how(), **changes}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: without(official_how(), "features.0.weight"), r"missing: features\.0\.weight"),
        (lambda: without(official_how(), "dim_reduction.bias"), r"missing: whitening\.bias"),
        (
            lambda: bad_official(state_dict=official_how()["state_dict"] | {"x.y": torch.ones(1)}),
            r"unexpected: x\.y",
        ),
        (
            lambda: bad_official(
                state_dict=official_how()["state_dict"] | {"features.0.weight": torch.ones(2, 3)}
            ),
            r"another shape: features\.0\.weight \(2, 3\) instead of \(64, 3, 7, 7\)",
        ),
        (lambda: bad_official(net_params={"architecture": "resnet18"}), "does not describe"),
        (
            lambda: bad_official(net_params=official_how()["net_params"] | {"skip_layer": -1}),
            "impossible",
        ),
        (lambda: {"weight": torch.ones(2)}, "no FIRe, HOW or cirtorch"),
        (lambda: [torch.ones(2)], "not a dictionary"),
        (dict, "no FIRe, HOW or cirtorch"),
    ],
)
def test_bad_official_files(make: Callable[[], Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_model(save(make(), tmp_path / "bad.pth"))


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    whole = save(official_how(), tmp_path / "how.pth").read_bytes()
    contents = {"empty": b"", "garbage": b"\x00garbage" * 99, "text": b"hello", "cut": whole[:999]}
    for name, content in contents.items():
        path = tmp_path / f"{name}.pth"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=name):
            load_model(path)
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*absent\.pth"):
        load_model(tmp_path / "absent.pth")


def test_code_in_a_pickle_never_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save({**official_how(), "extra": Evil()}, tmp_path / "evil.pth")
    for load in (load_model, lambda p: build_model(HOW.model_copy(update={"weights": str(p)}))):
        with pytest.raises(UnsafePickleError, match="print"):
            load(path)
    assert "never" not in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["no tensors", "cut tensors", "no config", "version"])
def test_damaged_bundles(damage: str, tmp_path: Path) -> None:
    directory = ArtifactDirectory(tmp_path)
    save_model(build_model(HOW), directory)
    if damage == "no tensors":
        (tmp_path / "model.safetensors").unlink()
    elif damage == "cut tensors":
        directory.write_bytes("model.safetensors", directory.read_bytes("model.safetensors")[:99])
    elif damage == "no config":
        directory.write_json("model.json", {"version": 1})
    else:
        directory.write_json("model.json", {**directory.read_json("model.json"), "version": 99})
    with pytest.raises(CheckpointError, match=r"not a saved network|version 99"):
        load_model(tmp_path)


def test_remote_files_and_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVAL_WORKDIR", str(tmp_path / "work"))
    remote = fsspec.filesystem("memory")
    local = save(official_how(), tmp_path / "how.pth")
    remote.pipe_file("/models/how.pth", local.read_bytes())
    save_model(load_model(local), ArtifactDirectory("memory://models/bundle"))

    expected = load_model(local).state_dict()
    for source in ("memory://models/how.pth", "memory://models/bundle", f"file://{local}"):
        state = load_model(source).state_dict()
        assert all(torch.equal(v, expected[k]) for k, v in state.items())
    (kept,) = (tmp_path / "work" / "downloads").iterdir()
    assert kept.name.endswith("-how.pth")
    remote.rm("/models/how.pth")
    load_model("memory://models/how.pth")
    with pytest.raises(CheckpointError, match="cannot download memory://models/other"):
        load_model("memory://models/other.pth")
    with pytest.raises(CheckpointError, match="cannot open nowhere"):
        load_model("nowhere://models/how.pth")


def same(features: nn.Module, weights: dict[str, Tensor]) -> bool:
    """Whether a backbone holds the first of these weights, in order."""
    own = [v for k, v in features.state_dict().items() if not k.endswith("batches_tracked")]
    given = [v for k, v in weights.items() if not k.endswith("batches_tracked")]
    return all(torch.equal(a, b) for a, b in zip(own, given, strict=False))


def test_imagenet_weights_of_the_installed_package() -> None:
    config = ModelConfig(
        method="how",
        backbone="tf_efficientnet_lite0",
        weights="efficientnet-lite0",
        skip_layer=1,
        dim=64,
    )
    assert not same(
        build_model(config).features,
        build_model(config.model_copy(update={"weights": "none"})).features.state_dict(),
    )
    whole = build_model(config.model_copy(update={"skip_layer": 0})).features.state_dict()
    assert same(build_model(config).features, whole)
    with pytest.raises(ConfigError, match="tf_efficientnet_lite0, not resnet18"):
        build_model(config.model_copy(update={"backbone": "resnet18"}))


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "mobilenetv2_100"])
def test_weights_with_other_names_pair_in_order(backbone: str, shared_data: Path) -> None:
    path = shared_data / "mobilenetv2_imagenet_features.pt"
    model = build_model(ModelConfig(method="gem", backbone=backbone, weights=str(path)))
    assert same(model.features, torch.load(path, weights_only=True))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("counters", [False, True])
def test_torchvision_weights_of_a_whole_classifier(
    nested: bool, counters: bool, tmp_path: Path
) -> None:
    state = torchvision.models.resnet18().state_dict()
    if not counters:
        state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    path = save({"state_dict": state} if nested else state, tmp_path / "resnet18.pth")
    model = build_model(HOW.model_copy(update={"weights": str(path)}))
    assert same(model.features, state)


def test_named_weights_pair_in_any_order(tmp_path: Path) -> None:
    state = torchvision.models.squeezenet1_1().state_dict()
    path = save(dict(reversed(state.items())), tmp_path / "squeezenet.pth")
    model = build_model(ModelConfig(method="gem", backbone="squeezenet1_1", weights=str(path)))
    assert same(model.features, state)


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    path = save(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "squeezenet.pth")
    with pytest.raises(CheckpointError, match=r"does not fit the network; missing: .* more"):
        build_model(HOW.model_copy(update={"weights": str(path)}))
    with pytest.raises(CheckpointError, match=r"holds no tensors.*epoch"):
        build_model(HOW.model_copy(update={"weights": str(save({"epoch": 1}, path))}))
