"""Local descriptors are aggregated as soon as they are extracted, and never written."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.features.shards import postings_name
from retrieval_core.features.tables import LocalRows
from retrieval_core.index.asmk import AsmkIndex
from retrieval_core.index.codebook import Codebook
from retrieval_core.index.inputs import Int64


class ShardPostings:
    """Takes a shard's local descriptors and keeps what an inverted file needs of them."""

    def __init__(self) -> None:
        self._image_ids: list[Int64] = []
        self._local: list[LocalRows] = []

    def write(self, image_ids: Int64, local: LocalRows) -> None:
        """Take those of some images, by ascending id over all calls."""
        self._image_ids.append(image_ids)
        self._local.append(local)

    def build(self, codebook: Codebook, *, binary: bool) -> AsmkIndex:
        """The inverted file of the images.

        They are added at once, as from a table, so that no bit depends on how they came.
        """
        index = AsmkIndex.create(codebook, binary=binary)
        if self._image_ids:
            image_ids = np.concatenate(self._image_ids)
            owners = np.concatenate([local.image_ids for local in self._local])
            descriptors = np.concatenate([local.descriptors for local in self._local])
            index.add(image_ids, descriptors, np.searchsorted(image_ids, owners))
        return index


@contextmanager
def open_postings(
    directory: ArtifactDirectory, index: int, dim: int, *, codebook: Codebook, binary: bool
) -> Iterator[ShardPostings]:
    """A shard's inverted file in the place of a table of its local descriptors.

    It is an `AsmkIndex` without codebook, at `postings_name(index)` of the directory.

    Args:
        directory: artifact in the making.
        index: of the shard.
        dim: d, of the local descriptors.
        codebook: visual words.
        binary: as of `AsmkIndex`.

    Raises:
        IndexInputError: the codebook is of another dimension.
    """
    postings = ShardPostings()
    yield postings
    built = postings.build(codebook, binary=binary)
    built.save(f"{directory.uri}/{postings_name(index)}", with_codebook=False)
