"""The inner loops of ASMK's search, compiled."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from retrieval_core.index.instructions import count_ones, fetch, widen_half

Array = npt.NDArray[Any]
Triple = tuple[Array, Array, Array]

WORDS_OF_128_BITS = 2
PUBLISHED_ALPHA = 3.0
# Posting lists lie apart in memory, and the processor foresees none of them: so many postings
# are asked for at a time, so many times ahead.
FETCHED, FETCHES_AHEAD = 16, 16
# bytes; with 128 bits a posting, codes of as many fill four lines and images one
CACHE_LINE, BYTES_OF_128_BITS, NUMBER = 64, 16, 4


@numba.njit(cache=True, nogil=True)
def add_binary_scores(
    sums: Array, first: int, query: Triple, segment: Triple, similarities: Array
) -> bool:
    """Add the similarity of every common word to the sums of the images that have it.

    Args:
        sums: (n,) float32 of consecutive images of the segment, changed in place.
        first: position in the segment of the first of them.
        query: visual words (q,), their signs (q, w) uint64 and their weights (q,) float32.
        segment: (size + 1,) where each word's posting list begins; position of its image (p,)
            and signs (p, w) uint64 of each posting.
        similarities: (d + 1,) float32, contribution of a word by Hamming distance.

    Returns:
        Whether every posting is of one of these images; else sums are of no use.
    """
    words, query_codes, weights = query
    offsets, images, codes = segment
    contributions = np.empty(len(similarities), np.float32)
    begins, ends = _all_postings_between(offsets, images, words, first, len(sums))
    of_128_bits = codes.shape[1] == WORDS_OF_128_BITS
    count = np.uint64(len(sums))
    list_ahead, place_ahead = 0, begins[0] if len(words) else 0
    # taken once: each time counts a reference
    addresses = images.ctypes.data, codes.ctypes.data
    for _ in range(FETCHES_AHEAD if of_128_bits else 0):
        list_ahead, place_ahead = _fetch(begins, ends, addresses, list_ahead, place_ahead)
    for q in range(len(words)):
        for distance in range(len(similarities)):
            contributions[distance] = weights[q] * similarities[distance]
        # an index that cannot be negative is not checked for counting from the end: half the time
        begin, end = np.uint64(begins[q]), np.uint64(ends[q])
        if of_128_bits:
            low, high = query_codes[q, 0], query_codes[q, 1]
            for start in range(begin, end, np.uint64(FETCHED)):
                list_ahead, place_ahead = _fetch(begins, ends, addresses, list_ahead, place_ahead)
                stop = min(start + np.uint64(FETCHED), end)
                if not _all_inside(images, start, stop, first, count):
                    return False
                for p in range(start, stop):
                    differ = count_ones(codes[p, 0] ^ low) + count_ones(codes[p, 1] ^ high)
                    sums[np.uint64(images[p] - first)] += contributions[differ]
        else:
            if not _all_inside(images, begin, end, first, count):
                return False
            for p in range(begin, end):
                differ = np.uint64(0)
                for i in range(codes.shape[1]):
                    differ += count_ones(codes[p, i] ^ query_codes[q, i])
                sums[np.uint64(images[p] - first)] += contributions[differ]
    return True


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def add_float_scores(
    sums: Array, first: int, query: Triple, segment: Triple, alpha: float, threshold: float
) -> bool:
    """As `add_binary_scores`, for codes compared by inner product.

    Args:
        sums: as `add_binary_scores`.
        first: as `add_binary_scores`.
        query: its codes are (q, d) float32.
        segment: its codes are (p, d), the bits of float16 as uint16.
        alpha: exponent of the selectivity.
        threshold: similarities below it count nothing.

    Returns:
        As `add_binary_scores`.
    """
    words, query_codes, weights = query
    _, images, codes = segment
    count = np.uint64(len(sums))
    for q in range(len(words)):
        begin, end = _postings_between(segment[0], images, words[q], first, len(sums))
        if not _all_inside(images, np.uint64(begin), np.uint64(end), first, count):
            return False
        for p in range(np.uint64(begin), np.uint64(end)):
            similarity = np.float32(0)
            for i in range(codes.shape[1]):
                similarity += widen_half(codes[p, i]) * query_codes[q, i]
            if similarity >= threshold:
                if alpha == PUBLISHED_ALPHA:  # a general power takes longer than the product
                    selected = similarity * similarity * similarity
                else:
                    selected = np.float32(np.sign(similarity) * abs(similarity) ** alpha)
                sums[np.uint64(images[p] - first)] += weights[q] * selected
    return True


@numba.njit(cache=True, nogil=True)
def normalise(sums: Array, norms: Array, query_norm: float) -> None:
    """Divide by the norms of image and query; an image or a query without words scores 0.

    Args:
        sums: (n,) float32, changed in place.
        norms: (n,) float64, squared norms of the images.
        query_norm: squared norm of the query.
    """
    for i in range(len(sums)):
        squared = norms[i] * query_norm
        sums[i] = np.float32(sums[i] / np.sqrt(squared)) if squared > 0 else np.float32(0)


@numba.njit(cache=True, nogil=True)
def _all_inside(images: Array, start: Any, stop: Any, first: int, count: Any) -> bool:
    """Whether there are such images: a damaged file must not have the loops write anywhere."""
    # below the first, a difference without a sign is high
    highest = np.uint64(0)
    for p in range(start, stop):
        highest = max(highest, np.uint64(images[p] - first))
    inside: bool = highest < count
    return inside


@numba.njit(cache=True, nogil=True)
def _fetch(
    begins: Array, ends: Array, addresses: tuple[int, int], number: Any, place: Any
) -> tuple[Any, Any]:
    """Ask for the next postings, with codes of 128 bits; list and place of those after them."""
    while number < len(begins) and place >= ends[number]:
        number += 1
        if number < len(begins):
            place = begins[number]
    if number < len(begins):
        images, codes = addresses
        address = codes + place * BYTES_OF_128_BITS
        fetch(address)
        fetch(address + CACHE_LINE)
        fetch(address + 2 * CACHE_LINE)
        fetch(address + 3 * CACHE_LINE)
        fetch(images + place * NUMBER)
        place += FETCHED
    return number, place


@numba.njit(cache=True, nogil=True)
def _all_postings_between(
    offsets: Array, images: Array, words: Array, first: int, count: int
) -> tuple[Array, Array]:
    """`_postings_between` of several words: (q,) int64 each."""
    begins, ends = np.empty(len(words), np.int64), np.empty(len(words), np.int64)
    for q in range(len(words)):
        begins[q], ends[q] = _postings_between(offsets, images, words[q], first, count)
    return begins, ends


@numba.njit(cache=True, nogil=True)
def _postings_between(
    offsets: Array, images: Array, word: int, first: int, count: int
) -> tuple[Any, Any]:
    """Where the postings of `count` images from `first` on begin and end in a word's list."""
    begin, end = offsets[word], offsets[word + 1]
    if begin < end and images[begin] < first:
        begin += np.searchsorted(images[begin:end], first)
    if begin < end and images[end - 1] >= first + count:
        end = begin + np.searchsorted(images[begin:end], first + count)
    return begin, end
