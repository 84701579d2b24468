"""What an approximate vector index finds of what an exact one would."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrieval_core.arrays import load_fields, save_fields
from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import VectorConfig
from retrieval_core.index.exact_rows import ExactRows
from retrieval_core.index.inputs import NO_IMAGE, Float32, Int64
from retrieval_core.index.vector import VectorIndex

SAMPLE, NEIGHBOURS = 200, 10
FOLDER = "sample/"


@dataclass(frozen=True, eq=False)
class ExactSample:
    """Some images with their nearest others, by which searches of an index are judged.

    Attributes:
        image_ids: (S,) int64, ascending.
        vectors: (S, D) float32, one per id.
        nearest: (S, k) int64 ids of the nearest others, best first.
    """

    image_ids: Int64
    vectors: Float32
    nearest: Int64

    @staticmethod
    def draw(image_ids: Int64, vectors: Float32) -> "ExactSample":
        """At most 200 images, each with its ten nearest, or all, where there are fewer.

        Args:
            image_ids: (N,) int64, ascending.
            vectors: (N, D) float32, one per id.
        """
        rng, count = np.random.default_rng(0), len(image_ids)
        rows = np.sort(rng.choice(count, min(SAMPLE, count), replace=False))
        wanted = min(NEIGHBOURS, count - 1)
        exact = VectorIndex(ExactRows(image_ids, vectors))
        found = exact.search(vectors[rows], wanted + 1)[0]
        others = [_others(*query, wanted) for query in zip(found, image_ids[rows], strict=True)]
        return ExactSample(image_ids[rows], vectors[rows], np.stack(others))

    def save(self, directory: ArtifactDirectory) -> None:
        """Write the arrays beside an index."""
        save_fields(self, directory, FOLDER)

    @staticmethod
    def load(uri: str | Path) -> "ExactSample":
        """Read a saved sample.

        Raises:
            ArtifactError: a file is missing or unreadable.
        """
        return load_fields(ExactSample, uri, FOLDER)


def recall_against_exact(
    index: VectorIndex, sample: ExactSample, config: VectorConfig
) -> dict[str, float]:
    """Share of an image's nearest others that the index finds among as many.

    Args:
        index: to judge.
        sample: of its images.
        config: of the search.

    Returns:
        "recall_against_exact@10" in [0, 1]; nothing for a single image.
    """
    wanted = sample.nearest.shape[1]
    if not wanted:
        return {}
    found = index.search(
        sample.vectors, wanted + 1, search_effort=config.search_effort, probes=config.probes
    )[0]
    hits = [
        len(np.intersect1d(right, _others(given, own, wanted)))
        for right, given, own in zip(sample.nearest, found, sample.image_ids, strict=True)
    ]
    return {f"recall_against_exact@{wanted}": float(np.mean(hits)) / wanted}


def _others(ids: Int64, own: int, count: int) -> Int64:
    others: Int64 = ids[(ids != own) & (ids != NO_IMAGE)]
    return others[:count]
