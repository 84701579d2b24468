"""Clustered descriptors, so that images share visual words as real ones do."""

from collections.abc import Callable

import numpy as np
import pytest

Draw = Callable[[int], np.ndarray]

DIM, WORDS = 72, 24


@pytest.fixture
def draw() -> Draw:
    """(n, 72) float32 unit vectors around 30 centres."""
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((30, DIM))

    def sample(count: int) -> np.ndarray:
        vectors = centres[rng.integers(30, size=count)] + 0.7 * rng.standard_normal((count, DIM))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors.astype(np.float32)

    return sample
