"""Classification of an embedding, beside a ranking loss."""

from torch import Tensor, nn

from retrieval_core.errors import LossInputError
from retrieval_core.losses.pairs import check_batch, check_classes


class ClassificationLoss(nn.Module):
    """Cross-entropy of the classes that a batch-norm and a linear layer see in a branch.

    Soft-max of (W x + b) / temperature against labels that keep 1 - label_smoothing of their mass
    and spread the rest over all classes. Jun et al.: Combination of Multiple Global Descriptors
    for Image Retrieval (arXiv 1903.10663), equation 4. The layers belong to the loss: a network
    that is exported knows no classes.

    Args:
        dim: dimensions of the branch.
        classes: number of classes, whose labels are 0 .. classes - 1.
        temperature: divides the logits, > 0; below 1 it sharpens gradients.
        label_smoothing: in [0, 1).

    Example:
        >>> import torch
        >>> loss = ClassificationLoss(dim=4, classes=3)
        >>> value = loss(torch.eye(4), torch.tensor([0, 1, 2, 2]))
        >>> value.backward()
        >>> tuple(loss.linear.weight.grad.shape)
        (3, 4)
    """

    def __init__(
        self, dim: int, classes: int, temperature: float = 0.5, label_smoothing: float = 0.1
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim)
        self.linear = nn.Linear(dim, classes)
        self.temperature = temperature
        self.label_smoothing = label_smoothing

    def forward(self, branch: Tensor, labels: Tensor) -> Tensor:
        """The loss, averaged over images.

        Args:
            branch: (n, dim) float.
            labels: (n,) integers in [0, classes).

        Returns:
            () of the layers' type.

        Raises:
            LossInputError: not a labelled batch, other dimensions, or a label of no class.
        """
        check_batch(branch, labels)
        classes, dim = self.linear.weight.shape
        check_classes(labels, classes)
        if branch.shape[1] != dim:
            raise LossInputError(f"the branch has {branch.shape[1]} dimensions, not {dim}")
        logits = self.linear(self._normalised(branch.to(self.linear.weight.dtype)))
        return nn.functional.cross_entropy(
            logits / self.temperature,
            labels.long().to(branch.device),
            label_smoothing=self.label_smoothing,
        )

    def _normalised(self, branch: Tensor) -> Tensor:
        if len(branch) > 1:
            normalised: Tensor = self.norm(branch)
            return normalised
        # A lone image has no variance: the running one stands in.
        norm = self.norm
        return nn.functional.batch_norm(
            branch, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )
