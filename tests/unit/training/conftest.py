"""The small dataset and its reader."""

from pathlib import Path

import pytest
from training_subject import CONFIG, TinyNetwork, as_catalogue, write_dataset

from retrieval_core.data.catalogue import Catalogue, ImageRow
from retrieval_core.training.reading import ImageReader


@pytest.fixture
def rows(tmp_path: Path) -> list[ImageRow]:
    """24 training images of 6 labels, 8 validation images of 2, in three sizes."""
    folder = tmp_path / "images"
    folder.mkdir()
    return write_dataset(folder)


@pytest.fixture
def catalogue(rows: list[ImageRow]) -> Catalogue:
    """The same images as a dataset."""
    return as_catalogue(rows)


@pytest.fixture
def model() -> TinyNetwork:
    return TinyNetwork()


@pytest.fixture
def reader(rows: list[ImageRow], model: TinyNetwork) -> ImageReader:
    return ImageReader(model, CONFIG.image_size, total=len(rows), max_excluded=0.1)
