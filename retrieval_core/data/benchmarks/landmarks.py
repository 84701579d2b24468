"""Google Landmarks v2 from its CSV files and the folders that its archives unpack to."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.catalogue import Catalogue, ImageRow, QueryTruth
from retrieval_core.errors import DatasetError

FOLDER = "landmarks-v2"
SCORED = ("Public", "Private")
ID_LENGTH = 16


def read_landmarks_retrieval(name: str, places: Places) -> Catalogue:
    """The test images that are scored, against the index.

    Args:
        name: of the benchmark.
        places: where the files are.

    Raises:
        DatasetError: a CSV file is missing, damaged or names an unknown image.
    """
    index = _read(places, "index.csv", ("id",))["id"]
    number = {image: i for i, image in enumerate(index)}
    known = _read(places, "index_image_to_landmark.csv", ("id", "landmark_id"))
    # the numbers of the index are others than those of the training set
    label = {i: f"index-{n}" for i, n in zip(known["id"], known["landmark_id"], strict=True)}
    rows = [
        ImageRow(i, path, label.get(image, ""), "test", "database")
        for i, (image, path) in enumerate(zip(index, _paths(places, "index", index), strict=True))
    ]
    scored = list(_scored(places))
    queries = [image for image, _ in scored]
    truth = []
    for (image, right), path in zip(scored, _paths(places, "test", queries), strict=True):
        query = len(rows)
        rows.append(ImageRow(query, path, label.get(right[0], ""), "test", "query"))
        truth.append(QueryTruth(query, _numbers(image, right, number), (), ()))
    return Catalogue(name, tuple(rows), tuple(truth), revisited=False)


def read_landmarks_clean(name: str, places: Places) -> Catalogue:
    """The cleaned training set, labelled by landmark (errors as `read_landmarks_retrieval`)."""
    table = _read(places, "train_clean.csv", ("landmark_id", "images"))
    listed = [
        (image, landmark)
        for landmark, images in zip(table["landmark_id"], table["images"], strict=True)
        for image in images.split()
    ]
    return _training(name, places, listed)


def read_landmarks_train(name: str, places: Places) -> Catalogue:
    """The full training set, labelled by landmark (errors as `read_landmarks_retrieval`)."""
    table = _read(places, "train.csv", ("id", "landmark_id"))
    return _training(name, places, list(zip(table["id"], table["landmark_id"], strict=True)))


def _training(name: str, places: Places, listed: Sequence[tuple[str, str]]) -> Catalogue:
    paths = _paths(places, "train", [image for image, _ in listed])
    rows = (
        ImageRow(i, path, f"train-{landmark}", "train", "both")
        for i, ((_, landmark), path) in enumerate(zip(listed, paths, strict=True))
    )
    return Catalogue(name, tuple(rows), (), revisited=False)


def _scored(places: Places) -> Iterator[tuple[str, list[str]]]:
    table = _read(places, "retrieval_solution_v2.1.csv", ("id", "images", "Usage"))
    for image, right, usage in zip(table["id"], table["images"], table["Usage"], strict=True):
        if usage in SCORED and right not in ("", "None"):
            yield image, right.split()


def _numbers(query: str, right: Sequence[str], number: dict[str, int]) -> tuple[int, ...]:
    unknown = [image for image in right if image not in number]
    if unknown:
        raise DatasetError(
            f"retrieval_solution_v2.1.csv: {unknown[0]!r}, a right answer of {query!r}, is not in "
            "index.csv; delete both files and get the published ones"
        )
    return tuple(sorted(number[image] for image in right))


def _paths(places: Places, split: str, images: Sequence[str]) -> list[str]:
    folder: Path = places.file(FOLDER, split)
    odd = [image for image in images if len(image) != ID_LENGTH or not image.isalnum()]
    if odd:
        raise DatasetError(f"{odd[0]!r} is no image id of Google Landmarks v2 ({split})")
    return [f"{folder}/{i[0]}/{i[1]}/{i[2]}/{i}.jpg" for i in images]


def _read(places: Places, name: str, columns: Sequence[str]) -> dict[str, list[str]]:
    path = places.file(FOLDER, name)
    # as text: an id of digits alone is still a name
    types = dict.fromkeys(columns, pa.string())
    options = pa.csv.ConvertOptions(
        column_types=types, include_columns=list(columns), strings_can_be_null=False
    )
    try:
        table = pa.csv.read_csv(path, convert_options=options)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise DatasetError(f"{path} cannot be read: {error}; get the published file") from None
    return {column: table.column(column).to_pylist() for column in columns}
