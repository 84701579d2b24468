"""What may enter an index, checked before anything is changed."""

from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_core.errors import IndexInputError

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

NO_IMAGE = -1
# bounds what the check itself takes beside the descriptors of a whole codebook
CHECKED_ROWS = 65_536


def check_vectors(vectors: npt.ArrayLike, dim: int, name: str = "descriptors") -> Float32:
    """Vectors as a contiguous (n, dim) float32 array.

    Raises:
        IndexInputError: another dtype or shape, or a value that is not finite.
    """
    array = np.asarray(vectors)
    if array.dtype != np.float32 or array.ndim != 2 or array.shape[1] != dim:
        raise IndexInputError(
            f"{name}: expected float32 of shape (n, {dim}), found {array.dtype} {array.shape}"
        )
    for start in range(0, len(array), CHECKED_ROWS):
        rows = array[start : start + CHECKED_ROWS]
        # what is not finite makes the sum so; a sum may also just be too large
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(rows.sum()):
                continue
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            bad = array[row][~np.isfinite(array[row])][0]
            raise IndexInputError(f"{name}: row {row} holds {bad}")
    return np.ascontiguousarray(array)


def check_image_ids(image_ids: npt.ArrayLike) -> Int64:
    """Ids as a new (m,) int64 array.

    Raises:
        IndexInputError: not whole 64-bit numbers in one dimension, an id twice, or -1.
    """
    ids = _whole_numbers(image_ids, "image_ids")
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise IndexInputError(f"image_ids: {_some(unique[counts > 1])} given more than once")
    if NO_IMAGE in ids:
        raise IndexInputError(f"image_ids: {NO_IMAGE} stands for 'no image' in rankings")
    return ids


def check_image_index(image_index: npt.ArrayLike, rows: int, images: int | None) -> Int64:
    """Positions of each descriptor's image as a (rows,) int64 array.

    Args:
        image_index: (rows,) whole numbers.
        rows: number of descriptors.
        images: number of images; None is unbounded.

    Raises:
        IndexInputError: another length, or a position outside 0 .. images - 1.
    """
    index = _whole_numbers(image_index, "image_index")
    if len(index) != rows:
        raise IndexInputError(f"image_index: {len(index)} entries for {rows} descriptors")
    outside = (index < 0) if images is None else (index < 0) | (index >= images)
    if outside.any():
        row = int(np.argmax(outside))
        bound = "0 or more" if images is None else f"0 to {images - 1}"
        raise IndexInputError(f"image_index: row {row} holds {index[row]}, expected {bound}")
    return index


def check_words(words: Int64, size: int) -> None:
    """Refuse what is no visual word, as of descriptors whose distances are beyond float32.

    Args:
        words: (n, k) int64, of each descriptor.
        size: of the codebook.

    Raises:
        IndexInputError: a word outside 0 .. size - 1; names the descriptor's row.
    """
    outside = ((words < 0) | (words >= size)).any(axis=1)
    if outside.any():
        row = int(np.argmax(outside))
        raise IndexInputError(
            f"descriptors: row {row} has the visual words {words[row].tolist()}, expected 0 to "
            f"{size - 1}"
        )


def check_top_k(top_k: int | None, images: int) -> int:
    """Length of a ranking over a database of this many images.

    Raises:
        IndexInputError: top_k is below 1.
    """
    if top_k is not None and top_k < 1:
        raise IndexInputError(f"top_k: expected 1 or more, found {top_k}")
    return images if top_k is None else min(top_k, images)


def refuse(ids: Int64, reason: str) -> None:
    """Raise `IndexInputError` naming these ids, if there are any."""
    if len(ids):
        raise IndexInputError(f"image_ids: {_some(ids)} {reason}")


def _whole_numbers(values: npt.ArrayLike, name: str) -> Int64:
    array: npt.NDArray[Any] = np.asarray(values)
    if array.size == 0 and array.ndim == 1:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise IndexInputError(
            f"{name}: expected whole numbers in one dimension, found {array.dtype} {array.shape}"
        )
    limit = np.iinfo(np.int64).max
    if array.dtype == np.uint64 and (array > limit).any():
        raise IndexInputError(f"{name}: {array.max()} is above {limit}")
    return array.astype(np.int64)


def _some(ids: Int64) -> str:
    shown = ", ".join(str(i) for i in ids[:5])
    return shown + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
