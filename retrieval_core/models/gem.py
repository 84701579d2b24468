"""Global descriptor networks: pooling and whitening of a feature map (arXiv 1711.02512)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retrieval_core.config import ModelConfig
from retrieval_core.models.backbones import build_backbone
from retrieval_core.models.pooling import build_pooling, common_exponent
from retrieval_core.models.single import GlobalNetwork
from retrieval_core.models.whitening import LearnedWhitening, fit_pca_whitening, whitening_layer


class GemNetwork(GlobalNetwork):
    """Backbone, local whitening, pooling, final whitening; the last three as configured.

    Args:
        config: of the network; `method` is "gem". Without final whitening, `dim` has no meaning.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.features, channels = build_backbone(config)
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

    @torch.inference_mode()
    def extract_global(
        self, images: Tensor, *, scales: Sequence[float], power: float | None = 1.0
    ) -> Tensor:
        """Global descriptors combined over scales, then whitened; see the base for arguments."""
        combined = super().extract_global(images, scales=scales, power=power)
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
        return common_exponent(self.pooling) if self.whitening is None else 1.0

    def _pool(self, images: Tensor) -> Tensor:
        maps = self.feature_maps(images)
        if self.local_whitening is not None:
            maps = self.local_whitening(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return F.normalize(self.pooling(maps))
