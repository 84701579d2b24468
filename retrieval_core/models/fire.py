"""FIRe: super-features that integrate local features (arXiv 2201.13182)."""

from torch import Tensor
from torch.nn import functional as F

from retrieval_core.config import ModelConfig
from retrieval_core.models.attention import l2_attention
from retrieval_core.models.backbones import build_backbone
from retrieval_core.models.lit import LocalFeatureIntegrationTransformer
from retrieval_core.models.local import LocalNetwork, WeightedFeatures


class FireNetwork(LocalNetwork):
    """Backbone, local feature integration transformer, whitening.

    Args:
        config: of the network; `method` is "fire".
    """

    recompute_scale = False
    relative_strengths = False

    def __init__(self, config: ModelConfig) -> None:
        features, channels = build_backbone(config)
        super().__init__(config, features, config.lit.dim)
        self.lit = LocalFeatureIntegrationTransformer(
            channels, config.lit.dim, config.lit.templates, config.lit.iterations
        )

    def super_features(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Super-features to train on, differentiable.

        Args:
            images: (B, 3, H, W) float32, normalised.

        Returns:
            (B, N, d) whitened features of unit norm; (B, N, H' * W') attention maps, which sum
            to 1; (B, N) strengths.
        """
        features, maps, strengths = self.attention_maps(images)
        return features, maps.flatten(2), strengths

    def attention_maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `super_features`, but the attention in the shape of the map: (B, N, H', W')."""
        cells = self.feature_maps(images)
        templates, attention = self.lit(cells)
        maps = attention.unflatten(2, cells.shape[2:])
        return F.normalize(self.whitening(templates), dim=2), maps, l2_attention(templates, 2)

    def weighted_features(self, images: Tensor) -> WeightedFeatures:
        """Super-features before whitening; the template's number stands for a location."""
        templates, _ = self.lit(self.feature_maps(images))
        return WeightedFeatures(templates, l2_attention(templates, dim=2), width=1)
