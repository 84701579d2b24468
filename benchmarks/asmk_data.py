"""Descriptors whose visual words are known, so that assignment stays out of the timings."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_core.index import Codebook

DIM = 128
WORDS = 65_536
DESCRIPTORS = (400, 501)
ASSIGNMENTS = 5
IMAGES_AT_ONCE = 1_000
# so many images, one after the other, show the same object: so many of their descriptors are alike,
# but for a difference of this size beside what they share
VIEWS, ALIKE, DIFFERENCE = 20, 120, 0.4

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images: descriptors (n, d), the image of each (n,) and its visual words (n, k)."""

    images: npt.NDArray[np.int64]
    descriptors: npt.NDArray[np.float32]
    image_index: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]

    def of_image(self, position: int) -> "Batch":
        """The image at a position of `image_index`, alone."""
        rows = self.image_index == position
        nothing = np.zeros(int(rows.sum()), np.int64)
        image = self.images[position : position + 1]
        return Batch(image, self.descriptors[rows], nothing, self.words[rows])


class KnownWords(Codebook):
    """A codebook that is told what to answer."""

    def expect(self, words: npt.NDArray[np.int64]) -> None:
        """Words of the next descriptors."""
        self.__dict__["expected"] = words

    def assign(self, descriptors: npt.ArrayLike, k: int = 1) -> npt.NDArray[np.int64]:
        """The words that were given."""
        words: npt.NDArray[np.int64] = self.__dict__["expected"]
        return words[:, :k]


def codebook(seed: int = 0) -> KnownWords:
    """Centroids without structure."""
    centroids = np.random.default_rng(seed).standard_normal((WORDS, DIM), np.float32)
    return KnownWords(centroids, exact=True)


def word_shares(use: str, seed: int = 0) -> npt.NDArray[np.float64]:
    """How often each word is used.

    Args:
        use: "even" as k-means leaves them (measured: standard deviation about half the mean), or
            "zipf".
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    if use == "even":
        shares = rng.gamma(4.0, size=WORDS)
    else:
        shares = rng.permutation(1 / (np.arange(WORDS) + 200.0))
    return shares / shares.sum()


def batches(
    centroids: npt.NDArray[np.float32],
    images: int,
    use: str,
    k: int,
    seed: int,
    views: int = VIEWS,
) -> Iterator[Batch]:
    """Images with 400 to 500 descriptors each, some at a time; objects are the same in every draw.

    Args:
        centroids: (size, d) float32.
        images: how many.
        use: of words, as `word_shares`.
        k: words per descriptor.
        seed: of the draw.
        views: images of each object.
    """
    rng = np.random.default_rng(seed)
    cumulated = np.cumsum(word_shares(use))
    for first in range(0, images, IMAGES_AT_ONCE):
        count = min(IMAGES_AT_ONCE, images - first)
        numbers = rng.integers(*DESCRIPTORS, size=count)
        total = int(numbers.sum())
        words = _draw(cumulated, total, k, rng)
        noise = rng.standard_normal((total, DIM), np.float32)
        shown = np.arange(first, first + count)
        for number, end, own in zip(shown, np.cumsum(numbers), numbers, strict=True):
            rows = slice(end - own, end - own + ALIKE)
            _show(number // views, words[rows], noise[rows], cumulated)
        yield Batch(
            shown,
            centroids[words[:, 0]] + noise,
            np.repeat(np.arange(count), numbers),
            words,
        )


def _show(
    number: int,
    words: npt.NDArray[np.int64],
    residuals: npt.NDArray[np.float32],
    cumulated: npt.NDArray[np.float64],
) -> None:
    """Make descriptors those of an object, changed in place: words (n, k) and residuals (n, d)."""
    rng = np.random.default_rng((number, 1))
    own = _draw(cumulated, len(words), 1, rng)
    known = (words[:, 1:] == own).any(axis=1)
    words[~known, 0] = own[~known, 0]
    residuals *= DIFFERENCE
    residuals += rng.standard_normal(residuals.shape, np.float32)


def _draw(
    cumulated: npt.NDArray[np.float64], total: int, k: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    words = np.searchsorted(cumulated, rng.random((total, k))).clip(max=WORDS - 1)
    # the words of a descriptor are different ones
    while (repeated := (np.diff(np.sort(words, axis=1), axis=1) == 0).any(axis=1)).any():
        drawn = rng.random((int(repeated.sum()), k))
        words[repeated] = np.searchsorted(cumulated, drawn).clip(max=WORDS - 1)
    return words
