"""Reading the table or the folders of a user's own images."""

import math
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from fsspec.implementations.local import LocalFileSystem

from retrieval_core.data.catalogue import Box
from retrieval_core.errors import DatasetError

COLUMNS = ("path", "label", "split", "query", "box", "junk")
NEEDED = ("path", "label")
# of the values of a Parquet list, as they stand in a CSV; others are boxes
LIST_SEPARATOR = {"junk": ";"}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp")
LOCAL = "file://"
TRUTH_VALUES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class Entry:
    """One image as the user describes it.

    Attributes:
        path: absolute path or fsspec URL.
        label: "" where nothing is known.
        split: as written; None without such a column.
        query: whether the image is searched with; None without such a column.
        box: part of the image that is the query.
        junk: labels that count neither as right nor as wrong for this image's label.
    """

    path: str
    label: str
    split: str | None = None
    query: bool | None = None
    box: Box | None = None
    junk: frozenset[str] = frozenset()


def scan_folder(path: str) -> list[Entry]:
    """Image files below a directory, by ascending path; their label is their folder.

    Args:
        path: local directory or fsspec URL; files directly in it get the label "".

    Raises:
        DatasetError: it is not a directory.
    """
    fs, root = fsspec.core.url_to_fs(path)
    root = root.rstrip("/")
    if not fs.isdir(root):
        raise DatasetError(f"{path} is not a directory")
    entries = []
    for file in sorted(fs.find(root)):
        relative = file[len(root) + 1 :]
        hidden = any(part.startswith(".") for part in relative.split("/"))
        if not hidden and relative.lower().endswith(IMAGE_SUFFIXES):
            address = file if _is_local(fs) else fs.unstrip_protocol(file)
            entries.append(Entry(address, posixpath.dirname(relative)))
    return entries


def read_table(address: str, folder: str = "") -> list[Entry]:
    """Rows of a CSV or Parquet file; other columns than `COLUMNS` are ignored.

    Args:
        address: the file, local path or fsspec URL.
        folder: what relative paths are relative to; default: the table's own folder.

    Raises:
        DatasetError: the file is missing or unreadable, a column is missing, or values make no
            sense; the message lists them.
    """
    columns = _read_columns(address)
    base = _absolute(folder or posixpath.dirname(address) or ".")
    count = len(columns["path"])
    nothing: list[Any] = [None] * count
    return [
        Entry(path, label, split, query, box, junk or frozenset())
        for path, label, split, query, box, junk in zip(
            _paths(columns["path"], base),
            columns["label"],
            columns.get("split", nothing),
            _queries(columns["query"]) if "query" in columns else nothing,
            _boxes(columns["box"]) if "box" in columns else nothing,
            _label_sets(columns["junk"]) if "junk" in columns else nothing,
            strict=True,
        )
    ]


def list_values(values: Iterable[object]) -> str:
    """The first ten of some offending values, for a message."""
    found = list(values)
    more = f" and {len(found) - 10} more" if len(found) > 10 else ""
    return ", ".join(repr(value) for value in found[:10]) + more


def _read_columns(address: str) -> dict[str, list[str]]:
    try:
        with fsspec.open(address, "rb") as stream:
            table = _parse(address, stream)
    except FileNotFoundError:
        raise DatasetError(f"the table {address} does not exist") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"the table {address} cannot be read: {error}") from error
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise DatasetError(
            f"{address} has no column {list_values(missing)}; it has {table.column_names}"
        )
    return {
        name: [_text(value, LIST_SEPARATOR.get(name, " ")) for value in table[name].to_pylist()]
        for name in COLUMNS
        if name in table.column_names
    }


def _parse(address: str, stream: Any) -> pa.Table:
    if address.lower().endswith(".csv"):
        # as text, or labels such as 007 would lose their zeros
        types = dict.fromkeys(COLUMNS, pa.string())
        return pa.csv.read_csv(stream, convert_options=pa.csv.ConvertOptions(column_types=types))
    if address.lower().endswith(".parquet"):
        return pa.parquet.read_table(stream)
    raise DatasetError(f"the table {address} is neither .csv nor .parquet")


def _text(value: object, separator: str) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return separator.join(str(item) for item in value)
    return str(value).strip()


def _paths(values: list[str], base: str) -> list[str]:
    if "" in values:
        rows = [number for number, value in enumerate(values, start=1) if not value]
        raise DatasetError(f"rows without a path: {list_values(rows)}")
    return [_resolve(value, base) for value in values]


def _resolve(path: str, base: str) -> str:
    path = path.removeprefix(LOCAL)
    if "://" in path:
        return path
    address = path if path.startswith("/") else f"{base}/{path}"
    protocol, separator, rest = address.rpartition("://")
    return protocol + separator + posixpath.normpath(rest)


def _absolute(folder: str) -> str:
    folder = folder.removeprefix(LOCAL)
    return folder if "://" in folder else str(Path(folder).expanduser().absolute())


def _is_local(fs: fsspec.AbstractFileSystem) -> bool:
    return isinstance(fs, LocalFileSystem)


def _queries(values: list[str]) -> list[bool]:
    unknown = sorted({value for value in values if value.lower() not in TRUTH_VALUES})
    if unknown:
        raise DatasetError(f"query must be true or false, not {list_values(unknown)}")
    return [TRUTH_VALUES[value.lower()] for value in values]


def _boxes(values: list[str]) -> list[Box | None]:
    boxes = [_parse_box(value) for value in values]
    wrong = [v for v, box in zip(values, boxes, strict=True) if v and box is None]
    if wrong:
        raise DatasetError(
            f"box must be 'x1 y1 x2 y2' in pixels with x1 < x2 and y1 < y2, not "
            f"{list_values(wrong)}"
        )
    return boxes


def _parse_box(text: str) -> Box | None:
    try:
        left, top, right, bottom = (float(part) for part in text.split())
    except ValueError:
        return None
    if not all(map(math.isfinite, (left, top, right, bottom))) or left >= right or top >= bottom:
        return None
    return left, top, right, bottom


def _label_sets(values: list[str]) -> list[frozenset[str]]:
    return [frozenset(filter(None, map(str.strip, value.split(";")))) for value in values]
