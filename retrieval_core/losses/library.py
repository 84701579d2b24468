"""Losses and miners of pytorch-metric-learning."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from pytorch_metric_learning.distances import CosineSimilarity, SNRDistance
from pytorch_metric_learning.losses import CrossBatchMemory
from pytorch_metric_learning.reducers import DoNothingReducer
from torch import Tensor

from retrieval_core.config import LibraryLossConfig
from retrieval_core.config.library import check_library_loss, library_class, size_arguments
from retrieval_core.errors import ConfigError, LossInputError
from retrieval_core.losses.base import LabelledLoss
from retrieval_core.losses.distance_weighted import DistanceWeightedMiner
from retrieval_core.losses.pairs import at_least_single, check_batch, check_classes

# Keeps the angle between equal vectors, and its gradient, finite.
LARGEST_COSINE = 1 - 1e-6


class LibraryLoss(LabelledLoss):
    """A loss of pytorch-metric-learning by name, with a miner and a cross-batch memory.

    Half precision is computed in float32, where half of the losses are undefined or overflow, and
    what a miner draws at random follows from the seed alone. Parameters of the loss (proxies,
    class vectors) are parameters of this module; the memory is part of its state.
    Cross-batch memory: Wang et al. (arXiv 1912.06798).

    Args:
        config: names and arguments.
        dim: dimensions of the embeddings.
        classes: number of classes, for losses that have parameters per class.
        seed: of those parameters and of miners.

    Raises:
        ConfigError: the library has no such loss or miner, or not with these arguments.

    Example:
        >>> import torch
        >>> from retrieval_core.config import LibraryLossConfig
        >>> loss = LibraryLoss(LibraryLossConfig(name="ProxyAnchorLoss"), dim=4, classes=2)
        >>> value = loss(torch.eye(4), torch.tensor([0, 0, 1, 1]))
        >>> [(name, tuple(p.shape)) for name, p in loss.named_parameters()]
        [('loss.proxies', (2, 4))]
    """

    def __init__(self, config: LibraryLossConfig, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__()
        try:
            check_library_loss(config)
        except ValueError as error:
            raise ConfigError(f"training.loss.{error}") from None
        self.config = config
        self.classes = classes
        self.seed = seed
        self.batches: Tensor
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.loss = _build_loss(config, dim, classes)
        miner = _build_miner(config)
        self.miner: Any = None if config.memory else miner
        if config.memory:
            self.loss = _Memory(self.loss, dim, config.memory, miner)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss as the library averages it; 0 where a batch has nothing to compare.

        Args:
            embeddings: (n, D) float.
            labels: (n,) integers, in [0, classes) for losses with parameters per class.

        Returns:
            () of the embeddings' type, float32 for half precision.

        Raises:
            LossInputError: not a labelled batch, or one that the loss is not defined on.
        """
        self._check(embeddings, labels)
        self.batches.add_(1)
        precise = at_least_single(embeddings)
        value: Tensor = self._run(self.loss, precise, labels)
        # NCA of images that are each of another class: the mean over no anchor
        nothing = not value.isfinite() and len(set(labels.tolist())) == len(labels)
        return (precise * 0).sum() if nothing else value

    @torch.no_grad()
    def active(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Which images cost something as an anchor: (n,) bool (arguments as `forward`).

        With a memory, a batch that it holds already is compared with itself as well.
        """
        self._check(embeddings, labels)
        memory = self.loss if isinstance(self.loss, _Memory) else None
        # what is large is shared with the copy: parameters do not change, the memory is put back
        shared = [*self.loss.parameters(), *(memory.stored() if memory else ())]
        loss = copy.deepcopy(self.loss, {id(tensor): tensor for tensor in shared})
        (loss.loss if memory else loss).reducer = DoNothingReducer()
        with memory.unchanged(len(labels)) if memory else nullcontext():
            parts = self._run(loss, at_least_single(embeddings), labels)
        return _costly(parts.values(), len(labels), per_class=bool(list(self.parameters())))

    def _run(self, loss: Any, embeddings: Tensor, labels: Tensor) -> Any:
        labels = labels.long().to(embeddings.device)
        try:
            with _own_randomness(self.seed + int(self.batches), embeddings.device):
                mined = None if self.miner is None else self.miner(embeddings, labels)
                return loss(embeddings, labels, mined)
        except (ValueError, AssertionError) as error:
            raise LossInputError(
                f"{self.config.name} is not defined on labels {labels.tolist()}: {error}"
            ) from None

    def _check(self, embeddings: Tensor, labels: Tensor) -> None:
        check_batch(embeddings, labels)
        if list(self.parameters()):
            check_classes(labels, self.classes)
        if self.config.memory and len(labels) > self.config.memory:
            raise LossInputError(
                f"a batch of {len(labels)} exceeds training.loss.library.memory = "
                f"{self.config.memory}"
            )


class _Memory(CrossBatchMemory):  # type: ignore[misc]
    """Cross-batch memory whose fill level survives a checkpoint."""

    def stored(self) -> tuple[Tensor, Tensor]:
        """Embeddings (size, D) and labels (size,), those not yet written included."""
        return self.embedding_memory, self.label_memory

    @contextmanager
    def unchanged(self, count: int) -> Iterator[None]:
        """Put back afterwards what the next `count` images overwrite."""
        rows = torch.arange(self.queue_idx, self.queue_idx + count) % self.memory_size
        before = [(tensor, tensor[rows]) for tensor in self.stored()]
        try:
            yield
        finally:
            for tensor, values in before:
                tensor[rows] = values

    def get_extra_state(self) -> Tensor:
        """Next row to be written, and whether all have been."""
        return torch.tensor([self.queue_idx, int(self.has_been_filled)])

    def set_extra_state(self, state: Tensor) -> None:
        """Continue where `get_extra_state` was taken."""
        self.queue_idx, self.has_been_filled = int(state[0]), bool(state[1])


class _BoundedCosine(CosineSimilarity):  # type: ignore[misc]
    """Cosines that rounding does not carry past 1, where histograms and angles end."""

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Cosines (n, m) of unit vectors."""
        cosines: Tensor = super().compute_mat(query_emb, ref_emb)
        return cosines.clamp(-LARGEST_COSINE, LARGEST_COSINE)


class _DefinedNoise(SNRDistance):  # type: ignore[misc]
    """Noise to signal: NaN, which costs nothing, where the anchor has no signal."""

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Variances (n, m) of the differences of unit vectors, over those of the n anchors."""
        signal = query_emb.var(dim=1)[:, None]
        # components that are equal but for rounding
        silent = signal <= torch.finfo(signal.dtype).eps ** 2
        noise = (query_emb[:, None] - ref_emb).var(dim=2)
        # dividing by 1 there keeps the gradients of what is left out at 0
        return (noise / signal.masked_fill(silent, 1)).masked_fill(silent, torch.nan)


def _build_loss(config: LibraryLossConfig, dim: int, classes: int) -> Any:
    found = library_class("losses", config.name)
    loss = found(**config.arguments, **size_arguments(found, dim, classes))
    if type(loss.distance) is CosineSimilarity:
        loss.distance = _BoundedCosine()
    elif type(loss.distance) is SNRDistance:
        loss.distance = _DefinedNoise()
    return loss


def _build_miner(config: LibraryLossConfig) -> Any:
    if config.miner is None:
        return None
    found = library_class("miners", config.miner)
    if config.miner == "DistanceWeightedMiner":
        found = DistanceWeightedMiner
    return found(**config.miner_arguments)


def _costly(parts: Iterable[Mapping[str, Any]], images: int, *, per_class: bool) -> Tensor:
    """Which images are anchors of costs above 0, as the library lists them by pair or triplet.

    Costs of a whole batch, or of the vectors of classes, are every image's.
    """
    costly = torch.zeros(images, dtype=torch.bool)
    for part in parts:
        costs, indices = torch.as_tensor(part["losses"]) > 0, part["indices"]
        if per_class or costs.dim() == 0:
            costly |= costs.any().cpu()
        else:
            anchors = indices if isinstance(indices, Tensor) else indices[0]
            costly[anchors[costs.flatten()].cpu()] = True
    return costly


@contextmanager
def _own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Let the library draw from the global generators, and leave these as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
