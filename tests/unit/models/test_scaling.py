import pytest
import torch
from torch.nn.functional import normalize

from retrieval_core.models.scaling import combine_scales


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0, 20.0, 50.0])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_equal_scales_give_themselves(power: float, size: float) -> None:
    vectors = normalize(torch.randn(4, 2048, generator=torch.Generator().manual_seed(0)))
    combined = combine_scales([size * vectors] * 3, power)
    torch.testing.assert_close(combined, vectors, rtol=1e-5, atol=1e-7)
    assert combined.dtype == torch.float32


def test_the_mean_of_any_power_is_written_out() -> None:
    generator = torch.Generator().manual_seed(0)
    scales = [torch.rand(2, 5, generator=generator) for _ in range(3)]
    for power in (2.0, 3.0):
        mean = (sum(scale.pow(power) for scale in scales) / 3).pow(1 / power)
        torch.testing.assert_close(combine_scales(scales, power), normalize(mean))


def test_nothing_stays_nothing() -> None:
    assert combine_scales([torch.zeros(2, 5)] * 2, 3.0).tolist() == [[0.0] * 5] * 2
