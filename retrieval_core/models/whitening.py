"""Whitening learned from vectors alone (PCA) or from matching pairs (Lw)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from retrieval_core.arrays import load_fields, save_fields
from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ConfigError, IndexInputError


@dataclass(frozen=True)
class Whitening:
    """An affine map that makes dimensions comparable.

    Attributes:
        mean: (D,) float64, subtracted first.
        projection: (D', D) float64, strongest direction first.
    """

    mean: NDArray[np.float64]
    projection: NDArray[np.float64]

    def apply(self, x: ArrayLike, dimensions: int | None = None) -> NDArray[np.float64]:
        """Whitened, L2-normalised vectors.

        Args:
            x: (n, D) vectors.
            dimensions: first dimensions that are kept, 1 to D'; None keeps all.

        Returns:
            (n, dimensions) float64, rows of unit norm.

        Raises:
            IndexInputError: `dimensions` is out of range.
        """
        most = len(self.projection)
        if dimensions is not None and not 1 <= dimensions <= most:
            raise IndexInputError(f"dimensions: expected 1 to {most}, found {dimensions}")
        projected = (np.asarray(x, np.float64) - self.mean) @ self.projection[:dimensions].T
        norms = np.linalg.norm(projected, axis=1, keepdims=True)
        return np.asarray(projected / (norms + 1e-6))

    def copy_to(self, layer: nn.Linear) -> None:
        """Make a (D -> out) layer compute the first `out` whitened dimensions."""
        kept = torch.from_numpy(self.projection[: layer.out_features].copy())
        with torch.no_grad():
            layer.weight.copy_(kept)
            layer.bias.copy_(-kept @ torch.from_numpy(self.mean))

    def save(self, directory: ArtifactDirectory) -> None:
        """Write `mean.npy` and `projection.npy`."""
        save_fields(self, directory)

    @staticmethod
    def load(uri: str | Path) -> "Whitening":
        """Map a saved one into memory, read-only.

        Raises:
            ArtifactError: a file is missing or unreadable.
        """
        return load_fields(Whitening, uri)


class LearnedWhitening(nn.Module):
    """A fixed whitening of finished descriptors; the identity until a checkpoint fills it.

    Args:
        dim: D, dimensions of the descriptors.
    """

    mean: Tensor
    projection: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("projection", torch.eye(dim))

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, D) descriptors to (B, D) of unit norm; the mean goes first, which rounds less."""
        return F.normalize((vectors - self.mean) @ self.projection.T)


def whitening_layer(width: int, dim: int | None) -> nn.Linear:
    """A randomly initialised whitening of (n, width) vectors to `dim`, or to as many, dimensions.

    Raises:
        ConfigError: there are fewer dimensions than `dim`.
    """
    if dim is not None and dim > width:
        raise ConfigError(f"model.dim: {dim} is more than the {width} dimensions before whitening")
    return nn.Linear(width, dim or width)


def fit_pca_whitening(x: ArrayLike) -> Whitening:
    """PCA whitening: unit variance along every direction in which the vectors vary.

    Directions without any variance are projected to zero instead of being blown up.

    Args:
        x: (n, D) vectors, n >= 2.

    Returns:
        Whitening with a (D, D) projection.

    Raises:
        IndexInputError: another shape, or a value that is not finite.
    """
    vectors = _training_vectors(x)
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    values, directions = _descending_eigh(centred.T @ centred / len(vectors))
    rounding = values[0] * max(vectors.shape) * np.finfo(np.float64).eps
    varies = values > max(rounding, np.finfo(np.float64).tiny)
    scales = np.where(varies, 1 / np.sqrt(np.where(varies, values, 1)), 0)
    return Whitening(mean, scales[:, None] * directions.T)


def fit_learned_whitening(
    x: ArrayLike, query_rows: ArrayLike, positive_rows: ArrayLike, *, shrinkage: float = 0.0
) -> Whitening:
    """Lw whitening (arXiv 1604.02426, section 3.3): equal variance within matching pairs.

    Args:
        x: (n, D) vectors.
        query_rows: (m,) rows of x, m >= 1.
        positive_rows: (m,) rows of x that match them, one each.
        shrinkage: of the pairs' covariance towards equal variance in all directions (Ledoit, Wolf,
            2004), in [0, 1]; 0 is the paper's.

    Returns:
        Whitening with a (D, D) projection, directions of most variance first.

    Raises:
        IndexInputError: another shape, a value that is not finite, or rows that x does not have.
    """
    vectors = _training_vectors(x)
    query_index = _pair_rows(query_rows, len(vectors), "query_rows")
    positive_index = _pair_rows(positive_rows, len(vectors), "positive_rows")
    if len(query_index) != len(positive_index):
        raise IndexInputError(
            f"{len(query_index)} query_rows cannot be paired with "
            f"{len(positive_index)} positive_rows"
        )
    queries, positives = vectors[query_index], vectors[positive_index]
    mean = queries.mean(axis=0)
    differences = queries - positives
    covariance = differences.T @ differences / len(differences)
    equal = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    within = np.linalg.inv(_cholesky((1 - shrinkage) * covariance + shrinkage * equal))
    projected = (vectors - mean) @ within.T
    _, directions = _descending_eigh(projected.T @ projected)
    return Whitening(mean, directions.T @ within)


def _training_vectors(x: ArrayLike) -> NDArray[np.float64]:
    vectors = np.asarray(x, np.float64)
    if vectors.ndim != 2 or len(vectors) < 2:
        raise IndexInputError(f"x: expected (n >= 2, D) vectors, found {vectors.shape}")
    finite = np.isfinite(vectors)
    if not finite.all():
        row = int(np.argmin(finite.all(axis=1)))
        raise IndexInputError(f"x: row {row} holds {vectors[row][~finite[row]][0]}")
    return vectors


def _pair_rows(rows: ArrayLike, count: int, name: str) -> NDArray[np.int64]:
    index = np.asarray(rows, np.int64)
    if index.ndim != 1 or not len(index):
        raise IndexInputError(f"{name}: expected (m >= 1,) rows, found shape {index.shape}")
    outside = index[(index < 0) | (index >= count)]
    if len(outside):
        raise IndexInputError(f"{name}: expected rows 0 to {count - 1}, found {outside[0]}")
    return index


def _descending_eigh(
    symmetric: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values, vectors = np.linalg.eigh(symmetric)
    return values[::-1], vectors[:, ::-1]


def _cholesky(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower factor of the covariance, with the least of 0, 1e-10, 1e-9 ... on its diagonal."""
    added = 0.0
    while True:
        try:
            factor = np.linalg.cholesky(covariance + added * np.eye(len(covariance)))
            return np.asarray(factor, np.float64)
        except np.linalg.LinAlgError:
            added = 10 * added or 1e-10
