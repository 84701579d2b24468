"""Numbers of ASMK's search as operations on tensors, on any device."""

import torch
from torch import Tensor

from retrieval_core.index.ranking import Selectivity

# of the bits of a number, every second one, every second pair, every second four; 1 in every byte
HALVES, PAIRS, FOURS = 0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F
BYTES = 0x0101010101010101

LOWEST = torch.iinfo(torch.int64).min
POSITIONS = 2**32


def count_ones(numbers: Tensor) -> Tensor:
    """Number of ones among the bits of each row, (m, w) int64 to (m,); overwrites its argument.

    Torch has no popcount. These sums of ever wider fields are passes over the numbers in place; a
    table of 16-bit parts has fewer, but must widen each part to an index: on one core of a CPU it
    takes 1.7 times as long, and more memory.
    """
    numbers -= (numbers >> 1).bitwise_and_(HALVES)
    pairs = (numbers >> 2).bitwise_and_(PAIRS)
    numbers.bitwise_and_(PAIRS).add_(pairs)
    numbers.add_(numbers >> 4).bitwise_and_(FOURS)
    return numbers.mul_(BYTES).bitwise_right_shift_(56).sum(1)


def contributions(
    weights: Tensor, query_codes: Tensor, codes: Tensor, selectivity: Selectivity, dim: int
) -> Tensor:
    """(m,) float32, what each of m postings adds to the sum of its image.

    Args:
        weights: (m,) float32 of the words.
        query_codes: (m, w) int64, the bits of signs, or (m, d) float32.
        codes: (m, w) int64, or (m, d) float16.
        selectivity: of a common word.
        dim: of a descriptor.
    """
    if codes.dtype == torch.int64:
        by_distance = torch.tensor(selectivity.by_distance(dim), device=codes.device)
        return weights * by_distance[count_ones(query_codes ^ codes)]
    similarity = (query_codes * codes).sum(1)
    selected = similarity.abs().pow(selectivity.alpha) * similarity.sign()
    return weights * torch.where(similarity >= selectivity.threshold, selected, 0.0)


def normalise(sums: Tensor, norms: Tensor, query_norms: Tensor) -> Tensor:
    """(q, n) float32 scores; an image or a query without words scores 0.

    Args:
        sums: (q, n) float32.
        norms: (n,) float64, squared norms of the images.
        query_norms: (q,) float64, squared norms of the queries.
    """
    roots = (query_norms[:, None] * norms).sqrt_()
    scores = torch.where(roots > 0, sums / roots, 0.0)
    return scores.float()


def best_first(scores: Tensor, alive: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Positions (q, k) int64 and scores (q, k) of the best, the lower position first among equals.

    Args:
        scores: (q, n) float32.
        alive: (n,) bool, False where an image was removed.
        top_k: at most as many as there are images alive.
    """
    keys = order_keys(scores).masked_fill_(~alive, LOWEST)
    best = positions_of(keys.topk(top_k).values)
    return best, scores.gather(1, best)


def order_keys(scores: Tensor, first: int = 0) -> Tensor:
    """(q, n) int64 that fall as scores (q, n) fall and, among equal ones, positions rise.

    Top-k of torch leaves open which of equal numbers it takes, so no two of these are equal: score
    above position. `first` is the position of column 0.
    """
    bits = (scores + 0.0).view(torch.int32)  # adding 0 makes -0 the same as 0
    ordered = torch.where(bits < 0, bits ^ torch.iinfo(torch.int32).max, bits).long()
    positions = torch.arange(first, first + scores.shape[1], device=scores.device)
    return (ordered * POSITIONS).add_(POSITIONS - 1 - positions)


def positions_of(keys: Tensor) -> Tensor:
    """Positions, int64, in `order_keys`."""
    return POSITIONS - 1 - keys.bitwise_and(POSITIONS - 1)


def scores_of(keys: Tensor) -> Tensor:
    """Scores, float32, in `order_keys`."""
    ordered = (keys >> 32).int()
    bits = torch.where(ordered < 0, ordered ^ torch.iinfo(torch.int32).max, ordered)
    return bits.view(torch.float32)
