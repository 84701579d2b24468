"""Pooling against slow, literal forms."""

import pytest
import torch

from retrieval_core.config import GlobalConfig
from retrieval_core.models.pooling import build_pooling, region_boxes


@pytest.fixture
def maps() -> torch.Tensor:
    return torch.rand(2, 4, 6, 9, generator=torch.Generator().manual_seed(0))


def pool(maps: torch.Tensor, **settings: object) -> torch.Tensor:
    return build_pooling(GlobalConfig(**settings), 4)(maps)


def test_one_and_infinity_are_the_limits_of_gem(maps: torch.Tensor) -> None:
    torch.testing.assert_close(pool(maps, p=1.0), pool(maps, pooling="spoc"))
    largest = pool(maps, pooling="mac")
    assert (largest - pool(maps, p=20.0)).abs().max() < 0.2
    assert (pool(maps, p=3.0) < largest).all()


@pytest.mark.parametrize("p", [3.0, 8.0, 20.0])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_any_exponent_has_finite_gradients(maps: torch.Tensor, p: float, scale: float) -> None:
    maps = scale * maps.abs()
    maps[:, 1] = 0  # a dead channel
    pooling = build_pooling(GlobalConfig(pooling="gem", p=p), maps.shape[1])
    maps.requires_grad_()
    pooled = pooling(maps)
    expected = maps.detach().double().clamp(min=1e-6).pow(p).mean((2, 3)).pow(1 / p)
    torch.testing.assert_close(pooled.double(), expected, rtol=1e-5, atol=0)
    pooled.sum().backward()
    assert maps.grad is not None and torch.isfinite(maps.grad).all()
    assert all(torch.isfinite(v.grad).all() for v in pooling.parameters() if v.grad is not None)


def test_gem_ignores_negative_parts() -> None:
    maps = torch.tensor([-5.0, 2.0]).view(1, 1, 1, 2)
    expected = torch.tensor([[(8 / 2) ** (1 / 3)]])
    torch.testing.assert_close(build_pooling(GlobalConfig(), 1)(maps), expected)


@pytest.mark.parametrize(("pooling", "exponents"), [("gem", 1), ("gemmp", 4)])
@pytest.mark.parametrize("learn_p", [True, False])
def test_exponents_are_learned_or_fixed(pooling: str, exponents: int, learn_p: bool) -> None:
    built = build_pooling(GlobalConfig(pooling=pooling, p=2.0, learn_p=learn_p), 4)
    assert built.p.tolist() == [2.0] * exponents
    assert built.p.requires_grad == learn_p


@pytest.mark.parametrize("pooling", ["mac", "spoc", "gem", "gemmp", "rmac"])
def test_regional_sums_whitened_regions(pooling: str, maps: torch.Tensor) -> None:
    built = build_pooling(GlobalConfig(pooling=pooling, regional=True, rmac_levels=2), 4)
    boxes = region_boxes(6, 9, 2)
    regions = [maps, *(maps[:, :, y : y + s, x : x + s] for y, x, s in boxes)]
    normalize = torch.nn.functional.normalize
    expected = sum(normalize(built.whitening(normalize(built.pooling(r)))) for r in regions)
    torch.testing.assert_close(built(maps), expected)


def test_gemmp_has_an_exponent_per_channel(maps: torch.Tensor) -> None:
    pooling = build_pooling(GlobalConfig(pooling="gemmp"), 4)
    with torch.no_grad():
        pooling.p.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    for channel in range(4):
        expected = pool(maps, p=channel + 1.0)[:, channel]
        torch.testing.assert_close(pooling(maps)[:, channel], expected)


@pytest.mark.parametrize(("height", "width"), [(6, 9), (9, 6), (7, 7), (15, 40), (1, 5), (1, 1)])
def test_regions_lie_inside_and_reach_every_edge(height: int, width: int) -> None:
    boxes = list(region_boxes(height, width, 3))
    assert boxes
    assert all(y >= 0 and x >= 0 and y + s <= height and x + s <= width for y, x, s in boxes)
    assert min(y for y, _, _ in boxes) == min(x for _, x, _ in boxes) == 0
    assert max(y + s for y, _, s in boxes) == height
    assert max(x + s for _, x, s in boxes) == width


def test_regions_of_a_square() -> None:
    assert list(region_boxes(6, 6, 2)) == [
        (0, 0, 6),
        (0, 0, 4),
        (0, 2, 4),
        (2, 0, 4),
        (2, 2, 4),
    ]


def test_rmac_sums_normalised_maxima(maps: torch.Tensor) -> None:
    regions = [maps, *(maps[:, :, y : y + s, x : x + s] for y, x, s in region_boxes(6, 9, 3))]
    expected = sum(torch.nn.functional.normalize(r.amax((2, 3))) for r in regions)
    torch.testing.assert_close(pool(maps, pooling="rmac"), expected)
