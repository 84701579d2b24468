"""How networks learn: whitening by PCA, mined tuples, the loop, checkpoints."""

from retrieval_core.training.collapse import CollapseWarning
from retrieval_core.training.loop import train
from retrieval_core.training.report import EpochReport, TrainingReport
from retrieval_core.training.whitening import WhiteningReport, initialise_whitening

__all__ = [
    "CollapseWarning",
    "EpochReport",
    "TrainingReport",
    "WhiteningReport",
    "initialise_whitening",
    "train",
]
