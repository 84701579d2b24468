"""Descriptors as Parquet tables that any tool can open."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError
from retrieval_core.features.shards import global_name, local_name


@dataclass(frozen=True)
class LocalRows:
    """Local descriptors of some images, one row each, grouped by image.

    Attributes:
        image_ids: (n,) int64, ascending.
        descriptors: (n, d) float32, strongest first within an image.
        strengths: (n,) float32, >= 0.
        locations: (n, 2) float32, x and y as in `LocalFeatures`.
        scales: (n,) float32, factors of the image size.
    """

    image_ids: NDArray[np.int64]
    descriptors: NDArray[np.float32]
    strengths: NDArray[np.float32]
    locations: NDArray[np.float32]
    scales: NDArray[np.float32]

    def without(self, image_ids: NDArray[np.int64]) -> "LocalRows":
        """The rows of all other images."""
        kept = ~np.isin(self.image_ids, image_ids)
        return LocalRows(**{name: values[kept] for name, values in vars(self).items()})


class ShardWriter:
    """Appends to the two tables of a shard; see `open_shard`."""

    def __init__(self, global_table: pq.ParquetWriter, local_table: pq.ParquetWriter | None):
        self._global = global_table
        self._local = local_table

    def write(
        self,
        image_ids: NDArray[np.int64],
        global_descriptors: NDArray[np.float32],
        local: LocalRows | None,
    ) -> None:
        """Append some images, by ascending id over all calls, as one row group.

        Args:
            image_ids: (m,) int64.
            global_descriptors: (m, D) float32.
            local: their local descriptors, if the shard was opened with a table for them.
        """
        schema = self._global.schema
        columns = [pa.array(image_ids), _vectors(global_descriptors)]
        self._global.write_table(pa.table(columns, schema=schema))
        if self._local is not None and local is not None and len(local.image_ids):
            self._local.write_table(_local_table(local, self._local.schema))


@contextmanager
def open_shard(
    directory: ArtifactDirectory, index: int, *, global_dim: int, local_dim: int | None
) -> Iterator[ShardWriter]:
    """Tables of a shard to append to; both appear when the block ends well, else neither.

    Args:
        directory: artifact in the making.
        index: of the shard.
        global_dim: D, dimensions of a global descriptor.
        local_dim: d, dimensions of a local descriptor; None writes no such table.
    """
    with ExitStack() as stack:
        tables = {global_name(index): _global_schema(global_dim)}
        if local_dim is not None:
            tables[local_name(index)] = _local_schema(local_dim)
        # every writer is closed before the first file gets its final name
        paths = [stack.enter_context(directory.writing(name)) for name in tables]
        with ExitStack() as writers:
            opened = [
                # floats neither repeat nor compress; image ids do nothing but repeat
                writers.enter_context(
                    pq.ParquetWriter(p, s, compression="none", use_dictionary=["image_id"])
                )
                for p, s in zip(paths, tables.values(), strict=True)
            ]
            yield ShardWriter(opened[0], opened[1] if len(opened) > 1 else None)


def read_table(
    directory: ArtifactDirectory, name: str, columns: list[str], *, rows: int | None = None
) -> pa.Table:
    """Columns of a finished table.

    Args:
        directory: artifact that holds it.
        name: of the file.
        columns: names of the columns to read.
        rows: number of rows it must have, where that is known.

    Raises:
        ArtifactError: the file is missing, damaged, or has another number of rows.
    """
    path = directory.local(name)
    try:
        table = pq.read_table(path, columns=columns, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{directory.uri}/{name} is damaged: {error}") from None
    if missing := set(columns) - set(table.column_names):
        raise ArtifactError(f"{directory.uri}/{name} lacks the columns {sorted(missing)}")
    if rows is not None and table.num_rows != rows:
        raise ArtifactError(
            f"{directory.uri}/{name} has {table.num_rows} rows, its shard's report says {rows}"
        )
    return table


def matrix(table: pa.Table, column: str = "descriptor") -> NDArray[np.float32]:
    """A column of vectors as an (n, d) array, without a copy if the table is one row group."""
    vectors = table.column(column).combine_chunks()
    flat = vectors.flatten().to_numpy(zero_copy_only=True)
    return np.asarray(flat.reshape(len(vectors), vectors.type.list_size))


def vector(table: pa.Table, column: str) -> NDArray[Any]:
    """A column of numbers as an (n,) array."""
    return np.asarray(table.column(column).to_numpy())


def _global_schema(dim: int) -> pa.Schema:
    return pa.schema(
        [
            pa.field("image_id", pa.int64(), nullable=False),
            pa.field("descriptor", pa.list_(pa.float32(), dim), nullable=False),
        ]
    )


def _local_schema(dim: int) -> pa.Schema:
    numbers = [pa.field(n, pa.float32(), nullable=False) for n in ("x", "y", "scale", "strength")]
    image_id, descriptor = _global_schema(dim)
    return pa.schema([image_id, *numbers, descriptor])


def _local_table(local: LocalRows, schema: pa.Schema) -> pa.Table:
    x, y = np.ascontiguousarray(local.locations.T)
    columns = [pa.array(c) for c in (local.image_ids, x, y, local.scales, local.strengths)]
    return pa.table([*columns, _vectors(local.descriptors)], schema=schema)


def _vectors(values: NDArray[np.float32]) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
