"""Datasets of metric learning: images with a class each, and no class on both sides."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from retrieval_core.data.catalogue import Box, Catalogue, ImageRow, Role, Split, label_truth
from retrieval_core.errors import DatasetError, MissingListError

T = TypeVar("T")

LISTED = 20


@dataclass(frozen=True)
class LabelledImage:
    """One image: where it is, its class, its side, and, where crops are wanted, its box."""

    path: Path
    label: str
    split: Split
    role: Role = "both"
    box: Box | None = None


def labelled_catalogue(name: str, images: Iterable[LabelledImage]) -> Catalogue:
    """Images to learn from and images to score on, where every other one of a class is right.

    Args:
        name: of the benchmark.
        images: in the order of their ids.

    Raises:
        DatasetError: a class has training and test images, or an image is listed twice; names
            them.
    """
    rows = tuple(
        ImageRow(i, str(image.path), image.label, image.split, image.role, image.box)
        for i, image in enumerate(images)
    )
    test = [row for row in rows if row.split == "test"]
    shared = {row.label for row in rows if row.split != "test"} & {row.label for row in test}
    _refuse(name, shared, "a class has training and test images, which the protocol forbids")
    times = Counter(row.path for row in rows)
    _refuse(name, {path for path in times if times[path] > 1}, "an image is listed more than once")
    return Catalogue(name, rows, label_truth(test), revisited=False)


def with_validation(catalogue: Catalogue, classes: int) -> Catalogue:
    """The same with some training classes as the val split, evenly spread over their order.

    Args:
        catalogue: with labels.
        classes: how many.

    Raises:
        DatasetError: fewer than two classes would be left to learn from.
    """
    labels = list(dict.fromkeys(row.label for row in catalogue.split("train")))
    if classes and classes > len(labels) - 2:
        raise DatasetError(
            f"dataset.benchmark.validation_classes: {classes:,} of the {len(labels):,} training "
            f"classes of {catalogue.name}; two at least have to be learned from"
        )
    chosen = {labels[number * len(labels) // classes] for number in range(classes)}
    rows = tuple(
        replace(row, split="val") if row.split == "train" and row.label in chosen else row
        for row in catalogue.rows
    )
    return replace(catalogue, rows=rows)


def refuse_empty_classes(name: str, classes: Iterable[str], labels: Iterable[str]) -> None:
    """Every class that is listed must be that of an image, and every image's be listed.

    Args:
        name: of the benchmark.
        classes: that there are.
        labels: the class of each image.

    Raises:
        DatasetError: names the classes.
    """
    listed, used = set(classes), set(labels)
    _refuse(name, listed - used, "a class has no image")
    _refuse(name, used - listed, "a class is that of an image, and not listed")


def read_lines(path: Path, columns: int, *, skip: int = 0) -> list[list[str]]:
    """The words of each line of a list.

    Args:
        path: of a text file.
        columns: words of a line.
        skip: lines of the heading.

    Raises:
        MissingListError: the list is not there.
        DatasetError: it is damaged; names the line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise MissingListError(f"{path} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    table = [line.split() for line in lines[skip:] if line]
    for number, words in enumerate(table, start=skip + 1):
        if len(words) != columns:
            raise list_error(path, f"line {number}: expected {columns} words, found {words}")
    if not table:
        raise list_error(path, "names no image")
    return table


def read_box(path: Path, image: str, words: Sequence[str], *, sized: bool = False) -> Box:
    """The box of an image in a list.

    Args:
        path: of the list.
        image: for messages.
        words: left, top, right and bottom in pixels.
        sized: whether width and height stand for right and bottom.

    Raises:
        DatasetError: they are no box.
    """
    try:
        left, top, right, bottom = (float(word) for word in words)
    except ValueError:
        raise list_error(path, f"{image} has no box: {words}") from None
    if sized:
        right, bottom = left + right, top + bottom
    if not (left < right and top < bottom):
        raise list_error(path, f"{image} has an empty box: {words}")
    return left, top, right, bottom


def of_images(path: Path, found: Mapping[str, T], images: Iterable[str]) -> list[T]:
    """What a list says of each image.

    Args:
        path: of the list.
        found: the list, by image.
        images: in the order of the answer.

    Raises:
        DatasetError: the list lacks an image.
    """
    wanted = list(images)
    if missing := [image for image in wanted if image not in found]:
        raise list_error(path, f"lacks {len(missing):,} images, such as {missing[0]}")
    return [found[image] for image in wanted]


def list_error(path: Path, fault: str) -> DatasetError:
    """An error about a list."""
    return DatasetError(f"{path}: {fault}; delete the file and get the published one")


def image_folder(candidates: Sequence[Path], image: str) -> Path:
    """The first folder that has the one which an image's relative path begins with, or the first.

    Args:
        candidates: at least one.
        image: any of the images.
    """
    top = image.partition("/")[0]
    return next((folder for folder in candidates if (folder / top).exists()), candidates[0])


def _refuse(name: str, found: set[str], fault: str) -> None:
    if not found:
        return
    more = f" and {len(found) - LISTED:,} more" if len(found) > LISTED else ""
    listed = ", ".join(sorted(found)[:LISTED])
    raise DatasetError(f"{name}: {fault}: {listed}{more}; get the published lists")
