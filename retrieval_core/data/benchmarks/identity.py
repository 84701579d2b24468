"""What decides whether a benchmark on disk is still the one that was prepared."""

import hashlib
import json
from pathlib import Path
from typing import Any

from retrieval_core.config import BenchmarkConfig
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.benchmarks.sources import Source, load_benchmarks
from retrieval_core.data.benchmarks.unpacked import unpacked_digest
from retrieval_core.download import read_receipt
from retrieval_core.errors import MissingListError

# where files come from, which their digests stand for
ORIGIN = {"root", "download", "sources"}


def benchmark_identity(config: BenchmarkConfig) -> dict[str, Any]:
    """Settings, folders and digests of the files; nothing of them is read again.

    Images and lists that no archive was unpacked for are the user's own: their names, sizes and
    modification times stand for them. Mirrors decide nothing.

    Raises:
        ConfigError: `config.sources` cannot be used.
    """
    benchmark = load_benchmarks(config.sources)[config.name]
    places = Places.of(config, benchmark.sources)
    digests = {s.file.name: _digest(places, s) for s in benchmark.sources}
    own = not any(s.unpack_to for s in benchmark.sources) or None in digests.values()
    return {
        **config.model_dump(mode="json", exclude=ORIGIN),
        "folders": [str(folder) for folder in places.folders],
        "files": digests,
        "listing": _listing(places) if own else "",
        "lists": {name: _list(places, name) for name in benchmark.lists} if own else {},
    }


def _digest(places: Places, source: Source) -> str | None:
    """SHA-256 on arrival; size and time of a list without receipt; None for what is not there."""
    if source.unpack_to is not None:
        return unpacked_digest(places.root, source)
    path = places.file(source.folder, source.file.name)
    if receipt := read_receipt(path.parent, path.name):
        return receipt.sha256
    return _stamp(path) if path.exists() else None


def _list(places: Places, name: str) -> str | None:
    try:
        return _stamp(places.listed(name))
    except MissingListError:
        return None


def _stamp(path: Path) -> str:
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}"


def _listing(places: Places) -> str:
    digest = hashlib.sha256()
    for line in sorted(places.listing()):
        digest.update(json.dumps(line).encode())
    return digest.hexdigest()
