"""Whether the files of an inverted file belong together: the compiled loops trust them."""

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from retrieval_core.errors import ArtifactError
from retrieval_core.index.kernels import BITS
from retrieval_core.index.segment import POSTINGS_AT_ONCE, Segment, require_inside
from retrieval_core.index.storage import MANIFEST, Array, Description, Files

Count = Annotated[int, Field(ge=0)]
Sizes = dict[str, int]


class SegmentEntry(BaseModel):
    """What `index.json` says of a segment.

    Attributes:
        images: in the files, those that were removed too.
        postings: in the files.
        files: by array.
    """

    model_config = ConfigDict(strict=True, extra="allow")

    images: Count
    postings: Count
    files: Files


class AsmkDescription(Description):
    """What `index.json` of an inverted file says; settings as of `AsmkIndex` and `Codebook`.

    Attributes:
        images: that are there.
        postings: in all segments.
        segments: at least one.
    """

    binary: bool
    codebook: str
    exact: bool
    reach: float | None = None
    words_per_cell: int | None = None
    use_idf: bool
    images: Count
    postings: Count
    segments: Annotated[list[SegmentEntry], Field(min_length=1)]


class Layout(NamedTuple):
    """Dtypes that an array may have, and what each of its axes counts."""

    dtypes: tuple[type[np.generic], ...]
    axes: tuple[str, ...]


LAYOUTS = {
    "centroids": Layout((np.float32,), ("words", "dimensions")),
    "idf": Layout((np.float64,), ("words",)),
    "image_ids": Layout((np.int64,), ("images",)),
    "words": Layout((np.int32,), ("images",)),
    "offsets": Layout((np.int64,), ("words + 1",)),
    "images": Layout((np.int32,), ("postings",)),
    "codes": Layout((np.uint64, np.float16), ("postings", "width")),
    "removed": Layout((np.int32,), ("removed",)),
    "norms": Layout((np.float64,), ("images",)),
}


def segment_sizes(shared: Sizes, *, binary: bool) -> Sizes:
    """What the arrays of the whole index say of those of every segment.

    Args:
        shared: of centroids and idf, as `check_arrays` found them.
        binary: whether codes are signs.
    """
    sizes = {}
    if (words := shared.get("words")) is not None:
        sizes["words + 1"] = words + 1
    if (dim := shared.get("dimensions")) is not None:
        sizes["width"] = -(-dim // BITS) if binary else dim
    return sizes


def check_arrays(
    uri: str, files: Mapping[str, str], arrays: Mapping[str, Array], sizes: Sizes
) -> None:
    """Refuse arrays of another dtype or shape than they must have; nothing of them is read.

    Args:
        uri: of the index.
        files: their names, by array.
        arrays: by name.
        sizes: by what an axis counts; what is not among them is what the first array says, and
            is added.

    Raises:
        ArtifactError: names the file.
    """
    for name, array in arrays.items():
        dtypes, axes = LAYOUTS[name]
        fits = len(axes) == array.ndim and all(
            sizes.setdefault(axis, length) == length
            for axis, length in zip(axes, array.shape, strict=True)
        )
        if not fits or array.dtype not in dtypes:
            expected = " or ".join(dtype.__name__ for dtype in dtypes)
            shape = ", ".join(f"{sizes[axis]} {axis}" if axis in sizes else axis for axis in axes)
            raise ArtifactError(
                f"{uri}/{files[name]} holds {array.dtype} of shape {array.shape}, expected "
                f"{expected} of ({shape}): the files do not belong together"
            )


def check_offsets(uri: str, file: str, offsets: Array, postings: int) -> None:
    """Refuse posting lists that do not lie one after the other, from the first to the last posting.

    Raises:
        ArtifactError: names the file.
    """
    fits = (
        len(offsets) > 1
        and offsets[0] == 0
        and offsets[-1] == postings
        and bool((np.diff(offsets) >= 0).all())
    )
    if not fits:
        raise ArtifactError(
            f"{uri}/{file} does not divide {postings} postings: the files do not belong together"
        )


def check_removed(uri: str, file: str, removed: Array, images: int) -> None:
    """Refuse tombstones that are not ascending positions in a segment.

    Raises:
        ArtifactError: names the file.
    """
    fits = not len(removed) or (
        removed[0] >= 0 and removed[-1] < images and bool((np.diff(removed) > 0).all())
    )
    if not fits:
        raise ArtifactError(f"{uri}/{file} does not hold ascending positions below {images}")


def check_images(uri: str, files: Mapping[str, str], segment: Segment) -> None:
    """Refuse postings of images that are not there, or not as many of each as it has words.

    Reads all postings.

    Raises:
        ArtifactError: names the file.
    """
    counts = np.zeros(len(segment), np.int64)
    for start in range(0, len(segment.images), POSTINGS_AT_ONCE):
        part = slice(start, start + POSTINGS_AT_ONCE)
        require_inside(segment, part)
        counts += np.bincount(segment.images[part], minlength=len(segment))
    if (counts != segment.words).any():
        raise ArtifactError(
            f"{uri}/{files['words']} does not hold as many words of each image as "
            f"{files['images']} has postings"
        )


def require_count(uri: str, key: str, said: int, found: int) -> None:
    """Refuse a number that the files contradict.

    Raises:
        ArtifactError: names the key of `index.json`.
    """
    if said != found:
        raise ArtifactError(f"{uri}/{MANIFEST}: {key} is {said}, the files hold {found}")


def require_names(
    uri: str, place: str, files: Mapping[str, str], needed: set[str], optional: set[str]
) -> None:
    """Refuse an entry that lacks the file of an array, or has one that means nothing there.

    Raises:
        ArtifactError: names the place in `index.json`.
    """
    wrong = (needed - set(files)) | (set(files) - needed - optional)
    if wrong:
        raise ArtifactError(
            f"{uri}/{MANIFEST}: {place} names the arrays {sorted(files)}, expected "
            f"{sorted(needed)}" + (f" and maybe {sorted(optional)}" if optional else "")
        )
