"""Your own images: a directory with a folder per label, or a CSV / Parquet table."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import get_args

from retrieval_core.config import FolderConfig
from retrieval_core.data.catalogue import Catalogue, ImageRow, Role, Split, label_truth
from retrieval_core.data.folder_table import Entry, list_values, read_table, scan_folder
from retrieval_core.errors import DatasetError

TABLE_SUFFIXES = (".csv", ".parquet")


def read_folder(config: FolderConfig) -> Catalogue:
    """Images and label-based ground truth; no image file is opened.

    Without a query column, every labelled test image that shares its label with another one is
    a query, searched for among all others (leave one out).

    Raises:
        DatasetError: nothing is found, or the table contradicts itself.
    """
    entries, source = read_entries(config), config.table or config.path
    if not entries:
        raise DatasetError(f"{source} has no images")
    splits = _splits(entries, config.test_fraction)
    files = _real_files(entries)
    _check_paths(entries, splits, files)
    roles = _roles(entries, splits)
    rows = tuple(
        ImageRow(number, entry.path, entry.label, split, role, entry.box)
        for number, (entry, split, role) in enumerate(zip(entries, splits, roles, strict=True))
    )
    test = [row for row in rows if row.split == "test"]
    truth = label_truth(test, _junk_labels(entries), files)
    return Catalogue(PurePosixPath(source).stem, rows, truth, revisited=False)


def is_table(config: FolderConfig) -> bool:
    """Whether a table names the images, else a directory's listing."""
    return bool(config.table) or config.path.lower().endswith(TABLE_SUFFIXES)


def read_entries(config: FolderConfig) -> list[Entry]:
    """The images as the user describes them (errors as `read_folder`)."""
    if config.table:
        return read_table(config.table, config.path)
    return read_table(config.path) if is_table(config) else scan_folder(config.path)


def _splits(entries: Sequence[Entry], test_fraction: float) -> list[Split]:
    known: dict[str, Split] = {split: split for split in get_args(Split)}
    unknown = sorted({e.split for e in entries if e.split is not None} - known.keys())
    if unknown:
        raise DatasetError(f"split must be one of {list(known)}, not {list_values(unknown)}")
    return [
        known[e.split] if e.split is not None else _split_of(e.label, test_fraction)
        for e in entries
    ]


def _split_of(label: str, test_fraction: float) -> Split:
    # by the label's own hash: a label stays on its side when others come
    digest = hashlib.sha256(label.encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    return "test" if position < test_fraction or not label else "train"


def _check_paths(entries: Sequence[Entry], splits: Sequence[Split], files: Sequence[str]) -> None:
    sides: dict[str, set[Split]] = {}
    for file, split in zip(files, splits, strict=True):
        sides.setdefault(file, set()).add(split)
    shared = [e.path for e, file in zip(entries, files, strict=True) if len(sides[file]) > 1]
    if shared:
        raise DatasetError(f"images in more than one split: {list_values(dict.fromkeys(shared))}")
    # a query, with its box, may be cut out of a database image
    listed = Counter(
        (entry.path, entry.query if split == "test" else None)
        for entry, split in zip(entries, splits, strict=True)
    )
    twice = [path for (path, _), count in listed.items() if count > 1]
    if twice:
        raise DatasetError(f"images listed more than once: {list_values(twice)}")


def _real_files(entries: Sequence[Entry]) -> list[str]:
    """What the paths lead to, through links, too; URLs stay as they are."""
    # a million images lie in few folders: the disk is asked about these alone
    real_folder, links = cache(os.path.realpath), cache(_links)

    def follow(path: str) -> str:
        if "://" in path:
            return path
        folder, name = os.path.split(path)
        return os.path.realpath(path) if name in links(folder) else f"{real_folder(folder)}/{name}"

    return [follow(entry.path) for entry in entries]


def _links(folder: str) -> frozenset[str]:
    try:
        with os.scandir(folder) as found:
            return frozenset(entry.name for entry in found if entry.is_symlink())
    except OSError:  # prepare says what is wrong with its images
        return frozenset()


def _roles(entries: Sequence[Entry], splits: Sequence[Split]) -> list[Role]:
    counts = Counter(e.label for e, s in zip(entries, splits, strict=True) if s == "test")
    return [_role(e, s, counts) for e, s in zip(entries, splits, strict=True)]


def _role(entry: Entry, split: Split, test_counts: Counter[str]) -> Role:
    if split != "test":
        return "both"
    if entry.query is not None:
        return "query" if entry.query else "database"
    return "both" if entry.label and test_counts[entry.label] > 1 else "database"


def _junk_labels(entries: Sequence[Entry]) -> dict[str, frozenset[str]]:
    junk: dict[str, frozenset[str]] = {}
    for entry in entries:
        junk[entry.label] = junk.get(entry.label, frozenset()) | (entry.junk - {entry.label})
    return junk
