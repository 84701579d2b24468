"""Pooling of a feature map into one vector (arXiv 1511.05879, 1711.02512)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retrieval_core.config import GlobalConfig
from retrieval_core.config.model import Pooling

_OVERLAP = 0.4
_MOST_STEPS = 6


class Mac(nn.Module):
    """Maximum over locations."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) features to (B, C)."""
        return features.amax((2, 3))


class SPoC(nn.Module):
    """Mean over locations (arXiv 1510.07493)."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) features to (B, C)."""
        return features.mean((2, 3))


class GeM(nn.Module):
    """Generalised mean (arXiv 1711.02512, eq. 3).

    Args:
        p: initial exponent, > 0.
        size: 1, or the number of channels for an exponent each.
        learned: whether the exponent is trained, or stays as it is.
    """

    def __init__(self, p: float, size: int = 1, *, learned: bool = True) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((size,), p), requires_grad=learned)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) features to (B, C); parts below 1e-6 count as that."""
        features = features.clamp(min=1e-6)
        # the mean is homogeneous: powers of what is at most 1 do not overflow, nor do all vanish
        largest = features.detach().amax((2, 3), keepdim=True)
        powers = (features / largest).pow(self.p[:, None, None])
        return largest[:, :, 0, 0] * powers.mean((2, 3)).pow(1 / self.p)


class RMac(nn.Module):
    """Sum of the L2-normalised maxima over the whole map and its regions (arXiv 1511.05879).

    Args:
        levels: of regions, >= 1.
    """

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.pooling = Mac()
        self.levels = levels

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) features to (B, C)."""
        regions = regional(features, self.pooling, self.levels)
        return F.normalize(regions, dim=2).sum(1)


class RegionalPooling(nn.Module):
    """Regions pooled, normalised, whitened, normalised and summed (cirtorch's "regional").

    Args:
        pooling: (B, C, h, w) -> (B, C).
        channels: C.
        levels: of regions, >= 1.
    """

    def __init__(self, pooling: nn.Module, channels: int, levels: int) -> None:
        super().__init__()
        self.pooling = pooling
        self.levels = levels
        self.whitening = nn.Linear(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) features to (B, C)."""
        regions = F.normalize(regional(features, self.pooling, self.levels), dim=2)
        return F.normalize(self.whitening(regions), dim=2).sum(1)


def build_pooling(config: GlobalConfig, channels: int) -> nn.Module:
    """The pooling that a configuration names, on maps of so many channels."""
    choices: dict[Pooling, Callable[[], nn.Module]] = {
        "mac": Mac,
        "spoc": SPoC,
        "gem": lambda: GeM(config.p, learned=config.learn_p),
        "gemmp": lambda: GeM(config.p, channels, learned=config.learn_p),
        "rmac": lambda: RMac(config.rmac_levels),
    }
    pooling = choices[config.pooling]()
    return RegionalPooling(pooling, channels, config.rmac_levels) if config.regional else pooling


def common_exponent(pooling: nn.Module) -> float:
    """The exponent that all channels share; 1 where the pooling is no GeM or has one for each."""
    if isinstance(pooling, GeM) and pooling.p.numel() == 1:
        return float(pooling.p)
    return 1.0


def regional(features: Tensor, pooling: nn.Module, levels: int) -> Tensor:
    """The whole map and each of its regions pooled: (B, C, H, W) to (B, R, C)."""
    height, width = features.shape[2:]
    boxes = region_boxes(height, width, levels)
    crops = (features[:, :, y : y + side, x : x + side] for y, x, side in boxes)
    return torch.stack([pooling(features), *map(pooling, crops)], dim=1)


def region_boxes(height: int, width: int, levels: int) -> Iterator[tuple[int, int, int]]:
    """R-MAC's square regions: (top, left, side) in cells, levels one after another.

    Level l has side 2 min(H, W) / (l + 1) and l regions along the shorter side, so many more
    along the longer one that neighbours on level 1 overlap by about 40 %.
    """
    extra = _extra_regions(height, width)
    for level in range(1, levels + 1):
        side = 2 * min(height, width) // (level + 1)
        if side == 0:
            return
        tops = _starts(height, side, level + (extra if height > width else 0))
        lefts = _starts(width, side, level + (extra if width > height else 0))
        yield from ((top, left, side) for top in tops for left in lefts)


def _extra_regions(height: int, width: int) -> int:
    short, long = min(height, width), max(height, width)
    distances = [
        abs(1 - (long - short) / steps / short - _OVERLAP) for steps in range(1, _MOST_STEPS + 1)
    ]
    return 1 + distances.index(min(distances))


def _starts(length: int, side: int, count: int) -> list[int]:
    """Evenly spread starts of regions, rounded down."""
    return [i * (length - side) // max(count - 1, 1) for i in range(count)]
