"""Codebook training and assignment, approximate beside exact, in one run.

The exact side is faiss: k-means as the reference implementations run it, and its search among all
words. The descriptors are those of an extraction by the pipeline; those that are quantised, and
those that errors are judged on, were not clustered.

    python benchmarks/codebook.py workdir/artifacts/feats-... --descriptors 1000000
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from rich.console import Console
from rich.table import Table

from retrieval_core.features import FeatureStore
from retrieval_core.index import Codebook

RESULTS = Path(__file__).parent / "results" / "codebook.json"
JUDGED = 50_000


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features")
    parser.add_argument("--descriptors", type=int, default=1_000_000, help="to quantise")
    parser.add_argument("--clustered", type=int, default=262_144, help="to train on")
    parser.add_argument("--words", type=int, default=65_536)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="of approximate assignment")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    wanted = options.clustered + options.descriptors
    descriptors = FeatureStore(options.features).sample_local(wanted, seed=0)
    np.random.default_rng(0).shuffle(descriptors)
    clustered, others = descriptors[: options.clustered], descriptors[options.clustered :]
    if len(others) < JUDGED:
        parser.error(f"{options.features} holds {len(descriptors)} descriptors, {wanted} are asked")
    training, codebook = _train(clustered, others[:JUDGED], options)
    assignment = _assign(codebook, others, options.repeats)
    result = {
        "words": options.words,
        "iterations": options.iterations,
        "training": {
            "descriptors": len(clustered),
            "judged": min(JUDGED, len(others)),
            **training,
        },
        "assignment": {"descriptors": len(others), **assignment},
    }
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    _print(result)


def _train(
    vectors: np.ndarray, judged: np.ndarray, options: argparse.Namespace
) -> tuple[dict[str, Any], Codebook]:
    def train(exact: bool) -> Codebook:
        return Codebook.train(
            vectors, options.words, seed=0, iterations=options.iterations, exact=exact
        )

    seconds, codebook = _timed(lambda: train(False))
    exact_seconds, exact = _timed(lambda: train(True))
    error, exact_error = (
        replace(book, exact=True).quality(judged).error for book in (codebook, exact)
    )
    result = {
        "exact_seconds": exact_seconds,
        "seconds": seconds,
        "ratio": exact_seconds / seconds,
        "exact_error": exact_error,
        "error": error,
        "words_used": codebook.quality(vectors).used,
    }
    return result, codebook


def _assign(codebook: Codebook, vectors: np.ndarray, repeats: int) -> dict[str, Any]:
    codebook.assign(vectors[:1_000])
    runs = [_timed(lambda: codebook.assign(vectors)) for _ in range(repeats)]
    seconds = sorted(run[0] for run in runs)[repeats // 2]
    exact_seconds, found = _timed(lambda: faiss.knn(vectors, codebook.centroids, 1))
    return {
        "exact_seconds": exact_seconds,
        "seconds": seconds,
        "ratio": exact_seconds / seconds,
        "agreement": float((runs[0][1] == found[1]).mean()),
    }


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def _print(result: dict[str, Any]) -> None:
    table = Table(title=f"{result['words']:,} visual words")
    for column in ("", "descriptors", "exact s", "ours s", "x", "quality"):
        table.add_column(column, justify="right")
    for name in ("training", "assignment"):
        part = result[name]
        if name == "training":
            quality = f"error {part['error'] / part['exact_error'] - 1:+.2%}"
        else:
            quality = f"{part['agreement']:.2%} agree"
        table.add_row(
            name,
            f"{part['descriptors']:,}",
            f"{part['exact_seconds']:.1f}",
            f"{part['seconds']:.1f}",
            f"{part['ratio']:.1f}",
            quality,
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
