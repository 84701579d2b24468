"""In-shop Clothes Retrieval of DeepFashion (CVPR 2016): photographs of a shop's clothes."""

from collections.abc import Sequence

from retrieval_core.data.benchmarks.labelled import (
    LabelledImage,
    image_folder,
    labelled_catalogue,
    list_error,
    of_images,
    read_box,
    read_lines,
)
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.catalogue import Box, Catalogue, Role, Split

PARTITION = "list_eval_partition.txt"
BOXES = "list_bbox_inshop.txt"
# the number of images, and the names of the columns
HEADING = 2
SIDES: dict[str, tuple[Split, Role]] = {
    "train": ("train", "both"),
    "query": ("test", "query"),
    "gallery": ("test", "database"),
}


def read_clothes(name: str, places: Places, *, boxes: bool) -> Catalogue:
    """Items to learn from; of others, photographs to search with and a gallery to search.

    Args:
        name: of the benchmark.
        places: where the files are.
        boxes: whether images are cropped to the clothes.

    Raises:
        MissingListError: a list is not there.
        DatasetError: a list is damaged, or an item is to be learned from and searched for.
    """
    path = places.listed(PARTITION)
    lines = read_lines(path, 3, skip=HEADING)
    if unknown := {side for _, _, side in lines} - SIDES.keys():
        raise list_error(path, f"expected {', '.join(SIDES)}, found {sorted(unknown)}")
    names = [image for image, _, _ in lines]
    found: Sequence[Box | None] = _boxes(places, names) if boxes else [None] * len(names)
    beside, above = path.parent, path.parent.parent
    folder = image_folder((above / "Img", above, beside / "Img", beside), names[0])
    return labelled_catalogue(
        name,
        [
            LabelledImage(folder / image, item, *SIDES[side], box)
            for (image, item, side), box in zip(lines, found, strict=True)
        ],
    )


def _boxes(places: Places, images: Sequence[str]) -> list[Box]:
    path = places.listed(BOXES)
    # image, kind of clothes, pose, box
    lines = read_lines(path, 7, skip=HEADING)
    return of_images(path, {i: read_box(path, i, box) for i, _, _, *box in lines}, images)
