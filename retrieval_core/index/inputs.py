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
# squared distances of longer vectors are beyond float32, in which the fast products are
LARGEST_NORM = 1e18
LARGEST_COUNT = 2**31 - 1


def check_vectors(vectors: npt.ArrayLike, dim: int | None, name: str = "descriptors") -> Float32:
    """Vectors as a contiguous (n, dim) float32 array.

    Args:
        vectors: (n, dim) float32.
        dim: their dimensions; None is any number of them.
        name: of the vectors, for messages.

    Raises:
        IndexInputError: another dtype or shape, a value that is not finite, or a vector longer
            than `LARGEST_NORM`.
    """
    array = _array(vectors, name)
    fits = array.ndim == 2 and array.shape[1] == (array.shape[1] if dim is None else dim)
    if array.dtype != np.float32 or not fits:
        expected = f"(n, {'D' if dim is None else dim})"
        raise IndexInputError(
            f"{name}: expected float32 of shape {expected}, found {array.dtype} {array.shape}"
        )
    for start in range(0, len(array), CHECKED_ROWS):
        rows = array[start : start + CHECKED_ROWS]
        # what is not finite makes the sum of squares so; it may also just be of many rows
        with np.errstate(over="ignore", invalid="ignore"):
            if np.vdot(rows, rows) <= LARGEST_NORM**2:
                continue
        _check_rows(rows, start, name)
    return np.ascontiguousarray(array)


def _check_rows(rows: Float32, start: int, name: str) -> None:
    """Look at each vector; `start` is the number of the first."""
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    # what is not a number is not below it, either
    bad = ~(norms <= LARGEST_NORM)
    if bad.any():
        row = int(np.argmax(bad))
        unusable = rows[row][~np.isfinite(rows[row])]
        found = f"holds {unusable[0]}" if len(unusable) else f"has norm {norms[row]:.3g}"
        raise IndexInputError(
            f"{name}: row {start + row} {found}, expected finite values and a norm of at most "
            f"{LARGEST_NORM:g}"
        )


def whole_numbers(values: npt.ArrayLike, name: str) -> Int64:
    """Numbers as a new (m,) int64 array.

    Raises:
        IndexInputError: not whole 64-bit numbers in one dimension.
    """
    array = _array(values, name)
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


def check_image_ids(image_ids: npt.ArrayLike) -> Int64:
    """Ids as a new (m,) int64 array.

    Raises:
        IndexInputError: not whole 64-bit numbers in one dimension, an id twice, or -1.
    """
    ids = whole_numbers(image_ids, "image_ids")
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise IndexInputError(f"image_ids: {_some(unique[counts > 1])} given more than once")
    if NO_IMAGE in ids:
        raise IndexInputError(f"image_ids: {NO_IMAGE} stands for 'no image' in rankings")
    return ids


def check_image_index(image_index: npt.ArrayLike, rows: int, images: int) -> Int64:
    """Positions of each descriptor's image as a (rows,) int64 array.

    Args:
        image_index: (rows,) whole numbers.
        rows: number of descriptors.
        images: number of images.

    Raises:
        IndexInputError: another length, or a position outside 0 .. images - 1.
    """
    index = whole_numbers(image_index, "image_index")
    if len(index) != rows:
        raise IndexInputError(f"image_index: {len(index)} entries for {rows} descriptors")
    outside = (index < 0) | (index >= images)
    if outside.any():
        row = int(np.argmax(outside))
        raise IndexInputError(
            f"image_index: row {row} holds {index[row]}, expected 0 to {images - 1}"
        )
    return index


def check_words(words: Int64, size: int) -> None:
    """Refuse what is no visual word.

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
        IndexInputError: top_k is no whole number, or below 1.
    """
    return images if top_k is None else min(check_count(top_k, "top_k"), images)


def check_count(value: Any, name: str, least: int = 1, most: int | None = None) -> int:
    """A whole number from `least` to `most`.

    Raises:
        IndexInputError: it is none.
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise IndexInputError(f"{name}: expected {bounds}, found {value!r}")
    return int(value)


def refuse(ids: Int64, reason: str) -> None:
    """Raise `IndexInputError` naming these ids, if there are any."""
    if len(ids):
        raise IndexInputError(f"image_ids: {_some(ids)} {reason}")


def _array(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:  # rows of different lengths, for example
        raise IndexInputError(f"{name}: {error}") from None


def _some(ids: Int64) -> str:
    shown = ", ".join(str(i) for i in ids[:5])
    return shown + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
