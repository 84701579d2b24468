"""Checkpoints in the formats of the official implementations, filled by formula."""

import math
import zlib
from typing import Any

import numpy as np
import torch
import torchvision


def parameter(name: str, shape: list[int], salt: str) -> torch.Tensor:
    """A tensor that only its name, its shape and a salt decide."""
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


def listed_content(listing: dict[str, Any], name: str) -> dict[str, Any]:
    """What the official code would save for a network of the list of parity cases."""
    case = listing["cases"][name]
    shapes = case["parameters"].items()
    content: dict[str, Any] = {
        "state_dict": {n: parameter(n, shape, listing["salt"]) for n, shape in shapes},
        "meta": case.get("meta", {"architecture": "from net_params"}),
    }
    if "net_params" in case:
        content |= {"epoch": 3, "net_params": case["net_params"], "_version": case["version"]}
    return content


def gem_content(backbone: str, dim: int) -> dict[str, Any]:
    """What cirtorch would save for a residual network with GeM, whitened afterwards."""
    with torch.device("meta"):
        layers = list(torchvision.models.get_model(backbone).children())[:-2]
    state = torch.nn.Sequential(*layers).state_dict(prefix="features.")
    state_dict = {name: parameter(name, list(t.shape), "gem") for name, t in state.items()}
    meta = {
        "architecture": backbone,
        "pooling": "gem",
        "local_whitening": False,
        "regional": False,
        "whitening": False,
        "outputdim": dim,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "Lw": {"retrieval-SfM-120k": {"ms": {"m": np.zeros((dim, 1)), "P": np.eye(dim)}}},
    }
    return {"state_dict": {**state_dict, "pool.p": torch.tensor([2.7])}, "meta": meta}
