"""HOW: local descriptors weighted by their norm (arXiv 2007.13172)."""

from torch import Tensor

from retrieval_core.config import ModelConfig
from retrieval_core.errors import ConfigError
from retrieval_core.models.attention import l2_attention, smooth
from retrieval_core.models.backbones import build_backbone
from retrieval_core.models.local import LocalNetwork, WeightedFeatures


class HowNetwork(LocalNetwork):
    """Backbone, L2 attention, average smoothing, whitening.

    Args:
        config: of the network; `method` is "how".

    Raises:
        ConfigError: the smoothing window is even.
    """

    recompute_scale = True
    relative_strengths = True

    def __init__(self, config: ModelConfig) -> None:
        if config.smoothing and config.smoothing % 2 == 0:
            raise ConfigError(f"model.smoothing: {config.smoothing} is even; give 0 or an odd one")
        super().__init__(config, *build_backbone(config))

    def weighted_features(self, images: Tensor) -> WeightedFeatures:
        """Smoothed features of every cell; strengths are norms before the smoothing."""
        maps = self.feature_maps(images)
        strengths = l2_attention(maps).flatten(1)
        smoothed = smooth(maps, self.config.smoothing)
        return WeightedFeatures(smoothed.flatten(2).transpose(1, 2), strengths, maps.shape[3])
