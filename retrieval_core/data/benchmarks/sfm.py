"""SfM-120k and SfM-30k: photographs of 3D models, with matching pairs to learn from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from retrieval_core.data.benchmarks.components import connected
from retrieval_core.data.benchmarks.fields import Fields
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.catalogue import Catalogue, ImageRow, QueryTruth

FOLDER = "sfm"
LISTS = "retrieval-SfM-120k.pkl"
VALIDATION = "retrieval-SfM-120k-val-eccv2020.pkl"
WHITENING = "retrieval-SfM-30k-whiten.pkl"


def read_sfm120k(
    name: str, places: Places, *, validation: Literal["eccv2020", "clusters"]
) -> Catalogue:
    """Training images with their pairs, labelled by 3D model, and a validation split.

    Args:
        name: of the benchmark.
        places: where the files are.
        validation: "eccv2020" for the split of HOW and FIRe, whose right answers are listed;
            "clusters" for cirtorch's, where they are the other images of a 3D model.

    Raises:
        UnsafePickleError: a list is not only data.
        DatasetError: a list is missing, damaged or contradicts itself.
    """
    lists = Fields.read(places.file(FOLDER, LISTS))
    train, val = lists.section("train"), lists.section("val")
    images = places.file(FOLDER, "ims")
    cids = train.names("cids")
    labels = _clusters(train, cids)
    rows = [
        ImageRow(i, image_path(images, cid), labels[cid], "train", "both")
        for i, cid in enumerate(cids)
    ]
    pairs = _pairs(train, len(cids))
    known = _clusters(val, val.names("cids"))
    if validation == "clusters":
        rows += _val_rows(len(rows), list(known), known, images)
        return Catalogue(name, tuple(rows), (), revisited=False, pairs=pairs)
    listed = Fields.read(places.file(FOLDER, VALIDATION))
    truth = _val_truth(listed, first=len(rows))
    rows += _val_rows(len(rows), listed.names("cids"), known, images)
    return Catalogue(name, tuple(rows), (), revisited=False, pairs=pairs, val_truth=truth)


def read_sfm120k_val(name: str, places: Places) -> Catalogue:
    """The validation split of HOW and FIRe (arXiv 2007.13172) as images to score on.

    Its queries are in the database, too; the ground truth calls them junk.

    Args:
        name: of the benchmark.
        places: where the files are.

    Raises:
        UnsafePickleError: a list is not only data.
        DatasetError: a list is missing, damaged or contradicts itself.
    """
    val = Fields.read(places.file(FOLDER, LISTS)).section("val")
    labels = _clusters(val, val.names("cids"))
    listed = Fields.read(places.file(FOLDER, VALIDATION))
    truth = sorted(_val_truth(listed, first=0), key=lambda entry: entry.query)
    queries = {entry.query for entry in truth}
    images = places.file(FOLDER, "ims")
    rows = tuple(
        ImageRow(
            i,
            image_path(images, cid),
            labels.get(cid, ""),
            "test",
            "both" if i in queries else "database",
        )
        for i, cid in enumerate(listed.names("cids"))
    )
    return Catalogue(name, rows, tuple(truth), revisited=False)


def read_sfm30k_whiten(name: str, places: Places) -> Catalogue:
    """Training images with matching pairs; what pairs connect has one label.

    Args:
        name: of the benchmark.
        places: where the files are.

    Raises:
        UnsafePickleError: the list is not only data.
        DatasetError: the list is missing, damaged or contradicts itself.
    """
    lists = Fields.read(places.file(FOLDER, WHITENING))
    images, cids = places.file(FOLDER, "ims"), lists.names("cids")
    pairs = _pairs(lists, len(cids))
    component = connected(pairs)
    rows = tuple(
        ImageRow(
            i,
            image_path(images, cid),
            f"model-{component[i]}" if i in component else "",
            "train",
            "both",
        )
        for i, cid in enumerate(cids)
    )
    return Catalogue(name, rows, (), revisited=False, pairs=pairs)


def image_path(folder: Path, cid: str) -> str:
    """Where the image of a name is: below the last three pairs of its characters, last first."""
    return f"{folder}/{cid[-2:]}/{cid[-4:-2]}/{cid[-6:-4]}/{cid}"


def _clusters(lists: Fields, cids: Sequence[str]) -> dict[str, str]:
    numbers = lists.numbers("cluster")
    if len(numbers) != len(cids):
        raise lists.error(f"cluster has {len(numbers)} entries for {len(cids)} cids")
    return {cid: f"cluster-{number}" for cid, number in zip(cids, numbers, strict=True)}


def _pairs(lists: Fields, count: int) -> tuple[tuple[int, int], ...]:
    queries, positives = lists.numbers("qidxs"), lists.numbers("pidxs")
    if len(queries) != len(positives):
        raise lists.error(f"qidxs has {len(queries)} entries, pidxs has {len(positives)}")
    for key in ("qidxs", "pidxs"):
        lists.indices(key, count)
    return tuple(zip(queries, positives, strict=True))


def _val_rows(
    first: int, cids: Sequence[str], labels: Mapping[str, str], images: Path
) -> list[ImageRow]:
    return [
        ImageRow(first + i, image_path(images, cid), labels.get(cid, ""), "val", "both")
        for i, cid in enumerate(cids)
    ]


def _val_truth(listed: Fields, first: int) -> tuple[QueryTruth, ...]:
    count, queries = len(listed.names("cids")), listed.numbers("qidx")
    if len(listed.indices("qidx", count)) != len(queries):
        raise listed.error("qidx names an image twice")
    truth = []
    for query, entry in zip(queries, listed.sections("gnd", len(queries)), strict=True):
        junk = entry.indices("junk", count) if "junk" in entry else ()
        right, junk = (tuple(first + i for i in ids) for ids in (entry.indices("ok", count), junk))
        truth.append(QueryTruth(first + query, right, (), junk))
    return tuple(truth)
