"""Extraction beside the plain loop of the reference implementations, in one run.

The plain loop decodes an image, runs the network on it alone and keeps the result, as FIRe, HOW
and cirtorch do; ours is `extract_shard`. Both run in this process with one thread for the network,
in turn, so that a change of the machine's speed meets both.

    python benchmarks/extraction.py --images 96 --size 256 --repeats 3
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import DatasetConfig, DemoConfig, FeaturesConfig, ModelConfig
from retrieval_core.data.catalogue import ImageRow
from retrieval_core.data.images import load_image, to_pixels
from retrieval_core.data.prepare import prepare_dataset
from retrieval_core.features.extract import extract_shard
from retrieval_core.features.shards import Shard
from retrieval_core.models import RetrievalModel, build_model

RESULTS = Path(__file__).parent / "results" / "extraction.json"
METHODS = ("how", "fire", "gem")


def main() -> None:
    """Measure every method, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        rows = _rows(Path(scratch), options.images, options.size)
        results = [_compare(m, rows, Path(scratch), options) for m in METHODS]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"options": vars(options), "results": results}, indent=1) + "\n")
    _print(results)


def _rows(scratch: Path, images: int, size: int) -> tuple[ImageRow, ...]:
    demo = DemoConfig(views=max(200, 2 * images), image_size=size)
    prepared = prepare_dataset(DatasetConfig(demo=demo), ArtifactDirectory(scratch / "demo"))
    return tuple(prepared.catalogue.rows[:images])


def _compare(
    method: str, rows: tuple[ImageRow, ...], scratch: Path, options: argparse.Namespace
) -> dict[str, object]:
    model = build_model(
        ModelConfig(method=method, backbone="tf_efficientnet_lite0", skip_layer=1, dim=64)  # type: ignore[arg-type]
    )
    config = FeaturesConfig(image_size=options.size, scales=(1.0, 0.707), max_features=100)
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    for repeat in range(options.repeats):
        directory = ArtifactDirectory(scratch / f"{method}-{repeat}")
        seconds["plain"].append(_timed(lambda: _plain_loop(model, rows, config)))
        seconds["ours"].append(
            _timed(lambda: extract_shard(model, Shard(0, rows), config, directory))  # noqa: B023
        )
    ratios = [p / o for p, o in zip(seconds["plain"], seconds["ours"], strict=True)]
    return {
        "method": method,
        "plain_images_per_second": len(rows) / statistics.median(seconds["plain"]),
        "ours_images_per_second": len(rows) / statistics.median(seconds["ours"]),
        "ratio": statistics.median(ratios),
    }


@torch.inference_mode()
def _plain_loop(
    model: RetrievalModel, rows: tuple[ImageRow, ...], config: FeaturesConfig
) -> list[object]:
    kept: list[object] = []
    for row in rows:
        image = load_image(row.path, image_size=config.image_size, box=row.box)
        pixels = model.prepare(to_pixels(image))[None]
        if model.local_dim is not None:
            kept.append(
                model.extract_local(pixels, scales=config.scales, max_features=config.max_features)
            )
        kept.append(model.extract_global(pixels, scales=config.global_scales))
    return kept


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _print(results: list[dict[str, object]]) -> None:
    table = Table("method", "plain loop, images/s", "extract_shard, images/s", "ratio")
    for r in results:
        numbers = (r["plain_images_per_second"], r["ours_images_per_second"], r["ratio"])
        table.add_row(str(r["method"]), *(f"{n:.2f}" for n in numbers))
    Console().print(table)


if __name__ == "__main__":
    main()
