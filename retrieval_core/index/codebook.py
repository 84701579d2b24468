"""Visual words: centroids of clustered local descriptors."""

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError, ArtifactMismatchError, IndexInputError
from retrieval_core.index.inputs import Float32, Int64, check_vectors

CENTROIDS = "centroids.npy"
DESCRIPTION = "codebook.json"

ASSIGNMENT_BLOCK = 4096
# Candidates beyond k whose distances are computed again without cancellation: the fast distances
# |x|^2 - 2xy + |y|^2 put near ties in an order that depends on the size of the batch.
SPARE_CANDIDATES = 4


@dataclass(frozen=True, eq=False)
class Codebook:
    """A partition of descriptor space into visual words.

    Attributes:
        centroids: (size, d) float32, one row per visual word.
    """

    centroids: Float32

    def __post_init__(self) -> None:
        shape = np.shape(self.centroids)
        if len(shape) != 2 or 0 in shape:
            raise IndexInputError(f"centroids: expected (size, d), found {shape}")
        checked = check_vectors(self.centroids, shape[1], "centroids")
        object.__setattr__(self, "centroids", checked)

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
    ) -> "Codebook":
        """Cluster descriptors by k-means, all of them, from randomly drawn ones.

        Args:
            descriptors: (n, d) float32, n >= size.
            size: number of visual words, >= 1.
            seed: of the draw; the same seed gives the same codebook.
            iterations: of k-means, >= 1.
            device: "cpu", or "cuda" where faiss was built for GPUs.

        Raises:
            IndexInputError: fewer descriptors than words, unusable descriptors, or no GPU.
        """
        shape = np.shape(descriptors)
        vectors = check_vectors(descriptors, shape[-1] if shape else 0)
        if size < 1 or len(vectors) < size:
            raise IndexInputError(f"cannot cluster {len(vectors)} descriptors into {size} words")
        on_gpu = device.startswith("cuda")
        if on_gpu and faiss.get_num_gpus() == 0:
            raise IndexInputError(f"device: {device!r}, but faiss sees no GPU")
        clustering = faiss.Kmeans(
            vectors.shape[1],
            size,
            niter=iterations,
            seed=seed,
            gpu=on_gpu,
            min_points_per_centroid=1,
            max_points_per_centroid=-(-len(vectors) // size),
        )
        clustering.train(vectors)
        return Codebook(np.asarray(clustering.centroids))

    def assign(self, descriptors: npt.ArrayLike, k: int = 1) -> Int64:
        """The nearest visual words of each descriptor (Euclidean).

        Args:
            descriptors: (n, d) float32.
            k: words per descriptor, 1 <= k <= size.

        Returns:
            (n, k) int64, nearest first, the lower word first among equally near ones.

        Raises:
            IndexInputError: unusable descriptors, or k out of range.
        """
        vectors = check_vectors(descriptors, self.dim)
        if not 1 <= k <= self.size:
            raise IndexInputError(f"k: expected 1 to {self.size} words, found {k}")
        words = np.empty((len(vectors), k), np.int64)
        for start in range(0, len(vectors), ASSIGNMENT_BLOCK):
            block = slice(start, start + ASSIGNMENT_BLOCK)
            words[block] = self._nearest(vectors[block], k)
        return words

    def _nearest(self, vectors: Float32, k: int) -> Int64:
        candidates = min(k + SPARE_CANDIDATES, self.size)
        _, words = faiss.knn(vectors, self.centroids, candidates)
        words = np.sort(words, axis=1)
        differences = vectors[:, None].astype(np.float64) - self.centroids[words]
        distances = np.einsum("ncd,ncd->nc", differences, differences)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        nearest: Int64 = np.take_along_axis(words, order, axis=1)
        return nearest

    def save(self, directory: ArtifactDirectory) -> None:
        """Write `centroids.npy`, then `codebook.json`."""
        with directory.writing(CENTROIDS) as path:
            np.save(path, self.centroids, allow_pickle=False)
        description = {"size": self.size, "dim": self.dim, "digest": self.digest}
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
            expected = directory.read_json(DESCRIPTION)["digest"]
            content = io.BytesIO(directory.read_bytes(CENTROIDS))
            codebook = Codebook(np.load(content, allow_pickle=False))
        except (ValueError, EOFError, KeyError, TypeError, IndexInputError) as error:
            raise ArtifactError(f"{uri}: the codebook cannot be read: {error!r}") from None
        if codebook.digest != expected:
            raise ArtifactMismatchError(
                f"{uri}: {CENTROIDS} has digest {codebook.digest}, {DESCRIPTION} says {expected}"
            )
        return codebook
