"""Who is who in a batch of training tuples."""

import torch
from torch import Tensor

from retrieval_core.errors import LossInputError

QUERY, POSITIVE, NEGATIVE = -1, 1, 0


def tuple_numbers(roles: Tensor, count: int) -> Tensor:
    """Number every image by the tuple it belongs to.

    Args:
        roles: (n,) integers, -1 query, 1 positive, 0 negative; tuples stand one after another,
            each beginning with its query and holding one positive and any number of negatives.
        count: number of images that the roles have to fit.

    Returns:
        (n,) int64, the tuple of each image, ascending from 0.

    Raises:
        LossInputError: the roles do not fit the images or do not form such tuples.
    """
    if roles.shape != (count,):
        raise LossInputError(f"{count} images need roles of shape ({count},), not {roles.shape}")
    numbers = torch.cumsum(roles == QUERY, dim=0) - 1
    known = (roles == QUERY) | (roles == POSITIVE) | (roles == NEGATIVE)
    positives = numbers[roles == POSITIVE]
    expected = torch.arange(int(numbers[-1]) + 1 if count else 0, device=roles.device)
    starts_with_query = count > 0 and int(roles[0]) == QUERY
    if not (starts_with_query and bool(known.all()) and torch.equal(positives, expected)):
        raise LossInputError(
            "roles must be tuples of one query (-1), one positive (1) and negatives (0), "
            f"not {roles.tolist()}"
        )
    return numbers
