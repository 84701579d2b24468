"""Indexes of faiss on a GPU, where faiss was built for one and sees one."""

from functools import cache
from typing import Any

import faiss

LONGEST_RANKING = 2048
"""That faiss gives on a GPU."""


def on_gpu(index: Any) -> Any:
    """A copy on the first GPU; the index itself where there is none, or no such index there."""
    if faiss.get_num_gpus() == 0:
        return index
    try:
        return faiss.index_cpu_to_gpu(_resources(), 0, index)
    except RuntimeError:  # such as one with codes of a length that GPUs do not have
        return index


def on_cpu(index: Any) -> Any:
    """A copy of an index of `on_gpu`; the index itself where it is on the CPU."""
    known = getattr(faiss, "GpuIndex", ())
    return faiss.index_gpu_to_cpu(index) if isinstance(index, known) else index


@cache
def _resources() -> Any:
    # its memory is taken once, and must outlive every index on the GPU
    return faiss.StandardGpuResources()
