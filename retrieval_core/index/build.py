"""Indexes of extracted images; of any number of them, only a part is in memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import VectorConfig
from retrieval_core.features.shards import postings_name
from retrieval_core.features.store import FeatureStore
from retrieval_core.index.asmk import AsmkIndex
from retrieval_core.index.codebook import Codebook
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.snapshot import Snapshot
from retrieval_core.index.vector import DEFAULTS, VectorIndex

# every part that is open holds a few files open
OPENED_AT_ONCE = 64
# descriptors, and at most so many shards that they are drawn from
MEASURED, SHARDS_MEASURED = 2_000, 16
# Of postings; about 200,000 images of 500 visual words and 128 bits each, the scores of which stay
# in the cache of a core.
SEGMENT_BYTES = 2**31


@dataclass(frozen=True, eq=False)
class Aggregation:
    """Images and how to index them; small enough to be sent to any process.

    Attributes:
        features: directory of the extraction.
        image_ids: (N,) int64, those to index.
        binary: as of `AsmkIndex`.
        use_idf: as of `AsmkIndex`.
        from_postings: whether extraction aggregated the images, all of which are then indexed,
            and kept no local descriptors.
        reach: how far visual words are sought (`Codebook.reach`); None: as the codebook says.
    """

    features: str
    image_ids: Int64
    binary: bool
    use_idf: bool
    from_postings: bool = False
    reach: float | None = None

    def tuned(self, codebook: Codebook) -> "Aggregation":
        """The same, with the reach that these descriptors need: training images may be others.

        Args:
            codebook: visual words.

        Raises:
            ArtifactError: a shard is missing or unreadable.
        """
        if self.from_postings:
            return self
        shards = [group[0] for group in FeatureStore(self.features).partitions(1)]
        some = shards[:: -(-len(shards) // SHARDS_MEASURED)]
        sample = FeatureStore(self.features, some).sample_local(MEASURED, seed=0)
        return replace(self, reach=codebook.reaching(sample).reach)

    def build(
        self,
        codebook: Codebook,
        shards: Sequence[int],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> AsmkIndex:
        """Index the images of some shards.

        Args:
            codebook: visual words.
            shards: whose images are indexed, one in memory at a time.
            progress: called with (images done, images in all).

        Raises:
            ArtifactError: a shard is missing or unreadable.
            ArtifactMismatchError: a shard was aggregated by another codebook or other settings.
        """
        if self.from_postings:
            return self.join(codebook, [f"{self.features}/{postings_name(i)}" for i in shards])
        index = self._empty(codebook.within(self.reach))
        for shard in FeatureStore(self.features, shards).local_shards(self.image_ids):
            index.add(shard.image_ids, shard.descriptors, shard.image_index)
            progress(len(index), len(self.image_ids))
        index.compact()
        return index

    def join(
        self, codebook: Codebook, uris: Sequence[str], folder: Path | None = None
    ) -> AsmkIndex:
        """One segment of the images of saved indexes.

        Args:
            codebook: visual words.
            uris: of the indexes.
            folder: as of `AsmkIndex.compact`.

        Raises:
            ArtifactError: one of them is missing or unreadable.
            ArtifactMismatchError: one has another codebook, or is binary where this is not.
            IndexInputError: an image is in two of them.
        """
        index = self._empty(codebook)
        for start in range(0, len(uris), OPENED_AT_ONCE):
            parts = [self._open(codebook, uri) for uri in uris[start : start + OPENED_AT_ONCE]]
            index = AsmkIndex.union([index, *parts])
            index.compact(folder)
        return index

    def merge(self, codebook: Codebook, uris: Sequence[str], target: str) -> AsmkIndex:
        """Save the index of all images from saved indexes of some of them each.

        It has a segment for every `SEGMENT_BYTES` of postings, put together on the disk.

        Args:
            codebook: visual words; saved with the index.
            uris: of the parts, small against `SEGMENT_BYTES`.
            target: directory of the index; what is there is replaced.

        Raises:
            RetrievalError: as `join`.
        """
        codebook = codebook.within(self.reach)
        index, folder = self._empty(codebook), ArtifactDirectory(target).local_folder()
        index.save(target)
        for group in self._groups(codebook, uris):
            index = AsmkIndex.union([index, self.join(codebook, group, folder)])
            index.save(target)
            index = AsmkIndex.open(target, codebook)
        return index

    def _groups(self, codebook: Codebook, uris: Sequence[str]) -> Iterator[list[str]]:
        group: list[str] = []
        held = 0
        for uri in uris:
            segments = self._open(codebook, uri).snapshot.segments
            size = sum(segment.images.nbytes + segment.codes.nbytes for segment in segments)
            if group and held + size > SEGMENT_BYTES:
                yield group
                group, held = [], 0
            group.append(uri)
            held += size
        if group:
            yield group

    def _open(self, codebook: Codebook, uri: str) -> AsmkIndex:
        """A part; what its words weigh on its own does not matter."""
        part = AsmkIndex.open(uri, codebook)
        held = part.snapshot
        weighed = Snapshot(held.segments, held.alive, self.use_idf)
        return AsmkIndex(codebook, weighed, binary=part.binary)

    def _empty(self, codebook: Codebook) -> AsmkIndex:
        return AsmkIndex.create(codebook, binary=self.binary, use_idf=self.use_idf)


def save_vectors(
    features: str,
    image_ids: Int64,
    target: ArtifactDirectory,
    scratch: str,
    config: VectorConfig = DEFAULTS,
    *,
    model: str = "",
) -> tuple[VectorIndex, Float32]:
    """Save the vector index of extracted images, a shard of descriptors in memory at a time.

    Args:
        features: directory of the extraction.
        image_ids: (N,) int64, those to index.
        target: directory of the index; what is there is replaced.
        scratch: file in it that may be deleted afterwards.
        config: of the index.
        model: what made the descriptors, as in `VectorIndex`.

    Returns:
        The index, and the (N, D) vectors that it was built of, mapped from `scratch`.

    Raises:
        ArtifactError: a shard is missing or damaged.
        IndexInputError: too few images for an index of this kind.
        StorageError: the disk is full.
    """
    shards = FeatureStore(features).global_shards(image_ids)
    first_ids, first = next(shards)
    found = [first_ids]
    with target.writing(scratch) as path:
        # the file's name tells its content, which is known at the end only
        rows = np.memmap(path, np.float32, "w+", shape=(len(image_ids), first.shape[1]))
        rows[: len(first)] = first
        done = len(first)
        for ids, vectors in shards:
            rows[done : done + len(ids)] = vectors
            found.append(ids)
            done += len(ids)
        rows.flush()
    rows = np.memmap(target.local(scratch), np.float32, "r", shape=rows.shape)
    index = VectorIndex.build(np.concatenate(found), rows[:done], config, model=model)
    index.save(target.uri)
    return index, rows[:done]
