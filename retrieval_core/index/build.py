"""An inverted file of extracted descriptors, built in one process or merged from saved parts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from retrieval_core.features.store import FeatureStore
from retrieval_core.index.asmk import AsmkIndex
from retrieval_core.index.codebook import Codebook
from retrieval_core.index.inputs import Int64

# every part that is open holds a few files open
MERGED_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Aggregation:
    """Images and how to index them; small enough to be sent to any process.

    Attributes:
        features: directory of the descriptors.
        image_ids: (N,) int64, those to index.
        binary: as of `AsmkIndex`.
        use_idf: as of `AsmkIndex`.
    """

    features: str
    image_ids: Int64
    binary: bool
    use_idf: bool

    def build(
        self,
        codebook: Codebook,
        shards: Sequence[int] | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> AsmkIndex:
        """Index the images, one shard of descriptors in memory at a time.

        Args:
            codebook: visual words.
            shards: whose images are indexed; default: all.
            progress: called with (images done, images in all).
        """
        index = self._empty(codebook)
        for shard in FeatureStore(self.features, shards).local_shards(self.image_ids):
            index.add(shard.image_ids, shard.descriptors, shard.image_index)
            progress(len(index), len(self.image_ids))
        index.compact()
        return index

    def merge(self, codebook: Codebook, uris: Sequence[str]) -> AsmkIndex:
        """The index of all images from saved indexes of some of them each.

        Raises:
            ArtifactError: a part is missing or unreadable.
            ArtifactMismatchError: a part has another codebook or other settings.
            IndexInputError: an image is in two parts.
        """
        index = self._empty(codebook)
        for group in _groups(uris):
            parts = [AsmkIndex.open(uri, codebook) for uri in group]
            index = AsmkIndex.union([index, *parts])
            index.compact()
        return index

    def _empty(self, codebook: Codebook) -> AsmkIndex:
        return AsmkIndex.create(codebook, binary=self.binary, use_idf=self.use_idf)


def _groups(uris: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(uris), MERGED_AT_ONCE):
        yield uris[start : start + MERGED_AT_ONCE]
