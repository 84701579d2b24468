"""What training tells about itself."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EpochReport:
    """One epoch; epoch 0 is the network before training.

    Attributes:
        epoch: number, >= 0.
        loss: mean per tuple or batch; None at epoch 0.
        validation_map: in [0, 1]; None where the val split is missing.
        learning_rate: of the epoch's last step; the configured one at epoch 0.
        active_share: share of a tuple's negatives, or of a batch's anchors, that cost something,
            in [0, 1]; None where there were none.
        embedding_spread: mean distance between two images of a tuple or batch, in [0, 2]; None at
            epoch 0.
        seconds: of mining, training and validation.
        images: that went through a training step.
        excluded: unreadable images so far.
        validation_recall: Recall@1 in [0, 1]; None where the val split is missing.
        warnings: what was wrong with the epoch, such as embeddings that have collapsed.
    """

    epoch: int
    loss: float | None
    validation_map: float | None
    learning_rate: float
    active_share: float | None
    embedding_spread: float | None
    seconds: float
    images: int
    excluded: int
    validation_recall: float | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingReport:
    """The whole training.

    Attributes:
        history: every epoch, from epoch 0 on.
        best_epoch: whose weights were kept.
        resumed_from: epoch of the checkpoint that was gone on from; None after a fresh start.
        excluded: image id, path and reason of each unreadable image.
    """

    history: list[EpochReport]
    best_epoch: int
    resumed_from: int | None
    excluded: list[dict[str, Any]]
