"""Official checkpoints made by formula, and what the official code computes from them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.official import listed_content


def formula_image(seed: int, height: int, width: int) -> torch.Tensor:
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[0:height, 0:width]
    out = np.zeros((3, height, width))
    for c in range(3):
        for _ in range(6):
            fx, fy, phase = rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), rng.uniform(0, 6.28)
            out[c] += rng.uniform(0.3, 1) * np.sin(fx * x + fy * y + phase)
    noisy = out + 0.3 * rng.standard_normal(out.shape)
    return torch.from_numpy(noisy.astype(np.float32))[None]


@dataclass(frozen=True)
class ParityCase:
    """A network of the reference, its image and its outputs."""

    content: dict[str, Any]
    image: torch.Tensor
    expected: dict[str, np.ndarray]
    scales: list[float]


@pytest.fixture(scope="session")
def parity_case(shared_parity: Path) -> Callable[[str], ParityCase]:
    """Checkpoint content in the official format, image and expected arrays of a case."""
    listing = json.loads((shared_parity / "cases.json").read_text())

    def make(name: str) -> ParityCase:
        case = listing["cases"][name]
        content = listed_content(listing, name)
        image = formula_image(listing["image_seed"], listing["height"], listing["width"])
        expected = dict(np.load(shared_parity / f"{name}.npz"))
        return ParityCase(content, image, expected, case.get("scales") or case["multi_scale"])

    return make
