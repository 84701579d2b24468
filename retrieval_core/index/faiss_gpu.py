"""Indexes of faiss on a GPU, where faiss was built for one and sees one."""

from functools import cache
from typing import Any

import faiss

from retrieval_core.errors import IndexInputError

LONGEST_RANKING = 2048
"""That faiss gives on a GPU."""


def on_gpu(index: Any, *, required: bool = False) -> Any:
    """A copy on the first GPU; the index itself where there is none, or no such index there.

    Args:
        index: of faiss, on the CPU.
        required: refuse instead.

    Raises:
        IndexInputError: it is required, and faiss cannot.
    """
    reason = "it sees none, or was built without"
    if faiss.get_num_gpus():
        options = faiss.GpuClonerOptions()
        # the look-up tables of 64 bytes a code, in float32, are larger than a block's memory
        options.useFloat16 = True
        try:
            return faiss.index_cpu_to_gpu(_resources(), 0, index, options)
        except RuntimeError as error:  # such as codes of a length that GPUs do not have
            reason = str(error)
    if required:
        raise IndexInputError(f"faiss cannot have this index on a GPU: {reason}")
    return index


def on_cpu(index: Any) -> Any:
    """A copy of an index of `on_gpu`; the index itself where it is on the CPU."""
    known = getattr(faiss, "GpuIndex", ())
    return faiss.index_gpu_to_cpu(index) if isinstance(index, known) else index


@cache
def _resources() -> Any:
    # its memory is taken once, and must outlive every index on the GPU
    return faiss.StandardGpuResources()
