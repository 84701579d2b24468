"""Shards: the unit of extraction, of resumption and of reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.data.catalogue import ImageRow
from retrieval_core.errors import ArtifactError


@dataclass(frozen=True)
class Shard:
    """Some images of a dataset that one worker extracts at a time, by ascending image id."""

    index: int
    rows: tuple[ImageRow, ...]


@dataclass(frozen=True)
class ShardReport:
    """What became of a shard; its file is written last, so its presence says "done".

    Attributes:
        index: of the shard.
        images: number of images that were extracted.
        local_descriptors: number of their local descriptors.
        excluded: image_id, path and reason of every image that could not be read.
        seconds: per part of the work; `decode` is summed over the decoding threads, `wait` is
            what the network waited for them, `network`, `write`, and `total` by the clock.
    """

    index: int
    images: int
    local_descriptors: int
    excluded: list[dict[str, Any]]
    seconds: dict[str, float]


def plan_shards(rows: Sequence[ImageRow], shard_size: int) -> list[Shard]:
    """Cut a dataset into shards by ascending image id.

    Args:
        rows: images, in any order.
        shard_size: images of a shard, >= 1; the last shard may be smaller.
    """
    ordered = sorted(rows, key=lambda row: row.image_id)
    starts = range(0, len(ordered), shard_size)
    return [Shard(i, tuple(ordered[s : s + shard_size])) for i, s in enumerate(starts)]


def local_name(index: int) -> str:
    """File of a shard's local descriptors."""
    return f"local/shard-{index:05d}.parquet"


def postings_name(index: int) -> str:
    """Folder of a shard's inverted file, where its local descriptors were not kept."""
    return f"postings/shard-{index:05d}"


def global_name(index: int) -> str:
    """File of a shard's global descriptors."""
    return f"global/shard-{index:05d}.parquet"


def report_name(index: int) -> str:
    """File of a shard's report."""
    return f"reports/shard-{index:05d}.json"


def is_done(directory: ArtifactDirectory, shard: Shard) -> bool:
    """Whether the shard was extracted completely."""
    return directory.exists(report_name(shard.index))


def read_report(directory: ArtifactDirectory, index: int) -> ShardReport:
    """The report of a finished shard.

    Raises:
        ArtifactError: there is none, or it is damaged.
    """
    content = directory.read_json(report_name(index))
    try:
        return ShardReport(**content)
    except TypeError as error:
        name = f"{directory.uri}/{report_name(index)}"
        raise ArtifactError(f"{name} is not a shard report: {error}") from None
