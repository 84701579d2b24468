"""Official checkpoints made by formula, and what the official code computes from them."""

import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


def parameter(name: str, shape: list[int], salt: str) -> torch.Tensor:
    rng = np.random.RandomState(zlib.crc32(f"{salt}:{name}".encode()) & 0x7FFFFFFF)
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name in ("pool.p", "pool.rpool.p"):
        return torch.tensor([2.7])
    if name.endswith("running_mean"):
        values = 0.05 * rng.standard_normal(shape)
    elif name.endswith("running_var"):
        values = 1 + 0.1 * rng.random_sample(shape)
    elif len(shape) == 1 and name.endswith("bias"):
        values = 0.02 * rng.standard_normal(shape)
    elif len(shape) == 1:
        values = 1 + 0.05 * rng.standard_normal(shape)
    else:
        values = rng.standard_normal(shape) * math.sqrt(1.6 / math.prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, np.float32))


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
        shapes = case["parameters"].items()
        content: dict[str, Any] = {
            "state_dict": {n: parameter(n, shape, listing["salt"]) for n, shape in shapes},
            "meta": case.get("meta", {"architecture": "from net_params"}),
        }
        if "net_params" in case:
            content |= {"epoch": 3, "net_params": case["net_params"], "_version": case["version"]}
        image = formula_image(listing["image_seed"], listing["height"], listing["width"])
        expected = dict(np.load(shared_parity / f"{name}.npz"))
        return ParityCase(content, image, expected, case.get("scales") or case["multi_scale"])

    return make
