"""How evenly a database uses the visual words of its codebook."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_core.index.inputs import Int64


@dataclass(frozen=True, eq=False)
class WordUse:
    """Use of visual words.

    Attributes:
        counts: (size,) int64, uses of each word, most used first.
        used: share of words that are used at all, in [0, 1].
        entropy: of the distribution of uses over words, bits.
        evenness: entropy over its maximum log2(size), in [0, 1]; 1 where all words are used alike.
    """

    counts: Int64
    used: float
    entropy: float
    evenness: float

    @property
    def effective_words(self) -> float:
        """Words, all used alike, that would have this entropy."""
        return float(2**self.entropy)


def word_use(counts: npt.ArrayLike) -> WordUse:
    """Measure how evenly words are used.

    Args:
        counts: (size,) whole numbers >= 0, size >= 1: images or descriptors of each word.
    """
    ordered = np.sort(np.asarray(counts, np.int64))[::-1]
    total = int(ordered.sum())
    shares = ordered[ordered > 0] / max(total, 1)
    entropy = float(-(shares * np.log2(shares)).sum()) + 0.0
    most = float(np.log2(len(ordered)))
    return WordUse(
        counts=ordered,
        used=float((ordered > 0).mean()),
        entropy=entropy,
        evenness=entropy / most if most else float(total > 0),
    )
