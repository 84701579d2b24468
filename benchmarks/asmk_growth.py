"""How the cost of an inverted file grows from a thousand images to a million.

Posting lists are made up (450 visual words an image of 65,536, 128-bit codes): what is timed is
building them from aggregated images, 50,000 at a time, and merging these, opening, and searching,
beside a plain read of the same posting lists and the memory's measured speed.

    python benchmarks/asmk_growth.py --images 1000 10000 100000 1000000 --folder /tmp/growth
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from asmk_data import ASSIGNMENTS, DIM, WORDS, codebook
from rich.console import Console
from rich.progress import track
from rich.table import Table

from retrieval_core.index import AsmkIndex
from retrieval_core.index.aggregation import Aggregates
from retrieval_core.index.build import Aggregation
from retrieval_core.index.ranking import Queries, Selectivity, rank
from retrieval_core.index.segment import Segment, build_segment
from retrieval_core.index.snapshot import Snapshot
from retrieval_core.index.threads import cores

RESULTS = Path(__file__).parent / "results" / "asmk_growth.json"
WORDS_PER_IMAGE = 450
IMAGES_PER_PART = 50_000
QUERIES, TOP_K = 20, 1_000
# of the memory whose speed is measured, and of how many pieces one is read
ARRAY_BYTES, SPARSITY = 1 << 31, 8


def main() -> None:
    """Measure every size, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = [1_000, 10_000, 100_000, 1_000_000]
    parser.add_argument("--images", type=int, nargs="+", default=sizes)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="with room for 18 kB an image")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    results = []
    for images in options.images:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            results.append(_measure(images, Path(folder), options.repeats))
        options.output.write_text(json.dumps(results, indent=1) + "\n")
    _print(results)


def _measure(images: int, folder: Path, repeats: int) -> dict[str, Any]:
    words = codebook()
    # compiled, or read from the cache
    build_segment(np.arange(1), _Synthesised.of(1, seed=0), WORDS, binary=True)
    parts, seconds = [], 0.0
    starts = range(0, images, IMAGES_PER_PART)
    for start in track(starts, f"{images:,} images"):
        ids = np.arange(start, min(start + IMAGES_PER_PART, images))
        made = _Synthesised.of(len(ids), seed=start)
        taken, segment = _timed(lambda i=ids, m=made: build_segment(i, m, WORDS, binary=True))
        seconds += taken
        parts.append(str(folder / f"part-{start}"))
        snapshot = Snapshot((segment,), (np.ones(len(ids), bool),), use_idf=False)
        AsmkIndex(words, snapshot, binary=True).save(parts[-1], with_codebook=False)
    aggregation = Aggregation("", np.arange(images), binary=True, use_idf=False)
    whole = folder / "whole"
    merging, _ = _timed(lambda: aggregation.merge(words, parts, str(whole)))
    for part in parts:
        shutil.rmtree(part)
    stored = sum(p.stat().st_size for p in whole.iterdir()) - words.centroids.nbytes
    opening = statistics.median(_timed(lambda: AsmkIndex.open(whole))[0] for _ in range(repeats))
    index = AsmkIndex.open(whole)
    return {
        "images": images,
        "postings": images * WORDS_PER_IMAGE,
        "build_seconds": seconds,
        "merge_seconds": merging,
        "segments": len(index.snapshot.segments),
        "open_seconds": opening,
        "bytes": stored,
        **_search(index.snapshot, repeats),
    }


@dataclass(frozen=True)
class _Synthesised:
    """Stands in for residuals of photographs, whose codes are known."""

    images: np.ndarray
    words: np.ndarray
    own: np.ndarray

    @staticmethod
    def of(images: int, seed: int) -> "_Synthesised":
        """Images with words that are spread evenly, in no two the same ones."""
        rng = np.random.default_rng(seed)
        strata = np.arange(WORDS_PER_IMAGE) + rng.random((images, WORDS_PER_IMAGE))
        words = (strata * (WORDS / WORDS_PER_IMAGE)).astype(np.int64).ravel()
        codes = rng.integers(0, 2**64, (len(words), DIM // 64), np.uint64)
        return _Synthesised(np.repeat(np.arange(images), WORDS_PER_IMAGE), words, codes)

    def codes(self, places: np.ndarray, *, binary: bool, short: bool) -> np.ndarray:
        """The codes, each in its place."""
        codes = np.empty_like(self.own)
        codes[places] = self.own
        return codes


def _search(snapshot: Snapshot, repeats: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    asked = [
        np.sort(rng.choice(WORDS, WORDS_PER_IMAGE * ASSIGNMENTS, replace=False))
        for _ in range(QUERIES)
    ]
    every = [_queries([words], rng) for words in asked]
    together = _queries(asked, rng)
    rank(snapshot, every[0], TOP_K)
    times: dict[str, list[float]] = {"single": [], "together": [], "read": []}
    with ThreadPoolExecutor(cores()) as pool:
        for _ in range(repeats):
            for query, words in zip(every, asked, strict=True):
                times["single"].append(_timed(lambda q=query: rank(snapshot, q, TOP_K))[0])
                times["read"].append(_timed(lambda w=words: _read(snapshot, w, pool))[0])
            times["together"].append(_timed(lambda: rank(snapshot, together, TOP_K))[0] / QUERIES)
        touched = statistics.mean(_touched(snapshot, words) for words in asked)
        # four fifths of the bytes of a list are codes, which lie together
        lists = len(snapshot.segments) * len(asked[0])
        piece = int(touched * 0.8 / lists)
        bandwidth = {
            name: max(_bandwidth(pool, length) for _ in range(repeats))
            for name, length in (("long", ARRAY_BYTES // cores()), ("pieces", piece))
        }
    return {
        "query_seconds": {name: statistics.median(values) for name, values in times.items()},
        "bytes_per_query": touched,
        "bytes_per_piece": piece,
        "bandwidth": bandwidth,
        "seconds_at_bandwidth": {name: touched / speed for name, speed in bandwidth.items()},
    }


def _queries(words: list[np.ndarray], rng: np.random.Generator) -> Queries:
    count = sum(map(len, words))
    codes = rng.integers(0, 2**64, (count, DIM // 64), np.uint64)
    owners = np.repeat(np.arange(len(words)), [len(w) for w in words])
    return Queries(
        Aggregates(owners, np.concatenate(words), codes), len(words), DIM, Selectivity(3.0, 0.0)
    )


def _touched(snapshot: Snapshot, words: np.ndarray) -> int:
    postings = sum(int((s.offsets[words + 1] - s.offsets[words]).sum()) for s in snapshot.segments)
    return postings * (4 + DIM // 8)


def _read(snapshot: Snapshot, words: np.ndarray, pool: ThreadPoolExecutor) -> None:
    """Touch every byte of some posting lists, and do nothing else."""
    parts = [(s, part) for s in snapshot.segments for part in np.array_split(words, cores())]
    list(pool.map(lambda p: _read_lists(*_arrays(p[0]), p[1]), parts))


def _arrays(segment: Segment) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return segment.offsets, segment.images, segment.codes.reshape(-1)


def _bandwidth(pool: ThreadPoolExecutor, piece: int) -> float:
    """Bytes per second that all cores read from memory, in pieces of so many bytes that lie apart.

    A piece is read from front to end; what a query touches lies in as many pieces as it has lists.
    """
    array = np.ones(ARRAY_BYTES // 8, np.uint64)
    length = max(1, piece // 8)
    starts = np.arange(0, len(array) - length + 1, length)
    if len(starts) > SPARSITY:
        chosen = np.random.default_rng(0).permutation(starts)[: len(starts) // SPARSITY]
        starts = np.sort(chosen)
    _read_pieces(array, starts[:0], length)
    parts = np.array_split(starts, cores())
    seconds, _ = _timed(
        lambda: list(pool.map(lambda part: _read_pieces(array, part, length), parts))
    )
    return len(starts) * length * 8 / seconds


@numba.njit(nogil=True)
def _read_lists(
    offsets: np.ndarray, images: np.ndarray, codes: np.ndarray, words: np.ndarray
) -> int:
    total = np.uint64(0)
    for word in words:
        begin, end = offsets[word], offsets[word + 1]
        total ^= _read_array(codes[2 * begin : 2 * end])
        of_images = np.int32(0)
        for p in range(begin, end):
            of_images ^= images[p]
        total ^= np.uint64(of_images)
    return total


@numba.njit(nogil=True)
def _read_pieces(array: np.ndarray, starts: np.ndarray, length: int) -> int:
    total = np.uint64(0)
    for start in starts:
        total ^= _read_array(array[start : start + length])
    return total


@numba.njit(nogil=True)
def _read_array(array: np.ndarray) -> int:
    total = np.uint64(0)
    for value in array:
        total ^= value
    return total


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def _rows(results: list[dict[str, Any]]) -> Iterator[list[str]]:
    for r in results:
        query, images = r["query_seconds"], r["images"]
        yield [
            f"{images:,}",
            f"{r['build_seconds']:.2f}",
            f"{r['merge_seconds']:.2f}",
            f"{1e6 * (r['build_seconds'] + r['merge_seconds']) / images:.0f}",
            f"{r['bytes'] / images:,.0f}",
            f"{r['bytes'] / r['postings']:.2f}",
            f"{1e3 * r['open_seconds']:.0f}",
            f"{1e3 * query['single']:.2f}",
            f"{1e3 * query['together']:.2f}",
            f"{r['bytes_per_query'] / 1e6:,.1f}",
            f"{1e3 * query['read']:.2f}",
            *(f"{1e3 * seconds:.2f}" for seconds in r["seconds_at_bandwidth"].values()),
        ]


def _print(results: list[dict[str, Any]]) -> None:
    speed = {name: f"{value / 1e9:.1f}" for name, value in results[-1]["bandwidth"].items()}
    table = Table(title=f"Growth; memory read at {speed['long']} GB/s, {speed['pieces']} in pieces")
    for column in (
        "images", "build s", "merge s", "us/image", "bytes/image", "/posting", "open ms",
        "query ms", "of 20", "MB read", "plain read ms", "at bandwidth ms", "in pieces ms",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for row in _rows(results):
        table.add_row(*row)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
