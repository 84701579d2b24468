"""Visual words: centroids of clustered local descriptors."""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError, ArtifactMismatchError, IndexInputError
from retrieval_core.index.candidates import compare_again, compare_all
from retrieval_core.index.cells import WORDS_PER_CELL, Cells
from retrieval_core.index.clustering import cluster, cluster_exactly
from retrieval_core.index.device import torch_device
from retrieval_core.index.inputs import LARGEST_COUNT, Float32, Int64, check_count, check_vectors

CENTROIDS = "centroids.npy"
DESCRIPTION = "codebook.json"

# Candidates beyond k whose distances are computed again without cancellation: the fast distances
# |x|^2 - 2xy + |y|^2 put near ties in an order that depends on the size of the batch.
SPARE_CANDIDATES = 4
# The same among cells, whose short floats are relative to the cell and round less.
SPARE_OF_CELLS = 1
# Fewer words are compared faster all at once.
CELLS_FROM = 16_384
# Share of descriptors that get the word that is truly nearest; while words still move, fewer do.
AGREEMENT, AGREEMENT_IN_TRAINING = 0.993, 0.9
# Descriptors by which that share is measured, in training too, and one in how many at most.
MEASURED, MEASURED_IN_TRAINING, SHARE_MEASURED = 2_000, 500, 50


@dataclass(frozen=True)
class CodebookQuality:
    """How well visual words stand for descriptors.

    Attributes:
        error: mean squared distance of a descriptor to its word.
        used: share of the words that a descriptor has, in [0, 1].
    """

    error: float
    used: float


@dataclass(frozen=True, eq=False)
class Codebook:
    """A partition of descriptor space into visual words.

    Attributes:
        centroids: (size, d) float32, one row per visual word.
        exact: compare every descriptor with every word; else, of 16,384 words or more, only with
            those in cells nearby, which finds the nearest of all for 99 % of descriptors like
            those trained on.
        reach: how far from a descriptor such cells may lie (`Cells.reach`); default: measured on
            the centroids themselves, which looks further than trained descriptors need.
        device: where words are compared: "cpu", or a GPU, where comparing all is faster.

    Raises:
        IndexInputError: unusable centroids, or there is no such GPU.
    """

    centroids: Float32
    exact: bool = False
    reach: float | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        shape = np.shape(self.centroids)
        if len(shape) != 2 or 0 in shape:
            raise IndexInputError(f"centroids: expected (size, d), found {shape}")
        if self.reach is not None and not self.reach >= 0:
            raise IndexInputError(f"reach: expected 0 or more, found {self.reach}")
        checked = check_vectors(self.centroids, shape[1], "centroids")
        object.__setattr__(self, "centroids", checked)
        torch_device(self.device)

    @property
    def size(self) -> int:
        """Number of visual words."""
        return int(self.centroids.shape[0])

    @property
    def dim(self) -> int:
        """Dimensions of a descriptor."""
        return int(self.centroids.shape[1])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of shape and centroids, by which an index knows its codebook."""
        content = f"{self.centroids.shape}".encode() + self.centroids.tobytes()
        return hashlib.sha256(content).hexdigest()

    @staticmethod
    def train(
        descriptors: npt.ArrayLike,
        size: int,
        *,
        seed: int = 0,
        iterations: int = 10,
        device: str = "cpu",
        exact: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> "Codebook":
        """Cluster descriptors by k-means, all of them, from randomly drawn ones.

        Args:
            descriptors: (n, d) float32, n >= size.
            size: number of visual words, >= 1.
            seed: of the draw, 0 to 2^31 - 1; the same seed gives the same codebook.
            iterations: of k-means, >= 1.
            device: of the codebook.
            exact: of the codebook, and of its training.
            progress: called with (iterations done, iterations), where they can be told apart.

        Raises:
            IndexInputError: fewer descriptors than words, unusable descriptors, or no GPU.
        """
        shape = np.shape(descriptors)
        if len(shape) != 2 or 0 in shape:
            raise IndexInputError(f"descriptors: expected (n, d), found {shape}")
        vectors = check_vectors(descriptors, shape[1])
        if len(vectors) < check_count(size, "size"):
            raise IndexInputError(f"cannot cluster {len(vectors)} descriptors into {size} words")
        check_count(iterations, "iterations")
        check_count(seed, "seed", 0, LARGEST_COUNT)
        torch_device(device)
        if device == "cpu" and (exact or size < CELLS_FROM):
            centroids = cluster_exactly(vectors, size, seed=seed, iterations=iterations)
            return Codebook(centroids, exact=exact)
        # the reach is measured on descriptors that the words were not made of
        count = min(MEASURED, len(vectors) // SHARE_MEASURED, len(vectors) - size)
        measured = _draw(len(vectors), count, seed)
        sample = vectors[measured]

        def assigner(centroids: Float32) -> Callable[[Float32], Int64]:
            moving = Codebook(centroids, exact=exact, device=device)
            tuned = moving.reaching(sample[:MEASURED_IN_TRAINING], AGREEMENT_IN_TRAINING)
            return lambda some: tuned.assign(some)[:, 0]

        centroids = cluster(
            vectors, size, assigner, measured, seed=seed, iterations=iterations, progress=progress
        )
        return Codebook(centroids, exact=exact, device=device).reaching(sample)

    def assign(self, descriptors: npt.ArrayLike, k: int = 1) -> Int64:
        """The nearest visual words of each descriptor (Euclidean).

        One word is sought as `exact` says. Several, as of a query, are always those of all.

        Args:
            descriptors: (n, d) float32.
            k: words per descriptor, 1 <= k <= size.

        Returns:
            (n, k) int64, nearest first, the lower word first among equally near ones.

        Raises:
            IndexInputError: unusable descriptors, or k out of range.
        """
        vectors = check_vectors(descriptors, self.dim)
        check_count(k, "k", 1, self.size)
        return compare_again(vectors, self.centroids, self._candidates(vectors, k), k)

    def reaching(self, descriptors: Float32, agreement: float = AGREEMENT) -> "Codebook":
        """The same visual words, with the reach that suits descriptors like these.

        Args:
            descriptors: (n, d) float32, a few thousand that the words were not made of; without
                any it stays as it is.
            agreement: share of them that shall get the word that is truly nearest, 0 to 1.
        """
        if not self._has_cells or not len(descriptors):
            return self
        nearest = replace(self, exact=True).assign(descriptors)[:, 0]
        return self.within(self._cells.reach(descriptors, nearest, agreement))

    def within(self, reach: float | None) -> "Codebook":
        """The same visual words, sought so far; None: as far as before."""
        if reach is None or not self._has_cells:
            return self
        tuned = replace(self, reach=reach)
        tuned.__dict__["_cells"] = self._cells
        return tuned

    def quality(self, descriptors: npt.ArrayLike) -> CodebookQuality:
        """How well the visual words stand for descriptors.

        Args:
            descriptors: (n, d) float32, n >= 1.

        Raises:
            IndexInputError: unusable descriptors, or none.
        """
        words = self.assign(descriptors)[:, 0]
        if not len(words):
            raise IndexInputError("no descriptors to judge visual words by")
        vectors = np.asarray(descriptors)
        errors = [
            np.square(vectors[rows] - self.centroids[words[rows]]).sum(axis=1, dtype=np.float64)
            for rows in np.array_split(np.arange(len(words)), 1 + len(words) // CELLS_FROM)
        ]
        used = np.count_nonzero(np.bincount(words, minlength=self.size)) / self.size
        return CodebookQuality(float(np.concatenate(errors).mean()), float(used))

    def _candidates(self, vectors: Float32, k: int) -> Int64:
        if k > 1 or not self._has_cells:
            count = min(k + SPARE_CANDIDATES, self.size)
            return compare_all(vectors, self.centroids, count, self.device)
        found = self._cells.nearest(vectors, 1 + SPARE_OF_CELLS, self._reach)
        lacking = found[:, -1] < 0
        found[lacking] = compare_all(vectors[lacking], self.centroids, 1 + SPARE_OF_CELLS)
        return found

    @property
    def _has_cells(self) -> bool:
        return not self.exact and self.device == "cpu" and self.size >= CELLS_FROM

    @cached_property
    def _cells(self) -> Cells:
        return Cells(self.centroids)

    @cached_property
    def _reach(self) -> float:
        if self.reach is not None:
            return self.reach
        # a word's nearest other one stands for the nearest one of a descriptor
        sample = self.centroids[_draw(self.size, min(MEASURED, self.size), seed=0)]
        nearest = replace(self, exact=True).assign(sample, k=2)[:, 1]
        return self._cells.reach(sample, nearest, AGREEMENT)

    @property
    def search_settings(self) -> dict[str, Any]:
        """How words are sought, as plain values for a file."""
        return {"exact": self.exact, "reach": self.reach, "words_per_cell": WORDS_PER_CELL}

    def save(self, directory: ArtifactDirectory) -> None:
        """Write `centroids.npy`, then `codebook.json`."""
        with directory.writing(CENTROIDS) as path:
            np.save(path, self.centroids, allow_pickle=False)
        description = {"size": self.size, "dim": self.dim, "digest": self.digest}
        description |= self.search_settings
        directory.write_json(DESCRIPTION, description)

    @staticmethod
    def load(uri: str | Path) -> "Codebook":
        """Read a saved codebook.

        Raises:
            ArtifactError: a file is missing or unreadable.
            ArtifactMismatchError: the centroids are not those that the description tells of.
        """
        directory = ArtifactDirectory(uri)
        try:
            description = directory.read_json(DESCRIPTION)
            expected = description["digest"]
            content = io.BytesIO(directory.read_bytes(CENTROIDS))
            codebook = Codebook(
                np.load(content, allow_pickle=False),
                exact=bool(description["exact"]),
                reach=known_reach(description),
            )
        except (ValueError, EOFError, KeyError, TypeError, IndexInputError) as error:
            raise ArtifactError(f"{uri}: the codebook cannot be read: {error!r}") from None
        if codebook.digest != expected:
            raise ArtifactMismatchError(
                f"{uri}: {CENTROIDS} has digest {codebook.digest}, {DESCRIPTION} says {expected}"
            )
        return codebook


def known_reach(settings: Mapping[str, Any]) -> float | None:
    """The reach among `Codebook.search_settings`; None where it was measured on other cells."""
    return settings["reach"] if settings.get("words_per_cell") == WORDS_PER_CELL else None


def _draw(rows: int, count: int, seed: int) -> Int64:
    return np.random.default_rng(seed).choice(rows, count, replace=False)
