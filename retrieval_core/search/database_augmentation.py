"""Database augmentation (Turcot and Lowe, 2009): images described with their neighbours."""

from collections.abc import Callable

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import NeighboursConfig, VectorConfig
from retrieval_core.features.rewriting import write_vectors
from retrieval_core.index import VectorIndex
from retrieval_core.index.inputs import Int64
from retrieval_core.index.vector import DEFAULTS
from retrieval_core.search.expansion import ROWS_AT_ONCE, expand


def augment_features(
    index: VectorIndex,
    image_ids: Int64,
    config: NeighboursConfig,
    directory: ArtifactDirectory,
    *,
    offset: int = 0,
    vector: VectorConfig = DEFAULTS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write indexed images' descriptors with those of their neighbours added.

    Args:
        index: of all images that are searched together.
        image_ids: (n,) images to write, ascending.
        config: how many neighbours, and what they count.
        directory: artifact in the making.
        offset: that the index adds to these ids.
        vector: of the search.
        progress: called with (images done, images in all).
    """
    for shard, start in enumerate(range(0, len(image_ids), ROWS_AT_ONCE)):
        ids = image_ids[start : start + ROWS_AT_ONCE]
        indexed = ids + offset
        vectors = expand(index, index.reconstruct(indexed), indexed, config, vector)
        write_vectors(directory, shard, ids, vectors)
        progress(start + len(ids), len(image_ids))
