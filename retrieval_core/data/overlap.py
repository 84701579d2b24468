"""What the images that were learned from have in common with those that are scored."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

GENERIC = {
    *("building", "category", "class", "cluster", "folder", "group", "id", "image", "img", "index"),
    *("item", "label", "landmark", "object", "photo", "place", "product", "scene", "test", "train"),
}
"""Words that name nothing, as in "class 7"."""


@dataclass(frozen=True)
class SharedImage:
    """One photograph on both sides.

    Attributes:
        train: path of the training or validation image.
        test: path of the test image.
        distance: differing bits of their 256-bit hashes.
    """

    train: str
    test: str
    distance: int


@dataclass(frozen=True)
class Overlap:
    """Landmarks and photographs on both sides.

    Attributes:
        labels: of landmarks, as the test images spell them.
        images: near-duplicates; None where nobody looked.
        train_images: training and validation images whose pixels were compared.
        test_images: test images whose pixels were compared.
        sampled: whether there are more images than were compared.
    """

    labels: list[str]
    images: list[SharedImage] | None
    train_images: int = 0
    test_images: int = 0
    sampled: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @staticmethod
    def from_dict(content: dict[str, Any]) -> "Overlap":
        """The overlap of `to_dict`, also after a way through JSON."""
        images = content["images"]
        found = None if images is None else [SharedImage(**image) for image in images]
        return Overlap(**{**content, "images": found})


def shared_labels(train: Iterable[str], test: Iterable[str], *, same_dataset: bool) -> list[str]:
    """Labels of test images that training images have, too.

    Args:
        train: labels of training images; "" stands for unknown.
        test: labels of test images.
        same_dataset: both belong to one dataset, so that equal labels mean equal things. Across
            datasets only names are compared, without case, accents and separators: number 7 of
            one is not number 7 of the other.

    Returns:
        As the test images spell them, sorted.
    """
    key = str if same_dataset else _name
    known = {key(label) for label in set(train)} - {""}
    return sorted(label for label in set(test) if key(label) in known)


def _name(label: str) -> str:
    """Letters and digits of a label; "" where it is a number rather than a name."""
    plain = unicodedata.normalize("NFKD", label).casefold()
    name = "".join(character for character in plain if character.isalnum())
    word = re.sub(r"\d", "", name)
    return "" if len(word) < 2 or word in GENERIC else name
