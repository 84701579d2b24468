"""Official checkpoints give what the official code gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from retrieval_core.models import load_model
from retrieval_core.models.base import LocalFeatures

LOCAL_CASES = [
    "how_resnet18",
    "how_resnet50",
    "fire_resnet50",
]
GLOBAL_CASES = [
    "gem_resnet50_whiten",
    "gem_vgg16",
    "rmac_resnet18",
    "gem_regional_resnet18",
    "mac_alexnet_local_whitening",
]


def relative_error(actual: torch.Tensor, expected: np.ndarray) -> float:
    difference = actual.detach().numpy() - expected
    return float(np.linalg.norm(difference) / np.linalg.norm(expected))


def check_local(found: LocalFeatures, expected: dict[str, np.ndarray]) -> None:
    assert relative_error(found.strengths, expected["strengths"]) < 1e-5
    # The reference keeps scales in half precision.
    scales = found.scales.half().float().numpy()
    # Strengths that differ in the last bit may change places: compare place by place.
    ours = np.lexsort((*found.locations.numpy().T, scales))
    theirs = np.lexsort((*expected["locations"].T, expected["scales"]))
    np.testing.assert_array_equal(found.locations.numpy()[ours], expected["locations"][theirs])
    np.testing.assert_array_equal(scales[ours], expected["scales"][theirs])
    descriptors = expected["descriptors"][theirs]
    errors = np.linalg.norm(found.descriptors.numpy()[ours] - descriptors, axis=1)
    assert (errors / np.linalg.norm(descriptors, axis=1)).max() < 1e-4


@pytest.mark.parametrize("name", LOCAL_CASES)
def test_local_network(name: str, parity_case: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity_case(name)
    torch.save(case.content, tmp_path / "official.pth")
    model = load_model(tmp_path / "official.pth")

    found, vectors = model.extract(
        case.image, scales=case.scales, max_features=200, global_scales=[1]
    )

    assert model.config.method == name.split("_", maxsplit=1)[0]
    check_local(found, case.expected)
    assert relative_error(vectors, case.expected["global"]) < 1e-4
    assert relative_error(model(case.image), case.expected["global"]) < 1e-4
    if "attention_first8" in case.expected:
        features, attention, strengths = model.super_features(case.image)
        expected = case.expected["attention_first8"].reshape(8, -1)
        assert relative_error(attention[0, :8], expected) < 1e-4
        assert features.norm(dim=2).allclose(torch.ones_like(strengths), atol=1e-5)


@pytest.mark.parametrize("name", GLOBAL_CASES)
def test_global_network(name: str, parity_case: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity_case(name)
    torch.save(case.content, tmp_path / "official.pth")
    model = load_model(tmp_path / "official.pth")

    single = model.extract_global(case.image, scales=[1])[0]
    multiple = model.extract_global(case.image, scales=case.scales)[0]
    powered = model.extract_global(case.image, scales=case.scales, power=2.7)[0]

    assert relative_error(single, case.expected["single_scale"]) < 1e-4
    assert relative_error(multiple, case.expected["multi_scale"]) < 1e-4
    assert powered.isfinite().all()
    # The reference gives NaN as soon as one part of one scale is negative.
    if np.isfinite(case.expected["multi_scale_msp2_7"]).all():
        assert relative_error(powered, case.expected["multi_scale_msp2_7"]) < 1e-4


def test_old_how_format(parity_case: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity_case("how_resnet18")
    state = dict(case.content["state_dict"])
    for part in ("weight", "bias"):
        state[f"whiten.{part}"] = state.pop(f"dim_reduction.{part}")
    meta = {
        "architecture": "resnet18",
        "skip_layer": 0,
        "dim": np.int64(128),
        "feat_pool_k": 3,
        "mean": np.array([0.485, 0.456, 0.406]),
        "std": [0.229, 0.224, 0.225],
    }
    torch.save({"epoch": 20, "meta": meta, "state_dict": state}, tmp_path / "old.pth")

    model = load_model(tmp_path / "old.pth")

    assert model.config.mean == (0.485, 0.456, 0.406)
    check_local(
        model.extract_local(case.image, scales=case.scales, max_features=200), case.expected
    )
