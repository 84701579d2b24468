"""Stanford Cars, called Cars196 (Krause et al., 3dRR 2013): photographs of 196 models of cars."""

from pathlib import Path
from typing import Any

import scipy.io

from retrieval_core.data.benchmarks.fields import Fields
from retrieval_core.data.benchmarks.labelled import (
    LabelledImage,
    image_folder,
    labelled_catalogue,
    refuse_empty_classes,
)
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.catalogue import Box, Catalogue, Split
from retrieval_core.errors import DatasetError, MissingListError

TRAIN_CLASSES = 98
SIDES = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
WHOLE = "cars_annos.mat"
# the other edition has halves of its own, the images of each numbered from 1
HALVES = {"cars_train": "cars_train_annos.mat", "cars_test": "cars_test_annos_withlabels.mat"}
NAMES = "cars_meta.mat"

Entries = list[tuple[Path, Fields]]


def read_cars(name: str, places: Places, *, boxes: bool) -> Catalogue:
    """Classes 1 to 98 to learn from, 99 to 196 to search among, whichever the edition.

    Args:
        name: of the benchmark.
        places: where the files are.
        boxes: whether images are cropped to their car.

    Raises:
        MissingListError: there are the lists of neither edition.
        DatasetError: a list is damaged, or a class has no image.
    """
    try:
        models, entries = _whole(places)
    except MissingListError as error:
        try:
            models, entries = _halves(places)
        except MissingListError as other:
            raise MissingListError(f"{error}; nor is the other edition there: {other}") from None
    labels = [f"{number:03d} {model}" for number, model in enumerate(models, start=1)]
    images = [_image(path, entry, labels, boxes) for path, entry in entries]
    refuse_empty_classes(name, labels, [image.label for image in images])
    return labelled_catalogue(name, images)


def _whole(places: Places) -> tuple[list[str], Entries]:
    """Names of the classes; of each image, its path and what is known about it."""
    path = places.listed(WHOLE)
    content = _read(path)
    entries = content.sections("annotations")
    return content.names("class_names"), [
        (path.parent / entry.text("relative_im_path"), entry) for entry in entries
    ]


def _halves(places: Places) -> tuple[list[str], Entries]:
    models = _read(places.listed(NAMES)).names("class_names")
    found: Entries = []
    for half, listed in HALVES.items():
        path = places.listed(listed)
        folder = image_folder((path.parent.parent, path.parent), half) / half
        # Kaggle's archive has a folder of the same name in it
        folder = folder / half if (folder / half).is_dir() else folder
        entries = _read(path).sections("annotations")
        found += [(folder / entry.text("fname"), entry) for entry in entries]
    return models, found


def _image(path: Path, entry: Fields, labels: list[str], boxes: bool) -> LabelledImage:
    number = entry.number("class")
    if not 1 <= number <= len(labels):
        raise entry.error(f"class is {number}, of {len(labels)}")
    split: Split = "train" if number <= TRAIN_CLASSES else "test"
    return LabelledImage(path, labels[number - 1], split, box=_box(entry) if boxes else None)


def _box(entry: Fields) -> Box:
    left, top, right, bottom = (entry.number(side) for side in SIDES)
    if left > right or top > bottom:
        raise entry.error(f"an empty box: {[left, top, right, bottom]}")
    # MATLAB counts pixels from 1, the last one included
    return left - 1.0, top - 1.0, float(right), float(bottom)


def _read(path: Path) -> Fields:
    """The variables of a MATLAB file: numbers, texts and structures; nothing of it is run."""
    try:
        content: dict[str, Any] = scipy.io.loadmat(str(path), simplify_cells=True)
    except Exception as error:  # scipy raises nearly anything on damaged files
        raise DatasetError(
            f"{path} cannot be read: {error}; delete the file and get the published one"
        ) from None
    if isinstance(content.get("annotations"), dict):  # of one image alone
        content["annotations"] = [content["annotations"]]
    return Fields(path, content)
