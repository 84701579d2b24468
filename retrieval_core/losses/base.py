"""What a loss on labelled batches offers."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class LabelledLoss(nn.Module, ABC):
    """A loss of embeddings and the classes of their images.

    Its parameters, if any, are trained with the network, and its state belongs to a checkpoint.
    """

    @abstractmethod
    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss, averaged over anchors; 0, with a gradient of 0, where there is none.

        Args:
            embeddings: (n, D) float, unit norm.
            labels: (n,) integers, the classes.

        Returns:
            () of the embeddings' type, float32 for half precision.

        Raises:
            LossInputError: not a batch that the loss can take.
        """

    @abstractmethod
    def active(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Which anchors cost something: (m,) bool (arguments as `forward`)."""


class AnchorLoss(LabelledLoss):
    """The mean of what the anchors of a batch cost."""

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean of `costs`, or 0 (as `LabelledLoss.forward`)."""
        costs = self.costs(embeddings, labels)
        return costs.sum() / max(1, len(costs))

    @torch.no_grad()
    def active(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Which anchors cost something: (m,) bool (arguments as `forward`)."""
        return self.costs(embeddings, labels) > 0

    @abstractmethod
    def costs(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """What each of the m anchors costs: (m,), >= 0 (arguments as `forward`)."""
