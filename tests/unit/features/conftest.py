"""A small real network and real image files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from retrieval_core.config import FeaturesConfig, ModelConfig
from retrieval_core.data.catalogue import ImageRow
from retrieval_core.models.base import LocalFeatures, RetrievalModel

LOCAL_DIM, GLOBAL_DIM = 4, 6


class TinyModel(RetrievalModel):
    """One strided convolution; every cell is a local descriptor, their mean the global one."""

    def __init__(self, *, local: bool = True) -> None:
        super().__init__()
        self.config = ModelConfig()
        self.global_dim = GLOBAL_DIM
        self.local_dim = LOCAL_DIM if local else None
        self.batch_shapes: list[tuple[int, ...]] = []
        generator = torch.Generator().manual_seed(0)
        self.convolution = nn.Conv2d(3, GLOBAL_DIM, 8, stride=8)
        with torch.no_grad():
            weight = self.convolution.weight
            weight.copy_(torch.randn(weight.shape, generator=generator))
            self.convolution.bias.zero_()
        self.eval()

    def extract(self, images, *, scales, max_features, global_scales, power=1.0):
        self.batch_shapes.append(tuple(images.shape))
        maps = self.convolution(images)
        pooled = nn.functional.normalize(maps.mean((2, 3)), dim=1)
        return (self._local(maps, max_features) if self.local_dim else None), pooled

    def _local(self, maps, max_features):
        found = []
        for index, cells in enumerate(maps):
            strengths = cells.norm(dim=0).flatten()
            # an image of one colour has no features at all
            count = 0 if strengths.std() < 1e-4 else min(max_features, len(strengths))
            strengths, order = strengths.topk(count)
            descriptors = nn.functional.normalize(cells[:LOCAL_DIM].flatten(1).T[order], dim=1)
            places = torch.stack([order % cells.shape[2], order // cells.shape[2]], 1).float()
            owner = torch.full((count,), index)
            found.append((descriptors, strengths, places, torch.ones(count), owner))
        return LocalFeatures(*(torch.cat(parts) for parts in zip(*found, strict=True)))


@pytest.fixture
def config() -> FeaturesConfig:
    return FeaturesConfig(
        image_size=96, scales=(1.0,), max_features=20, batch_size=3, shard_size=10
    )


@pytest.fixture
def make_rows(tmp_path: Path) -> Callable[..., list[ImageRow]]:
    """Write `count` noise images of two sizes; ids 10, 20, ...; some positions damaged."""

    def make(count: int, *, damaged: tuple[int, ...] = (), flat: tuple[int, ...] = ()):
        generator = np.random.default_rng(0)
        rows = []
        for i in range(count):
            path = tmp_path / "images" / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            height, width = ((64, 48), (48, 64))[i % 3 == 0]
            pixels = generator.integers(0, 255, (height, width, 3), np.uint8)
            Image.fromarray(pixels * (i not in flat)).save(path)
            if i in damaged:
                path.write_bytes(path.read_bytes()[:200])
            rows.append(ImageRow((i + 1) * 10, str(path), "", "test", "database"))
        return rows

    return make


@pytest.fixture
def tiny_model() -> TinyModel:
    return TinyModel()


@pytest.fixture
def tiny_global_model() -> TinyModel:
    return TinyModel(local=False)
