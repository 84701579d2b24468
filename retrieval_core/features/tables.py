"""Descriptors as Parquet tables that any tool can open."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

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


class LocalSink(Protocol):
    """Takes the local descriptors of a shard."""

    def write(self, image_ids: NDArray[np.int64], local: LocalRows) -> None:
        """Take those of some images, by ascending id over all calls.

        Args:
            image_ids: (m,) int64; an image may have no descriptor.
            local: theirs.
        """


OpenLocal = Callable[[ArtifactDirectory, int, int], AbstractContextManager[LocalSink]]
"""Where a shard's local descriptors go, by directory, index of the shard and dimensions; it is
there when the block ends well."""


class ShardWriter:
    """Takes the descriptors of a shard; see `open_shard`."""

    def __init__(self, global_table: pq.ParquetWriter, local: LocalSink | None):
        self._global = global_table
        self._local = local

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
            local: their local descriptors, if the shard was opened for them.
        """
        schema = self._global.schema
        columns = [pa.array(image_ids), _vectors(global_descriptors)]
        self._global.write_table(pa.table(columns, schema=schema))
        if self._local is not None and local is not None:
            self._local.write(image_ids, local)


class LocalTable:
    """Appends local descriptors to the table of a shard; see `open_local_table`."""

    def __init__(self, table: pq.ParquetWriter):
        self._table = table

    def write(self, image_ids: NDArray[np.int64], local: LocalRows) -> None:
        """Append the descriptors as one row group; an image without any leaves no trace."""
        if len(local.image_ids):
            self._table.write_table(_local_table(local, self._table.schema))


@contextmanager
def open_local_table(directory: ArtifactDirectory, index: int, dim: int) -> Iterator[LocalTable]:
    """A shard's table of local descriptors of d = `dim` dimensions."""
    with _open_table(directory, local_name(index), _local_schema(dim)) as table:
        yield LocalTable(table)


@contextmanager
def open_shard(
    directory: ArtifactDirectory,
    index: int,
    *,
    global_dim: int,
    local_dim: int | None,
    open_local: OpenLocal = open_local_table,
) -> Iterator[ShardWriter]:
    """A shard to append to; nothing of it appears where the block raises.

    Args:
        directory: artifact in the making.
        index: of the shard.
        global_dim: D, dimensions of a global descriptor.
        local_dim: d, dimensions of a local descriptor; None where there are none.
        open_local: where local descriptors go.
    """
    with ExitStack() as stack:
        table = _open_table(directory, global_name(index), _global_schema(global_dim))
        global_table = stack.enter_context(table)
        local = None
        if local_dim is not None:
            local = stack.enter_context(open_local(directory, index, local_dim))
        yield ShardWriter(global_table, local)


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


@contextmanager
def _open_table(
    directory: ArtifactDirectory, name: str, schema: pa.Schema
) -> Iterator[pq.ParquetWriter]:
    # floats neither repeat nor compress; image ids do nothing but repeat
    settings = {"compression": "none", "use_dictionary": ["image_id"]}
    with directory.writing(name) as path, pq.ParquetWriter(path, schema, **settings) as table:
        yield table


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
