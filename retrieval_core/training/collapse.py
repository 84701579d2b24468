"""A watch on training that has stopped to learn without saying so."""

import warnings

from retrieval_core.training.objective import Outcome

TINY_SPREAD = 0.05
REMEDIES = {
    "anchors": "where most classes have one image, training.sampling.kind 'triplets' draws anchors "
    "from the others alone",
    "negatives": "a higher training.loss.ratio matches more super-features",
}
"""Per `EpochStatistics.of`, what to do where there are none."""


class CollapseWarning(UserWarning):
    """Embeddings have become one point, or nothing is compared or costs anything any more."""


class EpochStatistics:
    """Averages over the tuples or labelled batches of an epoch.

    Args:
        of: plural of what may cost something: "negatives" of tuples, "anchors" of batches.
    """

    def __init__(self, of: str = "negatives") -> None:
        self.of = of
        self.images = 0
        self.compared = 0
        self._active = 0
        self._losses: list[float] = []
        self._spreads: list[float] = []

    def add(self, outcome: Outcome) -> None:
        """Take one tuple or batch into account."""
        self.images += outcome.images
        self.compared += outcome.compared
        self._active += outcome.active
        self._losses.append(outcome.loss.item())
        if outcome.spread is not None:
            self._spreads.append(outcome.spread)

    @property
    def loss(self) -> float | None:
        """Mean per tuple or batch; None before the first."""
        return _mean(self._losses)

    @property
    def spread(self) -> float | None:
        """Mean distance between two images of one, in [0, 2]; None before the first."""
        return _mean(self._spreads)

    @property
    def active_share(self) -> float | None:
        """Share of negatives or anchors that cost something, in [0, 1]; None before the first."""
        return self._active / self.compared if self.compared else None


def warn_of_collapse(statistics: EpochStatistics, epoch: int) -> list[str]:
    """Emit a `CollapseWarning` wherever an epoch's averages give reason to.

    Returns:
        What the warnings say.
    """
    messages = _symptoms(statistics, epoch)
    for message in messages:
        warnings.warn(message, CollapseWarning, stacklevel=2)
    return messages


def _symptoms(statistics: EpochStatistics, epoch: int) -> list[str]:
    found = []
    if statistics.spread is not None and statistics.spread < TINY_SPREAD:
        found.append(
            f"epoch {epoch}: two images are {statistics.spread:.2g} apart on average, the "
            f"embeddings have collapsed (mean loss {statistics.loss:.4g}); try a lower learning "
            "rate or less hard negatives"
        )
    if epoch and statistics.compared == 0:  # epoch 0 is the network before training
        found.append(
            f"epoch {epoch}: there are no {statistics.of} among {statistics.images} images, "
            f"nothing is compared; {REMEDIES[statistics.of]}"
        )
    if statistics.active_share == 0:
        found.append(
            f"epoch {epoch}: none of {statistics.compared} {statistics.of} costs anything, "
            "nothing is learnt from them; try a larger margin, pool or batch"
        )
    return found


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
