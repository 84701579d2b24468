"""A training step beside the plain loop of the reference implementations, in one run.

The plain loop is cirtorch's: every image is decoded and goes through a network of PyTorch's usual
memory layout alone, the loss is computed on the joined descriptors, and one backward pass follows.
Ours is what `retrieval_core.training` does with the same images: a labelled batch from the reader,
whose decoded images are kept, a few images at a time through the network, its frozen batch-norm
folded into the convolutions. Both see the same pixels and the same loss in float32, so that their
gradients have to agree, which is checked as far as float32 goes. Ours in bfloat16, and ours where
every image is decoded anew, as in the first epoch, are measured for information. All run in this
process, in turn, so that a change of the machine's speed meets all; a warm-up round is not counted.

    python benchmarks/training.py --size 224 --classes 8 --images 4 --repeats 5 --threads 2
    python benchmarks/training.py --backbone mobilenet_v2 --weights PATH
"""

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import (
    AugmentationConfig,
    DatasetConfig,
    DemoConfig,
    InputConfig,
    LossConfig,
    ModelConfig,
    SamplingConfig,
    TrainingConfig,
)
from retrieval_core.data.catalogue import Catalogue, ImageRow
from retrieval_core.data.images import load_image, to_pixels
from retrieval_core.data.prepare import prepare_dataset
from retrieval_core.models import RetrievalModel, build_model
from retrieval_core.training.batches import load_batches
from retrieval_core.training.folding import folded_batch_norm
from retrieval_core.training.labelled import LabelledCourse
from retrieval_core.training.reading import ImageReader

RESULTS = Path(__file__).parent / "results" / "training.json"
LARGEST_DIFFERENCE = 2e-2
"""Of float32 gradients; either is about 0.5 % off what float64 gives on MobileNetV2, whose
activations have kinks. In float64 they are the same to 1e-9 (tests/unit/training)."""


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=8)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", default="efficientnet-lite0")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        demo = DatasetConfig(demo=DemoConfig(views=400, image_size=max(64, options.size)))
        catalogue = prepare_dataset(demo, ArtifactDirectory(scratch)).catalogue
        result = Comparison(catalogue, options).measure()
    RESULTS.parent.mkdir(exist_ok=True)
    content = {"options": vars(options), **asdict(result)}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")
    _print(result)


@dataclass(frozen=True)
class Result:
    """Images per second by loop, medians of the ratios to the plain one, and how far off it is.

    Attributes:
        speed: images per second by loop, from the median time.
        ratio: by loop, median over rounds of the plain loop's time by this one's.
        gradient_difference: norm of the difference by the norm of the plain loop's gradient.
    """

    speed: dict[str, float]
    ratio: dict[str, float]
    gradient_difference: float


class Comparison:
    """The loops over one batch."""

    def __init__(self, catalogue: Catalogue, options: argparse.Namespace) -> None:
        self.repeats: int = options.repeats
        network = {"backbone": options.backbone, "weights": options.weights}
        square = InputConfig(size=options.size)
        model = build_model(ModelConfig(method="embedding", dim=None, input=square, **network))
        self.model: RetrievalModel = model.train()
        self.peer = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
        self.config = TrainingConfig(
            image_size=options.size,
            flip=0.0,
            sampling=SamplingConfig(kind="classes", classes=options.classes, images=options.images),
            augmentation=AugmentationConfig(crop=False),
            loss=LossConfig(kind="batch_hard_triplet", margin=0.2),
        )
        self.catalogue = catalogue
        self.course = self._course()
        self.half = self._course(precision="bfloat16")
        self.rows, self.labels = _batch(catalogue, options.classes, options.images)
        # decoded once, as from the second epoch on
        self.reader = self._reader(options.size, cache_bytes=2e9)
        self.decoder = self._reader(options.size, cache_bytes=0)

    def measure(self) -> Result:
        """Every loop in turn, round by round."""
        plain = self._gradients(self.plain, self.peer)
        ours = self._gradients(self.ours, self.model)
        difference = float((ours - plain).norm() / plain.norm())
        if difference > LARGEST_DIFFERENCE:
            raise SystemExit(f"gradients differ by {difference:.2g} of their norm")
        loops = {
            "plain": self.plain,
            "ours": self.ours,
            "ours, decoding": self.ours_decoding,
            "ours, bfloat16": self.ours_in_bfloat16,
        }
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(1 + self.repeats):
            for name, loop in loops.items():
                seconds[name].append(_timed(loop))
        counted = {name: values[1:] for name, values in seconds.items()}
        return Result(
            {name: len(self.rows) / statistics.median(v) for name, v in counted.items()},
            {name: _ratio(counted["plain"], v) for name, v in counted.items()},
            difference,
        )

    def plain(self) -> None:
        """Image by image; one backward pass."""
        embeddings = []
        for row in self.rows:
            pixels = to_pixels(load_image(row.path, image_size=self.config.image_size))
            # the square that ours sees
            maps = self.peer.features(self.model.prepare(pixels)[None])
            embeddings.append(F.normalize(self.peer.pooling(maps)))
        self._finish(torch.cat(embeddings), self.peer)

    def ours(self) -> None:
        """The course's way."""
        self._ours(self.course, self.reader)

    def ours_decoding(self) -> None:
        """The same with every image read from its file."""
        self._ours(self.course, self.decoder)

    def ours_in_bfloat16(self) -> None:
        """The same in half precision."""
        self._ours(self.half, self.reader)

    def _reader(self, size: int, cache_bytes: float) -> ImageReader:
        return ImageReader(
            self.model, size, total=len(self.rows), max_excluded=0, cache_bytes=cache_bytes
        )

    def _course(self, **changes: object) -> LabelledCourse:
        config = self.config.model_copy(update=changes)
        return LabelledCourse(self.model, self.catalogue, config, seed=0)

    def _ours(self, course: LabelledCourse, reader: ImageReader) -> None:
        with folded_batch_norm(self.model):
            (batch,) = load_batches(
                [np.arange(len(self.rows))],
                self.rows,
                self.labels.numpy(),
                course._augmentation,
                reader,
                group=1,
                seed=(0,),
            )
            self._finish(course._embed(batch.images)[0], self.model)

    def _finish(self, embeddings: Tensor, model: torch.nn.Module) -> None:
        model.zero_grad()
        self.course.loss(embeddings, None, self.labels).backward()

    def _gradients(self, loop: Callable[[], None], model: torch.nn.Module) -> Tensor:
        loop()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def _batch(catalogue: Catalogue, classes: int, images: int) -> tuple[list[ImageRow], Tensor]:
    by_label: dict[str, list[ImageRow]] = {}
    for row in catalogue.split("train"):
        by_label.setdefault(row.label, []).append(row)
    full = [group[:images] for group in by_label.values() if len(group) >= images][:classes]
    labels = [number for number, group in enumerate(full) for _ in group]
    return [row for group in full for row in group], torch.tensor(labels)


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    return statistics.median(s / f for s, f in zip(slow, fast, strict=True))


def _print(result: Result) -> None:
    table = Table("loop", "images/s", "ratio")
    for name, speed in result.speed.items():
        table.add_row(name, f"{speed:.1f}", f"{result.ratio[name]:.2f}")
    Console().print(table)
    print(f"gradients differ by {result.gradient_difference:.1g} of their norm")


if __name__ == "__main__":
    main()
