"""What a labelled batch costs: the loss of its configuration, and CGD's classification."""

from typing import Protocol, cast

from torch import Tensor, nn

from retrieval_core.config import LossConfig
from retrieval_core.errors import ConfigError
from retrieval_core.losses.labelled import build_classification_loss, build_labelled_loss
from retrieval_core.models.base import RetrievalModel


class BranchedModel(Protocol):
    """A network whose first branch can be classified.

    Attributes:
        first_dim: dimensions of that branch.
    """

    first_dim: int

    def branches(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, D) of unit norm, and the first branch (B, first_dim)."""


class BatchLoss(nn.Module):
    """The loss on embeddings plus, for CGD, the weighted auxiliary classification.

    Args:
        model: network that learns.
        config: of the loss.
        classes: number of training classes.
        seed: of the loss's initial parameters.

    Raises:
        ConfigError: the loss is none on labelled batches, or asks for branches that the network
            does not have.
    """

    def __init__(
        self, model: RetrievalModel, config: LossConfig, classes: int, *, seed: int
    ) -> None:
        super().__init__()
        self.ranking = build_labelled_loss(config, model.global_dim, classes, seed=seed)
        self.weight = config.auxiliary.weight
        self.classification = None
        if self.weight:
            dim = branched(model).first_dim
            self.classification = build_classification_loss(config, dim, classes, seed=seed)

    def forward(self, embeddings: Tensor, branch: Tensor | None, labels: Tensor) -> Tensor:
        """The loss of a batch: ().

        Args:
            embeddings: (n, D) of unit norm.
            branch: (n, first_dim), where there is a classification.
            labels: (n,) int64.
        """
        cost: Tensor = self.ranking(embeddings, labels)
        if self.classification is None or branch is None:
            return cost
        classified: Tensor = self.weight * self.classification(branch, labels)
        return cost + classified


def branched(model: RetrievalModel) -> BranchedModel:
    """The network, as one with branches.

    Raises:
        ConfigError: it has none.
    """
    if not hasattr(model, "branches"):
        raise ConfigError(
            "training.loss.auxiliary: the classification of a branch needs model.method 'cgd', "
            f"not {model.config.method!r}"
        )
    return cast(BranchedModel, model)
