"""Reading extracted descriptors, shard by shard."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError, TooManyExclusionsError
from retrieval_core.features.shards import (
    Shard,
    ShardReport,
    global_name,
    is_done,
    local_name,
    read_report,
)
from retrieval_core.features.tables import matrix, read_table, vector


@dataclass(frozen=True)
class LocalShard:
    """Local descriptors of some images; arrays may be read-only.

    Attributes:
        image_ids: (m,) int64, ascending; an image may have no descriptor.
        descriptors: (n, d) float32, strongest first within an image.
        image_index: (n,) int64, position in `image_ids`, ascending.
        strengths: (n,) float32, >= 0.
        locations: (n, 2) float32, x and y as in `LocalFeatures`.
        scales: (n,) float32, factors of the image size.
    """

    image_ids: NDArray[np.int64]
    descriptors: NDArray[np.float32]
    image_index: NDArray[np.int64]
    strengths: NDArray[np.float32]
    locations: NDArray[np.float32]
    scales: NDArray[np.float32]


@dataclass(frozen=True)
class FeaturesSummary:
    """Sums over all shards of an extraction.

    Attributes:
        images: number of images that were extracted.
        local_descriptors: number of their local descriptors.
        excluded: image_id, path and reason of every image that could not be read.
    """

    images: int
    local_descriptors: int
    excluded: list[dict[str, Any]]


class FeatureStore:
    """Descriptors of an extraction artifact.

    Args:
        uri: directory that `extract_shard` wrote into.
        shards: indices of those to read; default: all.

    Raises:
        ArtifactError: there is no finished shard, or a shard's report is missing or damaged.
    """

    def __init__(self, uri: str | Path, shards: Iterable[int] | None = None) -> None:
        self._directory = ArtifactDirectory(uri)
        indices = self._finished() if shards is None else list(shards)
        self._reports = [read_report(self._directory, index) for index in indices]

    def partitions(self, images: int) -> list[tuple[int, ...]]:
        """Indices of successive shards in groups of at least `images` images; the last has less."""
        groups: list[tuple[int, ...]] = []
        gathered = images
        for report in self._reports:
            if gathered >= images:
                groups.append(())
                gathered = 0
            groups[-1] += (report.index,)
            gathered += report.images
        return groups

    def global_descriptors(
        self, image_ids: Iterable[int] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Global descriptors by ascending image id.

        Args:
            image_ids: images to read, all by default; ids without descriptors are left out.

        Returns:
            ids (N,) int64 and vectors (N, D) float32.

        Raises:
            ArtifactError: a shard is missing or damaged.
        """
        ids, vectors = zip(*self.global_shards(image_ids), strict=True)
        return np.concatenate(ids), np.concatenate(vectors)

    def global_shards(
        self, image_ids: Iterable[int] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Global descriptors, one shard in memory at a time (otherwise as `global_descriptors`)."""
        wanted = _id_array(image_ids)
        for report in self._reports:
            table = self._global(report, ["image_id", "descriptor"])
            keep = _kept(vector(table, "image_id"), wanted)
            yield vector(table, "image_id")[keep].astype(np.int64), matrix(table)[keep]

    def local_shards(self, image_ids: Iterable[int] | None = None) -> Iterator[LocalShard]:
        """Local descriptors, one shard in memory at a time, by ascending image id.

        Args:
            image_ids: images to read, all by default; ids without descriptors are left out.

        Raises:
            ArtifactError: a shard is missing or damaged, or the model has no local descriptors.
        """
        wanted = _id_array(image_ids)
        for report in self._reports:
            present = vector(self._global(report, ["image_id"]), "image_id").astype(np.int64)
            selected = present[_kept(present, wanted)]
            if len(selected):
                yield self._local_shard(report, selected, whole=len(selected) == len(present))

    def sample_local(self, limit: int, seed: int) -> NDArray[np.float32]:
        """Local descriptors drawn uniformly without replacement, one shard in memory at a time.

        Args:
            limit: most descriptors to draw, >= 1.
            seed: of the draw.

        Returns:
            (min(limit, all), d) float32, in the order of the shards.

        Raises:
            ArtifactError: a shard is missing or damaged, or the model has no local descriptors.
        """
        counts = [report.local_descriptors for report in self._reports]
        total = sum(counts)
        generator = np.random.default_rng(seed)
        drawn = np.sort(generator.choice(total, min(limit, total), replace=False, shuffle=False))
        starts = np.cumsum([0, *counts])
        cuts = np.searchsorted(drawn, starts)
        samples: NDArray[np.float32] | None = None
        for report, start, low, high in zip(
            self._reports, starts[:-1], cuts[:-1], cuts[1:], strict=True
        ):
            found = matrix(self._local(report, ["descriptor"]))
            if samples is None:
                # filled in place: the training images' descriptors may take half the memory
                samples = np.empty((len(drawn), found.shape[1]), np.float32)
            samples[low:high] = found[drawn[low:high] - start]
        return np.empty((0, 0), np.float32) if samples is None else samples

    def _finished(self) -> list[int]:
        names = [n for n in self._directory.names() if n.startswith("reports/shard-")]
        if not names:
            uri = self._directory.uri
            raise ArtifactError(f"{uri} holds no extracted features: it has no reports/")
        return sorted(int(Path(name).stem.removeprefix("shard-")) for name in names)

    def _local_shard(
        self, report: ShardReport, selected: NDArray[np.int64], *, whole: bool
    ) -> LocalShard:
        table = self._local(report, ["image_id", "descriptor", "strength", "x", "y", "scale"])
        owners = vector(table, "image_id")
        keep = slice(None) if whole else np.isin(owners, selected)
        return LocalShard(
            image_ids=selected,
            descriptors=matrix(table)[keep],
            image_index=np.searchsorted(selected, owners[keep]).astype(np.int64),
            strengths=vector(table, "strength")[keep],
            locations=np.stack([vector(table, "x"), vector(table, "y")], axis=1)[keep],
            scales=vector(table, "scale")[keep],
        )

    def _global(self, report: ShardReport, columns: list[str]) -> Any:
        return read_table(self._directory, global_name(report.index), columns, rows=report.images)

    def _local(self, report: ShardReport, columns: list[str]) -> Any:
        name, rows = local_name(report.index), report.local_descriptors
        return read_table(self._directory, name, columns, rows=rows)


def finish(
    directory: ArtifactDirectory, shards: Sequence[Shard], max_excluded: float
) -> FeaturesSummary:
    """Check that every planned shard is there and sum their reports.

    Args:
        directory: artifact in the making.
        shards: all that were planned.
        max_excluded: share of unreadable images, in [0, 1], above which it fails.

    Raises:
        ArtifactError: a shard is not finished.
        TooManyExclusionsError: more than the share were unreadable; lists the first 20.
    """
    if missing := [shard.index for shard in shards if not is_done(directory, shard)]:
        raise ArtifactError(f"{directory.uri} lacks {len(missing)} shards: {missing[:20]}")
    reports = [read_report(directory, shard.index) for shard in shards]
    excluded = [entry for report in reports for entry in report.excluded]
    planned = sum(len(shard.rows) for shard in shards)
    if len(excluded) > max_excluded * planned:
        setting = "features.max_excluded"
        raise TooManyExclusionsError.of(excluded, planned, setting, max_excluded)
    return FeaturesSummary(
        images=sum(report.images for report in reports),
        local_descriptors=sum(report.local_descriptors for report in reports),
        excluded=excluded,
    )


def _id_array(image_ids: Iterable[int] | None) -> NDArray[np.int64] | None:
    return None if image_ids is None else np.fromiter(image_ids, np.int64)


def _kept(ids: NDArray[Any], wanted: NDArray[np.int64] | None) -> Any:
    """What selects the wanted ids: everything at once, or a mask."""
    return slice(None) if wanted is None else np.isin(ids, wanted)
