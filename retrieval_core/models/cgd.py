"""CGD: a combination of multiple global descriptors (arXiv 1903.10663)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retrieval_core.config import CgdConfig, ModelConfig
from retrieval_core.errors import ConfigError
from retrieval_core.models.backbones import build_backbone
from retrieval_core.models.pooling import GeM, Mac, SPoC
from retrieval_core.models.single import GlobalNetwork


class CgdNetwork(GlobalNetwork):
    """Backbone; per branch pooling, projection, L2 norm; their concatenation, L2-normalised.

    Args:
        config: of the network; `method` is "cgd". Where the branches do not divide `dim`, the
            first ones get one dimension more.

    Raises:
        ConfigError: `dim` is less than the number of branches.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.features, channels = build_backbone(config)
        letters = config.cgd.combination
        self.global_dim = config.dim or channels
        widths = split_dimensions(self.global_dim, len(letters))
        self.poolings = nn.ModuleList(_pooling(letter, config.cgd) for letter in letters)
        self.projections = nn.ModuleList(nn.Linear(channels, w, bias=False) for w in widths)
        self.first_dim = widths[0]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) images to (B, D) descriptors of unit norm, differentiable."""
        return self.branches(images)[0]

    def branches(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The descriptor, and what the auxiliary classification learns from.

        Args:
            images: (B, 3, H, W) float32, normalised.

        Returns:
            (B, D) descriptors of unit norm; (B, first_dim) projections of the first branch, which
            are not normalised. Both differentiable.
        """
        maps = self.feature_maps(images)
        projected = [
            project(pool(maps))
            for pool, project in zip(self.poolings, self.projections, strict=True)
        ]
        joined = torch.cat([F.normalize(branch) for branch in projected], dim=1)
        return F.normalize(joined), projected[0]


def split_dimensions(dim: int, branches: int) -> list[int]:
    """Dimensions per branch: as equal as can be, the larger ones first.

    Raises:
        ConfigError: there are fewer dimensions than branches.
    """
    if dim < branches:
        raise ConfigError(f"model.dim: {dim} is less than the {branches} branches of cgd")
    share, rest = divmod(dim, branches)
    return [share + (i < rest) for i in range(branches)]


def _pooling(letter: str, config: CgdConfig) -> nn.Module:
    if letter == "G":
        return GeM(config.p, learned=config.learn_p)
    return SPoC() if letter == "S" else Mac()
