"""The inner loops of building posting lists, compiled."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from retrieval_core.index.instructions import fetch, narrow_like

Array = npt.NDArray[Any]
Triple = tuple[Array, Array, Array]

BITS = 64
# Centroids lie all over the memory: those of so many groups ahead are asked for. In bytes:
GROUPS_AHEAD, CACHE_LINE, NUMBER = 8, 64, 4


@numba.njit(cache=True, nogil=True)
def sum_signs(
    descriptors: Array,
    centroids: Array,
    rows: Array,
    words: Array,
    starts: Array,
    places: Array,
    signs: Array,
) -> None:
    """Sum, per group of descriptors, their differences to the group's centroid; keep the signs.

    Args:
        descriptors: (n, d) float32.
        centroids: (size, d) float32.
        rows: (m,) rows of `descriptors`, group after group.
        words: (g,) visual word of each group.
        starts: (g + 1,) where each group begins in `rows`, and m.
        places: (g,) row of `signs` of each group.
        signs: (p, ceil(d / 64)) uint64, written; a bit is set where the sum is above zero.
    """
    dim = descriptors.shape[1]
    # zero beyond the dimensions: their bits stay unset
    sums = np.zeros((signs.shape[1], BITS), np.float32)
    flat = sums.reshape(-1)[:dim]
    first = centroids.ctypes.data
    for group in range(len(words)):
        _fetch_centroid(first, descriptors.shape[1], words, group + GROUPS_AHEAD)
        flat[:] = 0
        _add_residuals(flat, descriptors, centroids[words[group]], rows, starts, group)
        for part in range(signs.shape[1]):
            bits = np.uint64(0)
            for j in range(BITS):
                bits |= np.uint64(sums[part, j] > 0) << np.uint64(j)
            signs[places[group], part] = bits


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def sum_directions(
    descriptors: Array,
    centroids: Array,
    rows: Array,
    words: Array,
    starts: Array,
    places: Array,
    directions: Array,
) -> None:
    """As `sum_signs`, but keep the direction of each sum, of unit norm.

    Args:
        descriptors: as `sum_signs`.
        centroids: as `sum_signs`.
        rows: as `sum_signs`.
        words: as `sum_signs`.
        starts: as `sum_signs`.
        places: as `sum_signs`.
        directions: (p, d) float32, or uint16 for the bits of float16, written.
    """
    own = np.empty(descriptors.shape[1], np.float32)
    first = centroids.ctypes.data
    for group in range(len(words)):
        _fetch_centroid(first, descriptors.shape[1], words, group + GROUPS_AHEAD)
        own[:] = 0
        _add_residuals(own, descriptors, centroids[words[group]], rows, starts, group)
        squared = np.float32(0)
        for j in range(len(own)):
            squared += own[j] * own[j]
        # the small constant is part of the published numbers and keeps a zero vector zero
        norm = np.sqrt(squared) + np.float32(1e-6)
        direction = directions[places[group]]
        for j in range(len(own)):
            direction[j] = narrow_like(own[j] / norm, direction[j])


@numba.njit(cache=True, nogil=True)
def _fetch_centroid(first: int, dim: int, words: Array, group: int) -> None:
    """Ask for the centroid of a group, if there is one; `first` is the address of all."""
    if group < len(words):
        row = first + words[group] * dim * NUMBER
        for place in range(row, row + dim * NUMBER, CACHE_LINE):
            fetch(place)


@numba.njit(cache=True, nogil=True)
def _add_residuals(
    sums: Array, descriptors: Array, centroid: Array, rows: Array, starts: Array, group: int
) -> None:
    for i in range(starts[group], starts[group + 1]):
        descriptor = descriptors[rows[i]]
        for j in range(len(sums)):
            sums[j] += descriptor[j] - centroid[j]


@numba.njit(cache=True, nogil=True)
def add_norms(norms: Array, offsets: Array, images: Array, idf: Array) -> None:
    """Add the weight of every posting's word to the norm of its image.

    Args:
        norms: (n,) float64, changed in place.
        offsets: (size + 1,) where each word's posting list begins.
        images: (p,) position in `norms` of each posting.
        idf: (size,) float64.
    """
    for word in range(len(idf)):
        for p in range(offsets[word], offsets[word + 1]):
            norms[images[p]] += idf[word]


@numba.njit(cache=True, nogil=True)
def count_words(lengths: Array, offsets: Array, images: Array, alive: Array) -> None:
    """Add the number of images that have a word, those that are alive, to each word's count.

    Args:
        lengths: (size,) int64, changed in place.
        offsets: (size + 1,) where each word's posting list begins.
        images: (p,) position in `alive` of each posting.
        alive: (n,) bool.
    """
    for word in range(len(lengths)):
        for p in range(offsets[word], offsets[word + 1]):
            lengths[word] += alive[images[p]]


@numba.njit(cache=True, nogil=True)
def list_images(
    images: Array, places: Array, ends: Array, by_id: Array, bounds: Array, words: Array
) -> None:
    """Sort the visual words of images into posting lists.

    Args:
        images: (p,) of the lists, changed in place.
        places: (p,) place in the lists of each word of an image, changed in place.
        ends: (size,) where each word's list begins, changed in place.
        by_id: (n,) the images in the order of the lists.
        bounds: (n + 1,) where the words of each image begin.
        words: (p,) of the images, one image after the other.
    """
    for position in range(len(by_id)):
        image = by_id[position]
        for entry in range(bounds[image], bounds[image + 1]):
            place = ends[words[entry]]
            images[place] = position
            places[entry] = place
            ends[words[entry]] = place + 1


@numba.njit(cache=True, nogil=True)
def place_postings(
    images: Array, codes: Array, ends: Array, segment: Triple, positions: Array
) -> None:
    """Append the postings of a segment to the posting lists that it is merged into.

    Args:
        images: (P,) of the merged lists, changed in place.
        codes: (P, w) of the merged lists, changed in place.
        ends: (size,) where the next posting of each word goes, changed in place.
        segment: (size + 1,) where each word's posting list begins; position of its image (p,)
            and code (p, w) of each posting.
        positions: (n,) merged position of each image of the segment; -1 is left out.
    """
    offsets, own_images, own_codes = segment
    for word in range(len(ends)):
        for p in range(offsets[word], offsets[word + 1]):
            position = positions[own_images[p]]
            if position >= 0:
                place = ends[word]
                images[place] = position
                for i in range(codes.shape[1]):
                    codes[place, i] = own_codes[p, i]
                ends[word] = place + 1


@numba.njit(cache=True, nogil=True)
def sort_postings(offsets: Array, images: Array, codes: Array) -> None:
    """Sort each word's posting list by image, in place (arguments as `place_postings`)."""
    for word in range(len(offsets) - 1):
        part = slice(offsets[word], offsets[word + 1])
        order = np.argsort(images[part])
        images[part] = images[part][order]
        codes[part] = codes[part][order]
