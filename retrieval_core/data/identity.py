"""What decides whether a dataset is still the one that was prepared."""

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from typing import Any

import fsspec

from retrieval_core.config import DatasetConfig
from retrieval_core.data.benchmarks.identity import benchmark_identity
from retrieval_core.data.folder import is_table, read_entries
from retrieval_core.errors import DatasetError

STAT_THREADS = 16


def dataset_identity(config: DatasetConfig) -> dict[str, Any]:
    """Settings of the dataset's kind and, for files on disk, what tells their content.

    That is a digest of the listing for files of the user's; for benchmarks the digests of what
    was downloaded, if it was.

    Names, sizes and modification times stand for the content: reading a million images to find
    that nothing changed would cost more than most stages.

    Raises:
        DatasetError: the directory or the table does not exist.
    """
    section = getattr(config, config.kind).model_dump(mode="json")
    identity = {"kind": config.kind, config.kind: section}
    if config.kind == "folder":
        if is_table(config.folder):
            entries = read_entries(config.folder)
            identity["entries"] = _digest(
                [[*astuple(entry)[:-1], sorted(entry.junk)] for entry in entries]
            )
            identity["listing"] = _files_digest(entry.path for entry in entries)
        else:
            identity["listing"] = _listing_digest(config.folder.path)
    if config.kind == "benchmark":
        identity["benchmark"] = benchmark_identity(config.benchmark)
    return identity


def _files_digest(paths: Iterable[str]) -> str:
    with ThreadPoolExecutor(STAT_THREADS) as pool:
        return _digest(list(pool.map(_stamp, paths, chunksize=64)))


def _stamp(path: str) -> list[str]:
    try:
        fs, address = fsspec.core.url_to_fs(path)
        info = fs.info(address)
    except Exception:  # prepare says what is wrong with it
        return [path]
    return [path, str(info["size"]), _time(info)]


def _listing_digest(place: str) -> str:
    fs, root = fsspec.core.url_to_fs(place)
    if not fs.exists(root):
        raise DatasetError(f"there is nothing at {place}")
    found = fs.find(root, detail=True)
    listing = [
        (name[len(root) :], info["size"], _time(info)) for name, info in sorted(found.items())
    ]
    return _digest(listing)


def _time(info: dict[str, Any]) -> str:
    return str(info.get("mtime") or info.get("ETag") or "")


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
