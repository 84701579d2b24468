"""Exact search among vectors on a GPU, with the rankings of `exact_search.py`.

Products are rounded as the GPU rounds them; among equal ones the lower position comes first.
"""

from collections.abc import Generator

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from retrieval_core.index.device_scoring import order_keys, positions_of, scores_of
from retrieval_core.index.inputs import Float32, Int64

# a block of products takes 64 MiB and its keys three times as much
QUERY_BLOCK, IMAGE_BLOCK = 1024, 16_384


@torch.inference_mode()
def search_on_device(
    queries: Float32, vectors: Tensor, top_k: int
) -> Generator[tuple[slice, Int64, Float32]]:
    """As `search_exactly`.

    Args:
        queries: (Q, D) float32.
        vectors: (N, D) float32 on the device.
        top_k: 1 <= top_k <= N.
    """
    for start in range(0, len(queries), QUERY_BLOCK):
        rows = slice(start, min(start + QUERY_BLOCK, len(queries)))
        block = from_dlpack(queries[rows]).to(vectors.device)
        best = torch.empty((len(block), 0), dtype=torch.int64, device=vectors.device)
        for first in range(0, len(vectors), IMAGE_BLOCK):
            keys = order_keys(block @ vectors[first : first + IMAGE_BLOCK].T, first)
            together = torch.cat([best, keys], dim=1)
            best = together.topk(min(top_k, together.shape[1]), dim=1).values
        yield rows, positions_of(best).cpu().numpy(), scores_of(best).cpu().numpy()
