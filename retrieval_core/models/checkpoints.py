"""Files of tensors; pickles may hold numbers, strings, containers and arrays only."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from retrieval_core.errors import CheckpointError, UnsafePickleError

State = dict[str, Tensor]

# What numpy needs to rebuild scalars and arrays, under the names that numpy 1 and 2 pickle.
_NUMPY_GLOBALS: list[Any] = [
    np.ndarray,
    np.dtype,
    *(type(np.dtype(code)) for code in "?bBhHiIlLqQefd"),
    *(
        (function, f"{package}.multiarray.{name}")
        for package in ("numpy.core", "numpy._core")
        for name, function in (
            ("_reconstruct", np._core.multiarray._reconstruct),  # type: ignore[attr-defined]
            ("scalar", np._core.multiarray.scalar),  # type: ignore[attr-defined]
        )
    ),
]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Content of a file that `torch.save` or safetensors wrote.

    Args:
        path: of the file.

    Raises:
        UnsafePickleError: the pickle asks for other objects; nothing of it was run.
        CheckpointError: the file is no checkpoint or holds no dictionary.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        with torch.serialization.safe_globals(_NUMPY_GLOBALS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported class" in str(error):
            raise UnsafePickleError(f"{path}: {_first_reason(error)}") from None
        raise CheckpointError(f"{path} is not a checkpoint: {_first_reason(error)}") from None
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(f"{path} is not a checkpoint: {error}") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dictionary")
    return dict(content)


def write_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Write a safetensors file.

    Args:
        tensors: by name, on any device; some may share their memory, as modules that are used
            twice do.
        path: of the file.
    """
    alone = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file({name: tensor.clone() for name, tensor in alone.items()}, path)


def load_state(
    model: torch.nn.Module,
    state: Mapping[str, Tensor],
    source: str,
    *,
    optional: tuple[str, ...] = (),
) -> None:
    """Copy tensors into a network, by name.

    Args:
        model: takes the tensors.
        state: tensors by name.
        source: of the tensors, for the message.
        optional: prefixes of names that may be missing and then stay as they are.

    Raises:
        CheckpointError: tensors are missing, left over or of another shape; lists them.
    """
    own = model.state_dict()
    needed = {
        k for k in own if not k.endswith("num_batches_tracked") and not k.startswith(optional)
    }
    problems = {
        "missing": sorted(needed - state.keys()),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": [
            f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
            for k in own
            if k in state and state[k].shape != own[k].shape
        ],
    }
    if any(problems.values()):
        found = (f"{what}: {_listed(names)}" for what, names in problems.items() if names)
        raise CheckpointError(f"{source} does not fit the network; " + "; ".join(found))
    model.load_state_dict(dict(state), strict=False)


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a checkpoint: {error}") from error


def _listed(names: list[str], most: int = 8) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _first_reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if "WeightsUnpickler" in line]
    return (lines or str(error).splitlines() or [type(error).__name__])[0]
