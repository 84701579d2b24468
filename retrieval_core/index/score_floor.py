"""A guess how high the scores of a query's best images are, before all are compared.

A sample of one in n images is compared first. It is expected to hold one in n of the best; the
guess is the score some places further down its ranking, by standard deviations of their number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from retrieval_core.index.inputs import Float32
from retrieval_core.index.top_scores import capacity

# images that scores are guessed from; among fewer than so many times as many it does not pay
SAMPLE, WORTHWHILE = 1024, 8
# standard deviations by which the guess stays below what is expected
CAUTION = 5


@dataclass(frozen=True, eq=False)
class ScoreFloor:
    """What guesses are made from.

    Attributes:
        vectors: (SAMPLE, D) float32, of some images.
        rank: place in the ranking of these images, from 1, whose score is the guess.
    """

    vectors: Float32
    rank: int

    @classmethod
    def of(cls, blocks: Sequence[Float32], top_k: int) -> "ScoreFloor | None":
        """For the best `top_k` of the images in blocks of vectors, (n, D) float32 each.

        Returns:
            None where so many are ranked, or there are so few, that it does not pay.
        """
        images = sum(map(len, blocks))
        expected = top_k * SAMPLE / max(images, 1)
        rank = min(top_k, math.ceil(expected + CAUTION * math.sqrt(expected)))
        if images < WORTHWHILE * SAMPLE or rank * images > SAMPLE * capacity(images, top_k):
            return None
        return cls(_spread(blocks, images), rank)

    def below(self, scores: Float32) -> Float32:
        """What the scores of a query's best images are probably above: (q,) float32.

        Args:
            scores: (q, SAMPLE) float32, of these images.
        """
        place = SAMPLE - self.rank
        lowest: Float32 = np.partition(scores, place, axis=1)[:, place]
        # the images of the sample are among all images: the one at the guess is let in
        return np.nextafter(lowest, np.float32(-np.inf))


def _spread(blocks: Sequence[Float32], images: int) -> Float32:
    """(SAMPLE, D), of one image of every stretch of equal length."""
    # not the first of each: where so many views of an object follow one another, all were alike
    positions = np.arange(SAMPLE) * images // SAMPLE
    positions += np.random.default_rng(0).integers(images // SAMPLE, size=SAMPLE)
    bounds = np.cumsum([0, *map(len, blocks)])
    cuts = pairwise(np.searchsorted(positions, bounds))
    return np.concatenate(
        [
            block[positions[start:stop] - first]
            for block, first, (start, stop) in zip(blocks, bounds, cuts, strict=False)
        ]
    )
