"""Global descriptor networks: pooling and whitening of a feature map (arXiv 1711.02512)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retrieval_core.config import ModelConfig
from retrieval_core.models.backbones import build_backbone, feature_map
from retrieval_core.models.base import RetrievalModel
from retrieval_core.models.pooling import GeM, build_pooling
from retrieval_core.models.scaling import combine_scales, rescale
from retrieval_core.models.whitening import LearnedWhitening, fit_pca_whitening, whitening_layer


class GemNetwork(RetrievalModel):
    """Backbone, local whitening, pooling, final whitening; the last three as configured.

    Args:
        config: of the network; `method` is "gem". Without final whitening, `dim` has no meaning.
    """

    local_dim = None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.features, channels = build_backbone(config.backbone, config.skip_layer)
        pooled = config.pooled
        self.local_whitening = nn.Linear(channels, channels) if pooled.local_whitening else None
        self.pooling = build_pooling(pooled, channels)
        self.whitening = whitening_layer(channels, config.dim) if pooled.whitening else None
        self.needs_whitening = self.whitening is not None
        self.global_dim = self.whitening.out_features if self.whitening else channels
        self.learned_whitening = (
            None if pooled.learned_whitening == "none" else LearnedWhitening(self.global_dim)
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) images to (B, D) descriptors of unit norm, differentiable."""
        pooled = self._pool(images)
        return pooled if self.whitening is None else F.normalize(self.whitening(pooled))

    def extract(
        self,
        images: Tensor,
        *,
        scales: Sequence[float],
        max_features: int,
        global_scales: Sequence[float],
        power: float | None = 1.0,
    ) -> tuple[None, Tensor]:
        """No local descriptors, and the global ones; see the base for arguments."""
        return None, self.extract_global(images, scales=global_scales, power=power)

    @torch.inference_mode()
    def extract_global(
        self, images: Tensor, *, scales: Sequence[float], power: float | None = 1.0
    ) -> Tensor:
        """Global descriptors combined over scales, then whitened (arXiv 1711.02512, section 5.3).

        Power None is the exponent of GeM where nothing follows it, else 1.
        """
        resized = (rescale(images, scale, recompute=False) for scale in scales)
        exponent = self._own_power() if power is None else power
        combined = combine_scales([self(r) for r in resized], exponent)
        return combined if self.learned_whitening is None else self.learned_whitening(combined)

    @torch.inference_mode()
    def whitening_inputs(self, images: Tensor) -> Tensor:
        """(B, C) pooled descriptors of unit norm, as they enter the final whitening."""
        return self._pool(images)

    def initialise_whitening(self, vectors: Tensor) -> None:
        """Set the final whitening layer to the PCA of (n, C) vectors.

        Raises:
            TypeError: the network has no final whitening.
        """
        if self.whitening is None:
            super().initialise_whitening(vectors)
        else:
            fit_pca_whitening(vectors.cpu().numpy()).copy_to(self.whitening)

    def _own_power(self) -> float:
        is_plain = self.config.pooled.pooling == "gem" and self.whitening is None
        return float(self.pooling.p) if is_plain and isinstance(self.pooling, GeM) else 1.0

    def _pool(self, images: Tensor) -> Tensor:
        maps = feature_map(self.features, images, self.smallest_side)
        if self.local_whitening is not None:
            maps = self.local_whitening(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return F.normalize(self.pooling(maps))
