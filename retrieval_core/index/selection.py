"""The best of many scores."""

import numpy as np

from retrieval_core.index.inputs import Float32, Int64


def best_first(scores: Float32, top_k: int) -> Int64:
    """Positions of the highest scores, the lower position first among equal ones.

    Args:
        scores: (n,) float32.
        top_k: how many, 0 <= top_k <= n.

    Returns:
        (top_k,) int64.
    """
    if 0 < top_k < len(scores):
        # every score equal to the last one that fits stays a candidate, so that ties are exact
        last = np.partition(scores, len(scores) - top_k)[len(scores) - top_k]
        candidates = np.flatnonzero(scores >= last)
    else:
        candidates = np.arange(len(scores))
    order = np.argsort(-scores[candidates], kind="stable")
    best: Int64 = candidates[order[:top_k]]
    return best
