"""The million distractors of the revisited protocol."""

from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.catalogue import Catalogue, ImageRow
from retrieval_core.errors import DatasetError

LIST = "revisitop1m.txt"


def read_distractors(name: str, places: Places) -> Catalogue:
    """Every image of the published list, which is in the searched database and never right.

    Args:
        name: of the benchmark.
        places: where the files are.

    Raises:
        DatasetError: the list is missing or empty.
    """
    path = places.file(name, LIST)
    try:
        images = path.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    if not images:
        raise DatasetError(f"{path} names no image; delete it and get the published one")
    rows = (
        ImageRow(number, str(places.image(image)), "", "test", "database")
        for number, image in enumerate(images)
    )
    return Catalogue(name, tuple(rows), (), revisited=False)
