"""Oxford and Paris buildings, under the original and the revisited protocol."""

import re
from collections import Counter
from collections.abc import Sequence

from retrieval_core.data.benchmarks.components import connected
from retrieval_core.data.benchmarks.fields import Fields
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.catalogue import Catalogue, ImageRow, QueryTruth

SUFFIX = ".jpg"


def read_buildings(name: str, places: Places) -> Catalogue:
    """Database images in the order of the ground truth, then the queries with their boxes.

    Under the original protocol a query's photograph is in the database, too: it has two rows.

    Args:
        name: "oxford5k", "paris6k", "roxford5k" or "rparis6k".
        places: where the files are.

    Raises:
        UnsafePickleError: the ground truth is not only data.
        DatasetError: the ground truth is missing, damaged or contradicts itself.
    """
    content = Fields.read(places.file(name, f"gnd_{name}.pkl"))
    images, queries = content.names("imlist"), content.names("qimlist")
    entries = content.sections("gnd", len(queries))
    truth = tuple(
        _truth(len(images) + number, entry, len(images)) for number, entry in enumerate(entries)
    )
    landmarks = _landmarks(queries, truth)
    of_image = {i: landmarks[t.query] for t in truth for i in (*t.easy, *t.hard)}
    rows = [
        ImageRow(i, _path(places, image), of_image.get(i, ""), "test", "database")
        for i, image in enumerate(images)
    ]
    rows += [
        ImageRow(t.query, _path(places, query), landmarks[t.query], "test", "query", e.box("bbx"))
        for t, query, e in zip(truth, queries, entries, strict=True)
    ]
    return Catalogue(name, tuple(rows), truth, revisited="easy" in entries[0])


def _path(places: Places, image: str) -> str:
    return str(places.image(image + SUFFIX))


def _truth(query: int, entry: Fields, count: int) -> QueryTruth:
    junk = entry.indices("junk", count)
    if "easy" not in entry:
        return QueryTruth(query, entry.indices("ok", count), (), junk)
    return QueryTruth(query, entry.indices("easy", count), entry.indices("hard", count), junk)


def _landmarks(queries: Sequence[str], truth: Sequence[QueryTruth]) -> dict[int, str]:
    """Queries that share a right answer show one landmark, named as most of their files are."""
    # queries are numbered after the images: no number means both
    component = connected((t.query, *t.easy, *t.hard) for t in truth)
    names: dict[int, Counter[str]] = {}
    for name, t in zip(queries, truth, strict=True):
        names.setdefault(component[t.query], Counter())[re.sub(r"_\d+$", "", name)] += 1
    return {t.query: names[component[t.query]].most_common(1)[0][0] for t in truth}
