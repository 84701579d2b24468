"""What HOW and FIRe share: weighted local features that also sum up to a global descriptor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retrieval_core.config import ModelConfig
from retrieval_core.models.base import LocalFeatures, RetrievalModel
from retrieval_core.models.scaling import combine_scales, rescale
from retrieval_core.models.whitening import fit_pca_whitening, whitening_layer


@dataclass(frozen=True)
class WeightedFeatures:
    """All local features of a batch at one scale, before whitening.

    Attributes:
        vectors: (B, n, C) float32.
        strengths: (B, n) float32, > 0.
        width: cells in a row of the map; feature i is at x = i % width, y = i // width.
    """

    vectors: Tensor
    strengths: Tensor
    width: int


@dataclass(frozen=True)
class _Selection:
    """The strongest k of one scale: (B, k, d), (B, k), (B, k, 2), (B, k)."""

    descriptors: Tensor
    strengths: Tensor
    locations: Tensor
    scales: Tensor


class LocalNetwork(RetrievalModel):
    """Base of the networks with local descriptors.

    The whitening is a linear map, so the global descriptor is whitened after the sum over
    features, and of the local ones only the strongest are whitened.

    Args:
        config: of the network.
        features: backbone, (B, 3, H, W) -> (B, C, H', W').
        width: d_in, dimensions of a local feature before whitening.

    Raises:
        ConfigError: `config.dim` is more than that.
    """

    recompute_scale: ClassVar[bool]
    relative_strengths: ClassVar[bool]

    def __init__(self, config: ModelConfig, features: nn.Module, width: int) -> None:
        super().__init__()
        self.config = config
        self.features = features
        self.whitening = whitening_layer(width, config.dim).requires_grad_(False)
        self.needs_whitening = True
        self.global_dim = self.local_dim = self.whitening.out_features

    def weighted_features(self, images: Tensor) -> WeightedFeatures:
        """Local features of (B, 3, H, W) images and their strengths, differentiable."""
        raise TypeError(f"{type(self).__name__} does not say how to weigh local features")

    def forward(self, images: Tensor) -> Tensor:
        """Global descriptors: the sum of strength x whitened feature, L2-normalised."""
        return F.normalize(self._aggregate(self.weighted_features(images)))

    def extract(
        self,
        images: Tensor,
        *,
        scales: Sequence[float],
        max_features: int,
        global_scales: Sequence[float],
        power: float | None = 1.0,
    ) -> tuple[LocalFeatures, Tensor]:
        """Local and global descriptors from one pass per scale; see the base for arguments."""
        selected, pooled = self._pyramid(images, scales, max_features, global_scales)
        return self._strongest(selected, max_features), combine_scales(pooled, power or 1.0)

    def extract_local(
        self, images: Tensor, *, scales: Sequence[float], max_features: int
    ) -> LocalFeatures:
        """The strongest local descriptors over all scales."""
        selected, _ = self._pyramid(images, scales, max_features, ())
        return self._strongest(selected, max_features)

    def extract_global(
        self, images: Tensor, *, scales: Sequence[float], power: float | None = 1.0
    ) -> Tensor:
        """Global descriptors combined over scales; power 1 sums the local features of all."""
        _, pooled = self._pyramid(images, (), 1, scales)
        return combine_scales(pooled, power or 1.0)

    @torch.inference_mode()
    def whitening_inputs(self, images: Tensor) -> Tensor:
        """(n, d_in) features at scale 1, image after image, strongest first within an image."""
        found = self.weighted_features(images)
        order = found.strengths.argsort(descending=True)
        return _rows(found.vectors, order).flatten(0, 1)

    def initialise_whitening(self, vectors: Tensor) -> None:
        """Set the whitening layer to the PCA of (n, d_in) vectors."""
        fit_pca_whitening(vectors.cpu().numpy()).copy_to(self.whitening)

    @torch.inference_mode()
    def _pyramid(
        self,
        images: Tensor,
        scales: Sequence[float],
        max_features: int,
        global_scales: Sequence[float],
    ) -> tuple[list[_Selection], list[Tensor]]:
        selected, pooled = [], []
        for scale in dict.fromkeys((*scales, *global_scales)):
            resized = rescale(images, scale, recompute=self.recompute_scale)
            found = self.weighted_features(resized)
            if scale in scales:
                selected.append(self._select(found, scale, max_features))
            if scale in global_scales:
                pooled.append(self._aggregate(found))
        return selected, pooled

    def _aggregate(self, found: WeightedFeatures) -> Tensor:
        """(B, d) sums of strength x whitened feature."""
        weights = found.strengths.unsqueeze(1)
        pooled = F.linear((weights @ found.vectors).squeeze(1), self.whitening.weight)
        return pooled + weights.sum(2) * self.whitening.bias

    def _select(self, found: WeightedFeatures, scale: float, max_features: int) -> _Selection:
        k = min(max_features, found.strengths.shape[1])
        strengths, index = found.strengths.topk(k)
        return _Selection(
            self.whitening(_rows(found.vectors, index)),
            strengths,
            torch.stack((index % found.width, index // found.width), dim=2).float(),
            torch.full_like(strengths, scale),
        )

    @torch.inference_mode()
    def _strongest(self, selected: list[_Selection], max_features: int) -> LocalFeatures:
        strengths = torch.cat([s.strengths for s in selected], dim=1)
        k = min(max_features, strengths.shape[1])
        strengths, index = strengths.topk(k)
        if self.relative_strengths:
            strengths = strengths / strengths[:, :1]
        images = torch.arange(len(index), device=index.device)
        scales = torch.cat([s.scales for s in selected], dim=1)
        return LocalFeatures(
            _rows(torch.cat([s.descriptors for s in selected], dim=1), index).flatten(0, 1),
            strengths.flatten(),
            _rows(torch.cat([s.locations for s in selected], dim=1), index).flatten(0, 1),
            scales.gather(1, index).flatten(),
            images.repeat_interleave(k),
        )


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """Rows (B, k, C) of (B, n, C) by (B, k) index."""
    return x.gather(1, index.unsqueeze(2).expand(-1, -1, x.shape[2]))
