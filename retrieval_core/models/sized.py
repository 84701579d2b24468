"""Backbones that may be built for images of one size."""

from torch import Tensor, nn


class SizedBackbone(nn.Module):
    """Base of the backbones that say what images they take.

    Attributes:
        side: pixels of a side of the only images that the network takes; None if it takes any.
    """

    side: int | None

    def own_form(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Published tensors as the network would have them: renamed, positions fitted to `side`.

        Args:
            tensors: by the names of those who publish them.

        Returns:
            By the network's names; the same as before where no other form of them is known.
        """
        raise TypeError(f"{type(self).__name__} does not say how tensors are converted")
