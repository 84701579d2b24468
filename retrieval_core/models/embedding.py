"""A plain embedding network."""

from torch import Tensor, nn
from torch.nn import functional as F

from retrieval_core.config import ModelConfig
from retrieval_core.models.backbones import build_backbone
from retrieval_core.models.pooling import build_pooling, common_exponent
from retrieval_core.models.single import GlobalNetwork


class EmbeddingNetwork(GlobalNetwork):
    """Backbone, pooling, projection, L2 norm.

    Args:
        config: of the network; `method` is "embedding". Without `dim` there is no projection.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.features, channels = build_backbone(config)
        self.pooling = build_pooling(config.pooled, channels)
        self.projection = nn.Linear(channels, config.dim) if config.dim else None
        self.global_dim = config.dim or channels

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) images to (B, D) descriptors of unit norm, differentiable."""
        pooled = self.pooling(self.feature_maps(images))
        return F.normalize(pooled if self.projection is None else self.projection(pooled))

    def _own_power(self) -> float:
        return common_exponent(self.pooling) if self.projection is None else 1.0
