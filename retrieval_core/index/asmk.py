"""The ASMK inverted file (ICCV 2013; binary and multiple assignment as in arXiv 2007.13172)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactMismatchError, IndexInputError
from retrieval_core.index.aggregation import Aggregates, aggregate, pack_signs
from retrieval_core.index.codebook import Codebook
from retrieval_core.index.inputs import (
    Float32,
    Int64,
    check_image_ids,
    check_image_index,
    check_top_k,
    check_vectors,
    refuse,
)
from retrieval_core.index.kernels import add_binary_scores, add_float_scores
from retrieval_core.index.segment import Segment, build_segment, images_per_word, merge_segments
from retrieval_core.index.selection import best_first
from retrieval_core.index.statistics import Float64, Statistics, derive_statistics
from retrieval_core.index.storage import open_arrays, save_arrays

KIND = "asmk"


class AsmkIndex:
    """Images by their local descriptors; made by `create` or `open`.

    Attributes:
        codebook: visual words.
        binary: whether residuals are kept as signs, else as unit vectors.
        use_idf: whether words are weighed by ln(N / n_word)^2.
    """

    def __init__(
        self, codebook: Codebook, segment: Segment, *, binary: bool, use_idf: bool
    ) -> None:
        self.codebook = codebook
        self.binary = binary
        self.use_idf = use_idf
        self._segments = [segment]
        self._alive = [np.ones(len(segment.image_ids), bool)]
        self._statistics: Statistics | None = None

    @staticmethod
    def create(codebook: Codebook, *, binary: bool = True, use_idf: bool = False) -> "AsmkIndex":
        """An index without images."""
        vectors = np.empty((0, codebook.dim), np.float32)
        none = np.empty(0, np.int64)
        nothing = Aggregates(none, none, pack_signs(vectors) if binary else vectors)
        segment = build_segment(none, nothing, codebook.size)
        return AsmkIndex(codebook, segment, binary=binary, use_idf=use_idf)

    @staticmethod
    def union(indexes: Sequence["AsmkIndex"], offsets: Sequence[int] = ()) -> "AsmkIndex":
        """One index of the images of several; posting lists are shared, not copied.

        Words are counted and weighed over all of them.

        Args:
            indexes: at least one, of one codebook and the same settings.
            offsets: added to the image ids of each; default: 0.

        Raises:
            ArtifactMismatchError: another codebook or other settings; names both.
            IndexInputError: an id in more than one of them.
        """
        first, *others = indexes
        for other in others:
            _require_same(first, other)
        united = AsmkIndex.create(first.codebook, binary=first.binary, use_idf=first.use_idf)
        for index, offset in zip(indexes, offsets or [0] * len(indexes), strict=True):
            united._segments += [segment.shifted(offset) for segment in index._segments]
            united._alive += [alive.copy() for alive in index._alive]
        ids = united.image_ids
        refuse(ids[1:][np.diff(ids) == 0], "in more than one of the indexes")
        return united

    def __len__(self) -> int:
        return int(sum(alive.sum() for alive in self._alive))

    @property
    def image_ids(self) -> Int64:
        """(N,) int64 ids of the images in the index, ascending."""
        return self._derived().image_ids.copy()

    @property
    def images_per_word(self) -> Int64:
        """(size,) int64 number of images that hold each visual word."""
        return images_per_word(self._segments, self._alive)

    def add(
        self, image_ids: npt.ArrayLike, descriptors: npt.ArrayLike, image_index: npt.ArrayLike
    ) -> None:
        """Add images; nothing is added where an error is raised.

        Args:
            image_ids: (m,) whole numbers, new to the index; -1 is not an id.
            descriptors: (n, d) float32; an image may have none.
            image_index: (n,) position in `image_ids` of each descriptor's image.

        Raises:
            IndexInputError: an id twice or already there, or unusable descriptors.
        """
        ids = check_image_ids(image_ids)
        vectors = check_vectors(descriptors, self.codebook.dim)
        index = check_image_index(image_index, len(vectors), len(ids))
        refuse(ids[self._holds(ids)], "already in the index")
        aggregates = self._aggregate(vectors, index, multiple_assignment=1)
        self._segments.append(build_segment(ids, aggregates, self.codebook.size))
        self._alive.append(np.ones(len(ids), bool))
        self._merge_small()
        self._statistics = None

    def remove(self, image_ids: npt.ArrayLike) -> None:
        """Remove images; nothing is removed where an error is raised.

        Their postings stay, unseen, until `compact`.

        Raises:
            IndexInputError: an id twice or not in the index.
        """
        ids = check_image_ids(image_ids)
        refuse(ids[~self._holds(ids)], "not in the index")
        for segment, alive in zip(self._segments, self._alive, strict=True):
            positions = segment.find(ids)
            alive[positions[positions >= 0]] = False
        self._statistics = None

    def compact(self) -> None:
        """Free what removed images held and merge all posting lists; changes no result."""
        if len(self._segments) > 1 or not self._alive[0].all():
            self._merge_last(len(self._segments))
            self._statistics = None

    def search(
        self,
        descriptors: npt.ArrayLike,
        image_index: npt.ArrayLike,
        *,
        top_k: int | None = None,
        multiple_assignment: int = 5,
        alpha: float = 3.0,
        threshold: float = 0.0,
        queries: int | None = None,
    ) -> tuple[Int64, Float32]:
        """Rank the database for each query image.

        Args:
            descriptors: (n, d) float32, of all queries.
            image_index: (n,) query of each descriptor, 0 to Q - 1.
            top_k: length of a ranking; None ranks every image.
            multiple_assignment: visual words per query descriptor, >= 1.
            alpha: exponent of the selectivity sign(s) |s|^alpha, > 0.
            threshold: similarities of words below it count nothing, -1 to 1.
            queries: Q, for queries at the end that have no descriptors; default: the highest
                `image_index` + 1.

        Returns:
            Ids (Q, k) int64 and scores (Q, k) float32, best first, the lower id first among equal
            scores; k is top_k or the number of images, whichever is less. An image without a
            common word scores 0.

        Raises:
            IndexInputError: unusable descriptors or settings.
        """
        vectors = check_vectors(descriptors, self.codebook.dim)
        index = check_image_index(image_index, len(vectors), queries)
        _check_settings(multiple_assignment, alpha)
        k = check_top_k(top_k, len(self))
        count = (int(index.max()) + 1 if len(index) else 0) if queries is None else queries
        aggregates = self._aggregate(vectors, index, multiple_assignment)
        bounds = np.searchsorted(aggregates.images, np.arange(count + 1))
        ids, scores = np.empty((count, k), np.int64), np.empty((count, k), np.float32)
        for query in range(count):
            part = slice(bounds[query], bounds[query + 1])
            found = self._score(aggregates.words[part], aggregates.codes[part], alpha, threshold)
            best = best_first(found, k)
            ids[query], scores[query] = self._derived().image_ids[best], found[best]
        return ids, scores

    def save(self, uri: str | Path, *, with_codebook: bool = True) -> None:
        """Compact, then write `.npy` files, the codebook and, last, `index.json`.

        An index of the same codebook that is already there is replaced in one step.

        Args:
            uri: directory, as a path or fsspec URL.
            with_codebook: else it is opened with a codebook only.
        """
        self.compact()
        segment = self._segments[0]
        if with_codebook:
            self.codebook.save(ArtifactDirectory(uri))
        description = {
            "kind": KIND,
            "binary": self.binary,
            "use_idf": self.use_idf,
            "codebook": self.codebook.digest,
            "images": len(segment.image_ids),
            "postings": len(segment.images),
        }
        save_arrays(uri, description, dict(vars(segment)))

    @staticmethod
    def open(uri: str | Path, codebook: Codebook | None = None) -> "AsmkIndex":
        """Map a saved index into memory; changing it leaves the files as they are.

        Args:
            uri: directory, as a path or fsspec URL.
            codebook: visual words; default: those saved with the index.

        Raises:
            ArtifactError: there is no index, or a file is missing or unreadable.
            ArtifactMismatchError: it was built with another codebook; names both digests.
        """
        description, arrays = open_arrays(uri, KIND)
        codebook = codebook or Codebook.load(uri)
        if codebook.digest != description["codebook"]:
            raise ArtifactMismatchError(
                f"{uri} was built with codebook {description['codebook']}, not with codebook "
                f"{codebook.digest}"
            )
        return AsmkIndex(
            codebook,
            Segment(**arrays),
            binary=description["binary"],
            use_idf=description["use_idf"],
        )

    def _aggregate(self, vectors: Float32, index: Int64, multiple_assignment: int) -> Aggregates:
        return aggregate(
            self.codebook,
            vectors,
            index,
            multiple_assignment=multiple_assignment,
            binary=self.binary,
        )

    def _score(
        self, words: Int64, codes: npt.NDArray[np.generic], alpha: float, threshold: float
    ) -> Float32:
        """(N,) float32 scores of one query by ascending image id."""
        derived = self._derived()
        weights = derived.idf[words]
        query = (words, codes, weights)
        similarities = _selectivity(self.codebook.dim, alpha, threshold)
        sums, first = np.zeros(len(derived.norms)), 0
        for segment in self._segments:
            part = sums[first : first + len(segment.image_ids)]
            if self.binary:
                add_binary_scores(part, query, segment.lists, similarities)
            else:
                add_float_scores(part, query, segment.lists, float(alpha), float(threshold))
            first += len(segment.image_ids)
        norm = np.sqrt(weights.sum() * derived.norms)
        scores = np.divide(sums, norm, out=np.zeros(len(sums)), where=norm > 0)
        ranked: Float32 = scores[derived.slots].astype(np.float32)
        return ranked

    def _derived(self) -> Statistics:
        if self._statistics is None:
            self._statistics = derive_statistics(self._segments, self._alive, use_idf=self.use_idf)
        return self._statistics

    def _holds(self, ids: Int64) -> npt.NDArray[np.bool_]:
        held = np.zeros(len(ids), bool)
        for segment, alive in zip(self._segments, self._alive, strict=True):
            positions = segment.find(ids)
            found = positions >= 0
            held[found] |= alive[positions[found]]
        return held

    def _merge_small(self) -> None:
        # segments at least halve in weight from one to the next: few to search, and an image is
        # merged only a logarithmic number of times however it was added
        segments = self._segments
        while len(segments) > 1 and segments[-2].weight <= 2 * segments[-1].weight:
            self._merge_last(2)

    def _merge_last(self, count: int) -> None:
        merged = merge_segments(self._segments[-count:], self._alive[-count:])
        self._segments[-count:] = [merged]
        self._alive[-count:] = [np.ones(len(merged.image_ids), bool)]


def _selectivity(dim: int, alpha: float, threshold: float) -> Float64:
    """(dim + 1,) contribution of a word by Hamming distance: the paper's selectivity function."""
    similarity = 1 - 2 * np.arange(dim + 1) / dim
    selected: Float64 = np.sign(similarity) * np.abs(similarity) ** alpha
    return np.where(similarity >= threshold, selected, 0.0)


def _require_same(first: AsmkIndex, other: AsmkIndex) -> None:
    for name in ("binary", "use_idf"):
        expected, found = getattr(first, name), getattr(other, name)
        if found != expected:
            raise ArtifactMismatchError(
                f"an index with {name} {found} does not go with one with {name} {expected}"
            )
    if other.codebook.digest != first.codebook.digest:
        raise ArtifactMismatchError(
            f"an index of codebook {other.codebook.digest} does not go with one of codebook "
            f"{first.codebook.digest}"
        )


def _check_settings(multiple_assignment: int, alpha: float) -> None:
    if multiple_assignment < 1:
        raise IndexInputError(f"multiple_assignment: expected >= 1, found {multiple_assignment}")
    if not alpha > 0:
        raise IndexInputError(f"alpha: expected > 0, found {alpha}")
