"""A watch on training that has stopped to learn without saying so."""

import warnings

from retrieval_core.training.objective import TupleOutcome

TINY_SPREAD = 0.05


class CollapseWarning(UserWarning):
    """Embeddings have become one point, or no negative costs anything any more."""


class EpochStatistics:
    """Averages over the tuples of an epoch."""

    def __init__(self) -> None:
        self.images = 0
        self.negatives = 0
        self._active = 0
        self._losses: list[float] = []
        self._spreads: list[float] = []

    def add(self, outcome: TupleOutcome) -> None:
        """Take one tuple into account."""
        self.images += outcome.images
        self.negatives += outcome.negatives
        self._active += outcome.active
        self._losses.append(outcome.loss.item())
        self._spreads.append(outcome.spread)

    @property
    def loss(self) -> float | None:
        """Mean per tuple; None before the first."""
        return _mean(self._losses)

    @property
    def spread(self) -> float | None:
        """Mean distance between two images of a tuple, in [0, 2]; None before the first."""
        return _mean(self._spreads)

    @property
    def active_share(self) -> float | None:
        """Share of negatives that cost something, in [0, 1]; None before the first."""
        return self._active / self.negatives if self.negatives else None


def warn_of_collapse(statistics: EpochStatistics, epoch: int) -> None:
    """Emit a `CollapseWarning` where an epoch's averages give reason to."""
    if statistics.spread is not None and statistics.spread < TINY_SPREAD:
        _warn(
            f"epoch {epoch}: images of a tuple are {statistics.spread:.2g} apart on average, the "
            "embeddings have collapsed; try a lower learning rate"
        )
    if statistics.active_share == 0:
        _warn(
            f"epoch {epoch}: none of {statistics.negatives} negatives costs anything, nothing is "
            "learnt from them; try a larger margin or pool"
        )


def _warn(message: str) -> None:
    warnings.warn(message, CollapseWarning, stacklevel=3)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
