"""CUB-200-2011 (Caltech, CNS-TR-2011-001): photographs of 200 kinds of birds."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from retrieval_core.data.benchmarks.labelled import (
    LabelledImage,
    image_folder,
    labelled_catalogue,
    of_images,
    read_box,
    read_lines,
    refuse_empty_classes,
)
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.catalogue import Box, Catalogue

TRAIN_CLASSES = 100


def read_birds(name: str, places: Places, *, boxes: bool) -> Catalogue:
    """The first 100 of the listed classes to learn from, the others to search among.

    Args:
        name: of the benchmark.
        places: where the files are.
        boxes: whether images are cropped to their bird.

    Raises:
        MissingListError: a list is not there.
        DatasetError: the lists are damaged or contradict each other, or a class has no image.
    """
    labels = places.listed("image_class_labels.txt")
    images = _pairs(labels.with_name("images.txt"))
    classes = _pairs(labels.with_name("classes.txt"))
    class_of = of_images(labels, _pairs(labels), images)
    refuse_empty_classes(name, classes, class_of)
    train = set(list(classes)[:TRAIN_CLASSES])
    found: Sequence[Box | None] = _boxes(labels, images) if boxes else [None] * len(images)
    folder = image_folder((labels.parent / "images", labels.parent), next(iter(images.values())))
    listed = zip(images.values(), class_of, found, strict=True)
    return labelled_catalogue(
        name,
        [
            LabelledImage(folder / i, classes[c], "train" if c in train else "test", box=box)
            for i, c, box in listed
        ],
    )


def _pairs(path: Path) -> dict[str, str]:
    return {image: value for image, value in read_lines(path, 2)}  # noqa: C416


def _boxes(labels: Path, images: Iterable[str]) -> list[Box]:
    path = labels.with_name("bounding_boxes.txt")
    lines = read_lines(path, 5)
    boxes = {image: read_box(path, image, words, sized=True) for image, *words in lines}
    return of_images(path, boxes, images)
