"""A small real network and dataset to train; as a script, trains them in a process to kill."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import (
    AugmentationConfig,
    LossConfig,
    MiningConfig,
    ModelConfig,
    OptimizerConfig,
    SamplingConfig,
    TrainingConfig,
)
from retrieval_core.data.catalogue import Catalogue, ImageRow
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training import train

SHAPES = [(40, 32), (32, 40), (32, 32)]

CONFIG = TrainingConfig(
    epochs=3,
    queries=8,
    batch=3,
    image_size=40,
    select="last",
    loss=LossConfig(margin=0.8),
    mining=MiningConfig(negatives=3, pool=16),
    optimizer=OptimizerConfig(learning_rate=1e-3, decay=0.9),
)

LABELLED = TrainingConfig(
    epochs=3,
    batch=4,
    image_size=40,
    select="last",
    sampling=SamplingConfig(kind="classes", classes=4, images=2),
    augmentation=AugmentationConfig(side=32, scale=(0.5, 1.0)),
    loss=LossConfig(kind="batch_hard_triplet", margin=0.3),
    optimizer=OptimizerConfig(learning_rate=1e-3, decay=0.9),
)


class Pool(nn.Module):
    """Generalised mean with a learnt exponent."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([3.0]))

    def forward(self, maps):
        return maps.clamp(min=1e-6).pow(self.p).mean((2, 3)).pow(1 / self.p)


class TinyNetwork(RetrievalModel):
    """Convolution, batch-norm, GeM, a linear layer."""

    local_dim = None
    global_dim = 8

    def __init__(self) -> None:
        super().__init__()
        self.config = ModelConfig(method="gem", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 7, stride=4, padding=3), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.pool = Pool()
        self.whitening = nn.Linear(16, self.global_dim)
        self.vectors = None
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0, 0.2, generator=generator)
                elif name.endswith("bias"):
                    parameter.zero_()

    def forward(self, images):
        return F.normalize(self.whitening(self.pool(self.features(images))), dim=1)

    def super_features(self, images):
        maps = self.features(images).flatten(2)
        attention = maps.softmax(dim=2)
        return attention @ maps.transpose(1, 2), attention, maps.norm(dim=2)

    @torch.inference_mode()
    def whitening_inputs(self, images):
        return self.pool(self.features(images))

    def initialise_whitening(self, vectors):
        self.vectors = vectors


def write_dataset(folder: Path, *, labels: int = 8, per_label: int = 4) -> list[ImageRow]:
    """Noisy copies of one pattern per label; the last two labels are the val split."""
    rng, rows = np.random.default_rng(0), []
    for label in range(labels):
        pattern = rng.uniform(0, 255, (5, 5, 3))
        for copy in range(per_label):
            noisy = (pattern + rng.normal(0, 30, pattern.shape)).clip(0, 255).astype(np.uint8)
            path = folder / f"{label}-{copy}.png"
            size = SHAPES[copy % len(SHAPES)]
            Image.fromarray(noisy).resize(size, Image.Resampling.BILINEAR).save(path)
            split = "val" if label >= labels - 2 else "train"
            rows.append(ImageRow(len(rows), str(path), f"label-{label}", split, "both"))
    return rows


def as_catalogue(rows: list[ImageRow], **changes) -> Catalogue:
    """A dataset of these images without test queries."""
    return replace(Catalogue("tiny", tuple(rows), (), revisited=False), **changes)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(
        TinyNetwork(),
        as_catalogue(write_dataset(Path(sys.argv[1]))),
        LABELLED if "labelled" in sys.argv else CONFIG,
        ArtifactDirectory(sys.argv[2]),
        seed=3,
        on_step=lambda step, steps, loss: print("step", step, flush=True),
        on_epoch=lambda report: print("epoch", report.epoch, flush=True),
    )
    print("done", flush=True)
