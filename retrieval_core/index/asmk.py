"""The ASMK inverted file (ICCV 2013; binary and multiple assignment as in arXiv 2007.13172)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError, ArtifactMismatchError, IndexInputError
from retrieval_core.index.aggregation import Residuals
from retrieval_core.index.codebook import Codebook, known_reach
from retrieval_core.index.device import torch_device
from retrieval_core.index.inputs import (
    LARGEST_COUNT,
    Float32,
    Int64,
    check_count,
    check_image_ids,
    check_image_index,
    check_top_k,
    check_vectors,
    check_words,
    refuse,
)
from retrieval_core.index.ranking import Queries, Selectivity, rank
from retrieval_core.index.segment import build_segment
from retrieval_core.index.segment_files import read_snapshot, verify_files, write_snapshot
from retrieval_core.index.snapshot import Snapshot
from retrieval_core.index.storage import Versions, map_array
from retrieval_core.index.torch_search import TorchSearcher

CENTROIDS = "centroids"
# segments that are merged at a time
FAN_IN = 8


class AsmkIndex:
    """Images by their local descriptors; made by `create` or `open`.

    Threads may change and search it at the same time: changes wait for each other, and a search
    sees the images that were there when it began.

    Attributes:
        codebook: visual words.
        binary: whether residuals are kept as signs, else as unit vectors.
        use_idf: whether words are weighed by ln(N / n_word)^2.
    """

    def __init__(
        self,
        codebook: Codebook,
        snapshot: Snapshot,
        *,
        binary: bool,
        versions: Versions | None = None,
        words: str | None = None,
    ) -> None:
        self.codebook = codebook
        self.binary = binary
        self._snapshot = snapshot
        # where it was opened from or saved to
        self._versions = versions or {}
        # digest of the codebook that it was opened with
        self._words = words
        self._changing = RLock()
        self._searcher: TorchSearcher | None = None

    @staticmethod
    def create(codebook: Codebook, *, binary: bool = True, use_idf: bool = False) -> "AsmkIndex":
        """An index without images."""
        none = np.empty(0, np.int64)
        vectors = np.empty((0, codebook.dim), np.float32)
        nothing = Residuals.of(codebook.centroids, vectors, none, none[:, None])
        segment = build_segment(none, nothing, codebook.size, binary=binary)
        snapshot = Snapshot((segment,), (np.ones(0, bool),), use_idf)
        return AsmkIndex(codebook, snapshot, binary=binary)

    @staticmethod
    def union(indexes: Sequence["AsmkIndex"], offsets: Sequence[int] = ()) -> "AsmkIndex":
        """One index of the images of several; posting lists are shared, not copied.

        Words are counted and weighed over all of them.

        Args:
            indexes: at least one, of one codebook and the same settings.
            offsets: added to the image ids of each; default: 0.

        Raises:
            ArtifactMismatchError: another codebook or other settings; names both.
            IndexInputError: no indexes, or an id is in more than one of them or becomes none.
        """
        if not indexes or (offsets and len(offsets) != len(indexes)):
            raise IndexInputError(f"{len(indexes)} indexes with {len(offsets)} offsets")
        first, *others = indexes
        for other in others:
            _require_same(first, other)
        united = AsmkIndex.create(first.codebook, binary=first.binary, use_idf=first.use_idf)
        for index, offset in zip(indexes, offsets or [0] * len(indexes), strict=True):
            shifted = [segment.shifted(offset) for segment in index._snapshot.segments]
            united._snapshot = united._snapshot.with_segments(shifted, index._snapshot.alive)
        ids = united._snapshot.image_ids
        refuse(ids[1:][np.diff(ids) == 0], "in more than one of the indexes")
        return united

    def __len__(self) -> int:
        return len(self._snapshot)

    @property
    def use_idf(self) -> bool:
        """Whether words are weighed by ln(N / n_word)^2."""
        return self._snapshot.use_idf

    @property
    def image_ids(self) -> Int64:
        """(N,) int64 ids of the images in the index, ascending."""
        return self._snapshot.image_ids.copy()

    @property
    def images_per_word(self) -> Int64:
        """(size,) int64 number of images that hold each visual word."""
        return self._snapshot.images_per_word.copy()

    @property
    def snapshot(self) -> Snapshot:
        """The segments as they are now; later changes of the index do not change it."""
        return self._snapshot

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
        with self._changing:
            snapshot = self._snapshot
            refuse(ids[snapshot.holds(ids)], "already in the index")
            residuals = self._residuals(vectors, index, 1)
            segment = build_segment(ids, residuals, self.codebook.size, binary=self.binary)
            grown = snapshot.with_segments([segment], [np.ones(len(ids), bool)])
            self._snapshot = _small_merged(grown)

    def remove(self, image_ids: npt.ArrayLike) -> None:
        """Remove images; nothing is removed where an error is raised.

        Their postings stay, unseen, until `compact`.

        Raises:
            IndexInputError: an id twice or not in the index.
        """
        ids = check_image_ids(image_ids)
        with self._changing:
            refuse(ids[~self._snapshot.holds(ids)], "not in the index")
            self._snapshot = self._snapshot.without(ids)

    def compact(self, folder: str | Path | None = None) -> None:
        """Free what removed images held and merge all posting lists; changes no result.

        Args:
            folder: on the disk, for an index that is larger than the memory: its posting lists
                are put together there, and nothing stays behind. Default: in memory.

        Raises:
            StorageError: there is no such folder, or no room in it.
        """
        with self._changing:
            snapshot = self._snapshot
            if len(snapshot.segments) > 1 or not snapshot.alive[0].all():
                self._snapshot = snapshot.merged(
                    len(snapshot.segments), Path(folder) if folder else None
                )

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
        device: str = "cpu",
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
            device: "cpu", or "cuda" where there is a GPU; the posting lists are copied there with
                the first search after a change: 20 bytes per posting with 128-bit codes.

        Returns:
            Ids (Q, k) int64 and scores (Q, k) float32, best first, the lower id first among equal
            scores; k is top_k or the number of images, whichever is less. An image without a
            common word scores 0.

        Raises:
            IndexInputError: unusable descriptors or settings, or no such device.
        """
        snapshot = self._snapshot
        check_top_k(top_k, len(snapshot))
        selectivity = Selectivity(alpha, threshold)
        searcher = None if device == "cpu" else self._searcher_on(device, snapshot)
        asked = self.aggregate_queries(
            descriptors,
            image_index,
            multiple_assignment=multiple_assignment,
            selectivity=selectivity,
            queries=queries,
        )
        return searcher.rank(asked, top_k) if searcher else rank(snapshot, asked, top_k)

    def aggregate_queries(
        self,
        descriptors: npt.ArrayLike,
        image_index: npt.ArrayLike,
        *,
        multiple_assignment: int,
        selectivity: Selectivity,
        queries: int | None = None,
    ) -> Queries:
        """What of the queries is compared with the database (arguments as `search`).

        Raises:
            IndexInputError: unusable descriptors or settings.
        """
        check_count(multiple_assignment, "multiple_assignment")
        if queries is not None:
            queries = check_count(queries, "queries", 0, LARGEST_COUNT)
        vectors = check_vectors(descriptors, self.codebook.dim)
        limit = LARGEST_COUNT if queries is None else queries
        index = check_image_index(image_index, len(vectors), limit)
        count = (int(index.max()) + 1 if len(index) else 0) if queries is None else queries
        residuals = self._residuals(vectors, index, multiple_assignment)
        aggregates = residuals.aggregates(binary=self.binary)
        return Queries(aggregates, count, self.codebook.dim, selectivity)

    def save(self, uri: str | Path, *, with_codebook: bool = True) -> None:
        """Write what is new: segments, tombstones, and in the end `index.json` in one step.

        Readers go on with what they have opened. An index that was not opened from there is
        replaced.

        Args:
            uri: directory, as a path or fsspec URL.
            with_codebook: else it is opened with a codebook only.

        Raises:
            ArtifactError: the centroids that it was opened with are altered.
            ConcurrentWriteError: another process writes there, or has since this was opened.
            StorageError: it cannot be written.
        """
        words = self.codebook
        if self._words not in (None, words.digest):
            raise _altered(words.digest, str(self._words))
        settings = {
            "binary": self.binary,
            "codebook": words.digest,
            **words.search_settings,
        }
        shared = {CENTROIDS: words.centroids} if with_codebook else {}
        with self._changing:
            self._snapshot, written = write_snapshot(
                ArtifactDirectory(uri), settings, shared, self._snapshot, self._versions
            )
            self._versions |= written

    @staticmethod
    def open(uri: str | Path, codebook: Codebook | None = None) -> "AsmkIndex":
        """Map a saved index into memory; changing it changes the files on `save` only.

        Args:
            uri: directory, as a path or fsspec URL.
            codebook: visual words; default: those saved with the index.

        Raises:
            ArtifactError: there is no index, or a file is missing or unreadable.
            ArtifactMismatchError: it was built with another codebook; names both digests.
        """
        directory = ArtifactDirectory(uri)
        description, snapshot, versions = read_snapshot(directory)
        if codebook is None:
            codebook = _own_codebook(directory, description)
        elif codebook.digest != description["codebook"]:
            raise ArtifactMismatchError(
                f"{uri} was built with codebook {description['codebook']}, not with codebook "
                f"{codebook.digest}"
            )
        _require_words(uri, codebook, snapshot)
        return AsmkIndex(
            codebook,
            snapshot,
            binary=description["binary"],
            versions=versions,
            words=description["codebook"],
        )

    @staticmethod
    def verify(uri: str | Path) -> None:
        """Read every file of a saved index and compare it with its digest.

        Raises:
            ArtifactError: a file is missing, unreadable or altered; names it.
        """
        directory = ArtifactDirectory(uri)
        description = verify_files(directory)
        if CENTROIDS in description["files"]:
            found = _own_codebook(directory, description).digest
            if found != description["codebook"]:
                raise _altered(found, description["codebook"])

    def _searcher_on(self, name: str, snapshot: Snapshot) -> TorchSearcher:
        device, searcher = torch_device(name), self._searcher
        if searcher is None or searcher.snapshot is not snapshot or searcher.device != device:
            self._searcher = searcher = None  # never two copies on the device
            self._searcher = searcher = TorchSearcher(snapshot, device)
        return searcher

    def _residuals(self, vectors: Float32, index: Int64, assignments: int) -> Residuals:
        words = self.codebook.assign(vectors, min(assignments, self.codebook.size))
        check_words(words, self.codebook.size)
        return Residuals.of(self.codebook.centroids, vectors, index, words)


def _own_codebook(directory: ArtifactDirectory, description: Mapping[str, Any]) -> Codebook:
    file = description["files"].get(CENTROIDS)
    if file is None:
        raise ArtifactError(
            f"{directory.uri} was saved without its codebook, {description['codebook']}: open it "
            "with that"
        )
    centroids = map_array(directory, file)
    try:
        return Codebook(centroids, exact=description["exact"], reach=known_reach(description))
    except IndexInputError as error:
        raise ArtifactError(f"{directory.uri}/{file}: {error}") from error


def _altered(found: str, expected: str) -> ArtifactError:
    return ArtifactError(f"the index was built with codebook {expected}, its centroids are {found}")


def _require_words(uri: str | Path, codebook: Codebook, snapshot: Snapshot) -> None:
    for segment in snapshot.segments:
        if len(segment.offsets) != codebook.size + 1:
            raise ArtifactError(
                f"{uri} has posting lists of {len(segment.offsets) - 1} visual words, its codebook "
                f"{codebook.size}"
            )


def _small_merged(snapshot: Snapshot) -> Snapshot:
    # So many of about one weight become one: few to search, and an image is merged only a
    # logarithmic number of times however it was added.
    while len(snapshot.segments) >= FAN_IN:
        first, *others = snapshot.segments[-FAN_IN:]
        if first.weight > sum(segment.weight for segment in others):
            break
        snapshot = snapshot.merged(FAN_IN)
    return snapshot


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
