"""Global descriptors written again after extraction, in shards that `FeatureStore` reads."""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactMismatchError
from retrieval_core.features.shards import ShardReport, report_name
from retrieval_core.features.store import FeatureStore
from retrieval_core.features.tables import open_shard
from retrieval_core.models.whitening import Whitening


def whiten(whitening: Whitening, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Whitened descriptors.

    Args:
        whitening: fitted.
        vectors: (n, D) float32.

    Returns:
        (n, D') float32, unit norm; 0 where a vector is the mean that is subtracted.

    Raises:
        ArtifactMismatchError: vectors of another dimension.
    """
    if vectors.shape[1] != len(whitening.mean):
        raise ArtifactMismatchError(
            f"the whitening is of {len(whitening.mean)} dimensions, not of {vectors.shape[1]}"
        )
    # in two steps, since `apply` divides by slightly more than the norm
    whitened = whitening.apply(vectors)
    norms = np.linalg.norm(whitened, axis=1, keepdims=True)
    unit = whitened / np.maximum(norms, np.finfo(np.float32).tiny)
    return np.asarray(unit, np.float32)


def write_vectors(
    directory: ArtifactDirectory,
    shard: int,
    image_ids: NDArray[np.int64],
    vectors: NDArray[np.float32],
) -> None:
    """Write a shard of global descriptors that `FeatureStore` reads.

    Args:
        directory: artifact in the making.
        shard: its index.
        image_ids: (n,) ascending, above those of the shard before.
        vectors: (n, D) float32.
    """
    with open_shard(directory, shard, global_dim=vectors.shape[1], local_dim=None) as writer:
        writer.write(image_ids, vectors, None)
    report = ShardReport(shard, len(image_ids), 0, [], {})
    directory.write_json(report_name(shard), asdict(report))


def whiten_features(
    whitening: Whitening,
    features: str,
    directory: ArtifactDirectory,
) -> int:
    """Write the whitened global descriptors of an extraction, a shard in memory at a time.

    Args:
        whitening: fitted.
        features: directory of the extraction.
        directory: artifact in the making.

    Returns:
        Number of images.

    Raises:
        ArtifactError: a shard is missing or damaged.
    """
    images = 0
    for shard, (ids, vectors) in enumerate(FeatureStore(features).global_shards()):
        write_vectors(directory, shard, ids, whiten(whitening, vectors))
        images += len(ids)
    return images
