"""The pairs of a labelled batch: who is near whom, and who should be."""

import torch
from torch import Tensor, nn

from retrieval_core.errors import LossInputError


def check_batch(embeddings: Tensor, labels: Tensor) -> None:
    """Refuse what is not a labelled batch.

    Raises:
        LossInputError: not (n, D) embeddings of at least one image with (n,) integer labels.
    """
    if embeddings.dim() != 2 or not len(embeddings):
        raise LossInputError(f"embeddings are (n > 0, D), not {tuple(embeddings.shape)}")
    if labels.shape != embeddings.shape[:1]:
        raise LossInputError(
            f"{len(embeddings)} embeddings need labels of shape ({len(embeddings)},), "
            f"not {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise LossInputError(f"labels are integers, not {labels.dtype}")


def check_classes(labels: Tensor, classes: int) -> None:
    """Refuse labels of no class.

    Raises:
        LossInputError: a label is not in [0, classes).
    """
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= classes:
        raise LossInputError(
            f"labels are 0 to {classes - 1}, the classes of training, not {lowest}..{highest}"
        )


def at_least_single(embeddings: Tensor) -> Tensor:
    """Embeddings in float32 where they have half of it: distances need its digits."""
    return embeddings.float() if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings


def compare_anchors(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distances from every anchor to the whole batch.

    An anchor is an image of whose class, and of another class, the batch has an image besides.

    Args:
        embeddings: (n, D) float.
        labels: (n,) integers.

    Returns:
        (m, n) Euclidean distances of the m anchors, in float32 at least; (m, n) bool, its
        positives (never itself); (m, n) bool, its negatives.

    Raises:
        LossInputError: as `check_batch`.
    """
    check_batch(embeddings, labels)
    precise = at_least_single(embeddings)
    # Exact differences: the matrix-product form loses small distances, and their gradients.
    distances = torch.cdist(precise, precise, compute_mode="donot_use_mm_for_euclid_dist")
    labels = labels.to(embeddings.device)
    same = labels[:, None] == labels
    positives = same & ~torch.eye(len(labels), dtype=torch.bool, device=same.device)
    anchors = positives.any(dim=1) & ~same.all(dim=1)
    return distances[anchors], positives[anchors], ~same[anchors]


def triplet_costs(near: Tensor, far: Tensor, margin: float, *, soft: bool) -> Tensor:
    """What it costs that positives are at `near` and negatives at `far`.

    Args:
        near: (m,) distances to positives.
        far: (m,) distances to negatives.
        margin: by which `far` should exceed `near`, >= 0; not used when soft.
        soft: log(1 + exp(near - far)), that never ends to pull, instead of the margin.

    Returns:
        (m,), >= 0.
    """
    return nn.functional.softplus(near - far) if soft else (near - far + margin).clamp(min=0)
