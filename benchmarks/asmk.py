"""The ASMK engine beside the reference implementation, in one run.

Both get the same descriptors, centroids and visual words; finding the words is timed by
`benchmarks/codebook.py`. The reference is PyPI's `asmk` (`pip install --no-deps asmk==0.1.1`).

    python benchmarks/asmk.py --images 3000 10000 40000 --repeats 5
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from asmk_data import ASSIGNMENTS, Batch, KnownWords, batches, codebook
from asmk_reference import Reference
from rich.console import Console
from rich.progress import track
from rich.table import Table

from retrieval_core.index import AsmkIndex

RESULTS = Path(__file__).parent / "results" / "asmk.json"
TOP_K = 1_000
QUERIES, TIMES_TOGETHER = 20, 5
BUILDS = 3  # of ours, each from the same batches; the reference's takes minutes
# the reference computes float similarities in float32 and ours from float16 codes
TIE, RELATIVE_TIE = 1e-7, 5e-5

Case = dict[str, Any]


def main() -> None:
    """Measure every case, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[3_000, 10_000, 40_000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    words = codebook()
    smallest = min(options.images)
    # every variant at the smallest size; the published one at all of them
    cases = [(smallest, "even", b, i) for b, i in ((True, True), (False, False), (False, True))]
    cases += [(n, use, True, False) for n in options.images for use in ("even", "zipf")]
    results = []
    for images, use, binary, idf in track(cases, "cases"):
        results.append(_compare(words, images, use, binary, idf, options.repeats))
        options.output.parent.mkdir(exist_ok=True)
        options.output.write_text(json.dumps(results, indent=1) + "\n")
    _print(results)


def _compare(
    words: KnownWords, images: int, use: str, binary: bool, use_idf: bool, repeats: int
) -> Case:
    reference = Reference(words.centroids, binary, use_idf, TOP_K)
    indexes = [AsmkIndex.create(words, binary=binary, use_idf=use_idf) for _ in range(BUILDS)]
    building = np.zeros(BUILDS)
    seconds = {"reference": 0.0}
    for batch in batches(words.centroids, images, use, 1, seed=1):
        words.expect(batch.words)
        building += [
            _timed(lambda i=i, b=batch: i.add(b.images, b.descriptors, b.image_index))
            for i in indexes
        ]
        seconds["reference"] += _timed(lambda b=batch: reference.aggregate(b))
    building += [_timed(index.compact) for index in indexes]
    seconds["ours"] = statistics.median(building.tolist())
    seconds["reference"] += _timed(reference.build)
    index = indexes[0]
    (asked,) = batches(words.centroids, QUERIES, use, ASSIGNMENTS, seed=2, views=1)
    found = _Queries(index, words, reference, asked).measure(repeats)
    return {
        "images": images,
        "use": use,
        "binary": binary,
        "idf": use_idf,
        "build_seconds": seconds,
        "build_ratio": seconds["reference"] / seconds["ours"],
        "bytes_per_posting": {
            "reference": reference.bytes() / int(index.images_per_word.sum()),
            "ours": _bytes(index) / int(index.images_per_word.sum()),
        },
        **found,
    }


class _Queries:
    """The same queries to both, each search in a row of its own, as a server's are."""

    def __init__(
        self, index: AsmkIndex, words: KnownWords, reference: Reference, asked: Batch
    ) -> None:
        self._index, self._words, self._reference, self._asked = index, words, reference, asked
        self._alone = [asked.of_image(query) for query in range(QUERIES)]

    def measure(self, repeats: int) -> Case:
        times: dict[str, list[float]] = {"reference": [], "single": [], "together": []}
        worst = max(
            _difference(self._ours(query), self._reference.search(query.descriptors, query.words))
            for query in self._alone
        )
        for _ in range(repeats):
            for query in self._alone:
                times["reference"].append(
                    _timed(lambda q=query: self._reference.search(q.descriptors, q.words))
                )
            for query in self._alone:
                times["single"].append(_timed(lambda q=query: self._ours(q)))
            for _ in range(TIMES_TOGETHER):
                times["together"].append(_timed(lambda: self._ours(self._asked)) / QUERIES)
        medians = {name: statistics.median(values) for name, values in times.items()}
        return {
            "words_per_query": statistics.mean(len(np.unique(q.words)) for q in self._alone),
            "query_seconds": medians,
            "query_ratio_single": medians["reference"] / medians["single"],
            "query_ratio_together": medians["reference"] / medians["together"],
            "largest_score_difference": worst,
        }

    def _ours(self, asked: Batch) -> tuple[np.ndarray, np.ndarray]:
        self._words.expect(asked.words)
        return self._index.search(
            asked.descriptors,
            asked.image_index,
            top_k=TOP_K,
            multiple_assignment=ASSIGNMENTS,
        )


def _difference(
    ours: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]
) -> float:
    """Largest difference of an image's scores.

    Raises:
        SystemExit: the rankings differ by more than ties.
    """
    ids, scores = ours[0][0].tolist(), ours[1][0]
    known = dict(zip(expected[0].tolist(), expected[1].tolist(), strict=True))
    # what is not in the other ranking may only tie with its end
    theirs = np.array([known.get(image, expected[1][-1]) for image in ids])
    rises = np.diff(theirs) > TIE + RELATIVE_TIE * theirs[1:]
    if rises.any():
        place = 1 + int(np.argmax(rises))
        raise SystemExit(f"place {place}: {ids[place]}, expected {expected[0][place]}")
    return float(np.abs(scores - theirs).max())


def _bytes(index: AsmkIndex) -> int:
    """What the index without its codebook takes on disk."""
    with tempfile.TemporaryDirectory() as folder:
        index.save(folder, with_codebook=False)
        return sum(path.stat().st_size for path in Path(folder).iterdir())


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _print(results: list[Case]) -> None:
    table = Table(title="ASMK: the reference beside ours")
    for column in (
        "images", "use", "codes", "idf", "words", "build s", "x", "query ms", "x", "x of 20",
        "bytes", "difference",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for case in results:
        build, query = case["build_seconds"], case["query_seconds"]
        held = case["bytes_per_posting"]
        table.add_row(
            f"{case['images']:,}",
            case["use"],
            "binary" if case["binary"] else "float",
            "yes" if case["idf"] else "no",
            f"{case['words_per_query']:,.0f}",
            f"{build['reference']:.1f} / {build['ours']:.2f}",
            f"{case['build_ratio']:.0f}",
            f"{1e3 * query['reference']:.1f} / {1e3 * query['single']:.2f}",
            f"{case['query_ratio_single']:.0f}",
            f"{case['query_ratio_together']:.0f}",
            f"{held['reference']:.1f} / {held['ours']:.2f}",
            f"{case['largest_score_difference']:.1e}",
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
