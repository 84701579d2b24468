"""Search among global descriptors: what an exact one costs, and what the kinds of index cost.

`exact` finds the best images of every image beside the bare matrix product of the same vectors, in
turns, and says how much memory the search takes above the vectors. `kinds` builds every kind of
index over the dimensions, on the CPU and, where there is one, on a GPU, and draws the costs.

    python benchmarks/vector.py exact --images 60502 --dim 1024 --top-k 1000
    python benchmarks/vector.py kinds --images 100000 --dims 256 512 1024
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from retrieval_core.config import VectorConfig
from retrieval_core.index import VectorIndex
from retrieval_core.index.exact_search import IMAGE_BLOCK
from retrieval_core.index.quality import ExactSample, recall_against_exact
from retrieval_core.index.threads import cores
from retrieval_core.visualize.index_costs import IndexCost, costs_chart
from retrieval_core.visualize.theme import LIGHT, to_png

RESULTS = Path(__file__).parent / "results"
# queries of a bare product, which with fewer is slower
PRODUCT_ROWS = 1_024
KINDS = ("exact", "hnsw", "ivf_pq", "scalar")
CENTRES, SPREAD = 2_000, 0.6
ADDED_SHARE, QUERIES = 0.01, 1_000


def main() -> None:
    """Measure, print the table and write the JSON, of the kinds also a picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    exact = parts.add_parser("exact")
    exact.add_argument("--dim", type=int, default=1_024)
    exact.add_argument("--top-k", type=int, nargs="+", default=[1, 100, 1_000])
    exact.add_argument("--repeats", type=int, default=3)
    kinds = parts.add_parser("kinds")
    kinds.add_argument("--dims", type=int, nargs="+", default=[256, 512, 1_024])
    kinds.add_argument("--kinds", nargs="+", default=KINDS)
    kinds.add_argument("--device", choices=["cpu", "gpu"], help=argparse.SUPPRESS)
    for part in (exact, kinds):
        part.add_argument("--images", type=int, default=60_502)
        part.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.output.mkdir(exist_ok=True)
    if options.part == "exact":
        _exact(options)
    elif options.device:
        _measure_kinds(options)
    else:
        _kinds(options)


def _exact(options: argparse.Namespace) -> None:
    vectors = _vectors(options.images, options.dim)
    index = VectorIndex.build(np.arange(len(vectors)), vectors)
    vectors_alone = _status("VmRSS")
    index.search(vectors[:100], device="cpu")  # compiled, or read from the cache
    results = []
    for top_k in options.top_k:
        times: dict[str, list[float]] = {"product": [], "search": []}
        memory = []
        for _ in range(options.repeats):
            # whichever shape of block is the faster one
            shapes = (len(vectors), IMAGE_BLOCK)
            times["product"].append(
                min(_timed(lambda w=w: _product(vectors, w))[0] for w in shapes)
            )
            Path("/proc/self/clear_refs").write_text("5")  # Linux counts the peak anew
            times["search"].append(
                _timed(lambda k=top_k: index.search(vectors, k, device="cpu"))[0]
            )
            memory.append(_status("VmHWM") - vectors_alone)
        product, search = (statistics.median(times[name]) for name in ("product", "search"))
        results.append(
            {
                "images": options.images,
                "dim": options.dim,
                "top_k": top_k,
                "cores": cores(),
                "product_seconds": product,
                "search_seconds": search,
                "ratio": search / product,
                "product_gigaflops": 2e-9 * options.images**2 * options.dim / product,
                "bytes_above_vectors": max(memory),
                "bytes_of_result": 12 * top_k * options.images,
            }
        )
    _write(options.output / "vector_exact.json", results)
    _print(f"{options.images:,} x {options.images:,} x {options.dim:,}, {cores()} cores", results)


def _product(vectors: np.ndarray, width: int) -> None:
    """The products of all pairs and nothing else, in blocks of one piece of memory."""
    tensor, block = torch.from_numpy(vectors), torch.empty(PRODUCT_ROWS * width)
    for queries in tensor.split(PRODUCT_ROWS):
        for images in tensor.split(width):
            size = (len(queries), len(images))
            torch.mm(queries, images.T, out=block[: size[0] * size[1]].view(size))


def _kinds(options: argparse.Namespace) -> None:
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices.append("gpu")
    costs: list[IndexCost] = []
    for device in devices:
        # the libraries take a GPU wherever they see one
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
        command = [sys.executable, *sys.argv, "--device", device]
        done = subprocess.run(
            command, env={**os.environ, **hidden}, check=True, stdout=subprocess.PIPE, text=True
        )
        costs += [IndexCost(**json.loads(line)) for line in done.stdout.splitlines()]
    rows = [{"images": options.images, **asdict(cost)} for cost in costs]
    _write(options.output / "vector_kinds.json", rows)
    (options.output / "vector_kinds.png").write_bytes(to_png(costs_chart(costs, LIGHT)))
    _print(f"{options.images:,} images", rows)


def _measure_kinds(options: argparse.Namespace) -> None:
    on_gpu = {"exact": torch.cuda.is_available(), "ivf_pq": faiss.get_num_gpus() > 0}
    for dim in options.dims:
        vectors = _vectors(options.images, dim)
        for kind in options.kinds:
            if options.device == "cpu" or on_gpu.get(kind):
                print(json.dumps(asdict(_cost(vectors, kind, options.device))), flush=True)


def _cost(vectors: np.ndarray, kind: str, device: str) -> IndexCost:
    config = VectorConfig(kind=kind)
    first = len(vectors) - max(1, int(ADDED_SHARE * len(vectors)))
    ids, queries = np.arange(len(vectors)), vectors[:: max(1, len(vectors) // QUERIES)]
    place = "cuda" if device == "gpu" else "cpu"

    def ready(index: VectorIndex) -> VectorIndex:
        # what is searched on a GPU is brought there by the first query
        index.search(queries[:1], 1, device=place)
        return index

    ready(VectorIndex.build(ids[:QUERIES], vectors[:QUERIES], config))
    free = _free(device)
    build, index = _timed(lambda: ready(VectorIndex.build(ids[:first], vectors[:first], config)))
    add, _ = _timed(lambda: ready(_with(index, ids[first:], vectors[first:])))
    index.search(queries[:10], 10, device=place)
    search, _ = _timed(lambda: index.search(queries, 10, device=place))
    size = free - _free(device) if device == "gpu" else _held(index)
    sample = ExactSample.draw(ids, vectors)
    recall = recall_against_exact(index, sample, config)
    return IndexCost(
        kind=kind,
        device=device,
        dim=vectors.shape[1],
        build_seconds=build,
        add_seconds=add,
        query_milliseconds=1e3 * search / len(queries),
        bytes_per_image=size / len(vectors),
        recall=next(iter(recall.values()), 1.0),
    )


def _with(index: VectorIndex, ids: np.ndarray, vectors: np.ndarray) -> VectorIndex:
    index.add(ids, vectors)
    return index


def _free(device: str) -> int:
    """Bytes of the GPU's memory that nothing holds; 0 without one."""
    if device != "gpu":
        return 0
    torch.cuda.empty_cache()  # what torch keeps of freed tensors is not the index's
    return int(torch.cuda.mem_get_info()[0])


def _held(index: VectorIndex) -> int:
    return sum(array.nbytes for array in index.rows.arrays().values())


def _vectors(count: int, dim: int) -> np.ndarray:
    """Unit vectors around centres, as descriptors of places or products lie."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CENTRES, dim), np.float32)
    vectors = np.empty((count, dim), np.float32)
    for start in range(0, count, 4096):
        rows = vectors[start : start + 4096]
        rng.standard_normal(out=rows, dtype=np.float32)
        rows *= SPREAD
        rows += centres[rng.integers(CENTRES, size=len(rows))]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return vectors


def _status(name: str) -> int:
    """Bytes of memory that Linux tells of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows, indent=1) + "\n")


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(f"{v:,.4g}" if isinstance(v, float) else f"{v}" for v in row.values()))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
