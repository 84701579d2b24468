"""Labelled batches, usual and degenerate."""

import pytest
import torch
from torch.nn.functional import normalize

DIM = 8
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def _unit(count):
    vectors = torch.randn(count, DIM, generator=torch.Generator().manual_seed(count))
    return normalize(vectors.double(), dim=1)


BATCHES = {
    "usual": (_unit(12), torch.arange(12) // 3),
    "shuffled, uneven": (_unit(9), torch.tensor([2, 0, 1, 0, 2, 0, 1, 2, 0])),
    "a class of one image": (_unit(7), torch.tensor([0, 0, 0, 1, 1, 1, 2])),
    "identical embeddings": (normalize(torch.ones(12, DIM).double(), dim=1), torch.arange(12) // 3),
    "identical within classes": (_unit(4).repeat_interleave(3, 0), torch.arange(12) // 3),
    "equal across classes": (_unit(3).repeat(4, 1), torch.arange(12) // 3),
    "one class only": (_unit(6), torch.zeros(6, dtype=torch.int64)),
    "every image its own class": (_unit(4), torch.arange(4)),
    "a single image": (_unit(1), torch.tensor([3])),
}


@pytest.fixture(params=BATCHES)
def batch(request):
    """Embeddings (n, 8) float64 of unit norm and labels (n,) in [0, 4)."""
    embeddings, labels = BATCHES[request.param]
    return embeddings.clone(), labels


@pytest.fixture
def usual_batch():
    """Four classes of three images each."""
    embeddings, labels = BATCHES["usual"]
    return embeddings.clone(), labels


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request):
    """Every floating-point type."""
    return request.param
