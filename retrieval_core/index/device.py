"""Where tensors of an index are."""

import torch

from retrieval_core.errors import IndexInputError


def torch_device(name: str) -> torch.device:
    """The device of this name.

    Raises:
        IndexInputError: it is neither "cpu" nor a GPU that torch sees.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise IndexInputError(f'device: expected "cpu" or "cuda", found {name!r}') from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise IndexInputError(
            f"device: {name!r}, but torch sees {torch.cuda.device_count()} GPUs here"
        )
    if device.type not in ("cpu", "cuda"):
        raise IndexInputError(f'device: expected "cpu" or "cuda", found {name!r}')
    return device
