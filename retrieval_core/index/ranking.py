"""Queries against the segments of a snapshot, on every core."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from retrieval_core.errors import IndexInputError
from retrieval_core.index.aggregation import Aggregates
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.scoring import add_binary_scores, add_float_scores, normalise
from retrieval_core.index.segment import damaged
from retrieval_core.index.selection import best_first
from retrieval_core.index.snapshot import Snapshot
from retrieval_core.index.threads import cores, side_by_side

Candidates = tuple[Int64, Float32]

# the sums of so many images stay in the cache of a core
IMAGES_AT_ONCE = 262_144
# bounds the candidates that wait to be put in order
QUERIES_AT_ONCE = 64


@dataclass(frozen=True)
class Selectivity:
    """How the similarity s of a common word counts: sign(s) |s|^alpha, from a threshold on.

    Attributes:
        alpha: exponent, > 0.
        threshold: -1 to 1; a similarity below it counts nothing.

    Raises:
        IndexInputError: alpha is not above 0 and finite, or the threshold not from -1 to 1.
    """

    alpha: float
    threshold: float

    def __post_init__(self) -> None:
        if not 0 < self.alpha < np.inf:
            raise IndexInputError(f"alpha: expected > 0 and finite, found {self.alpha}")
        if not -1 <= self.threshold <= 1:
            raise IndexInputError(f"threshold: expected -1 to 1, found {self.threshold}")

    def by_distance(self, dim: int) -> Float32:
        """(dim + 1,) float32 contribution of binary codes by their Hamming distance."""
        similarity = 1 - 2 * np.arange(dim + 1) / dim
        selected = np.sign(similarity) * np.abs(similarity) ** self.alpha
        return np.where(similarity >= self.threshold, selected, 0.0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Queries:
    """Aggregated queries and how they are compared.

    Attributes:
        aggregates: their codes; `images` counts the queries.
        count: number of queries; one may have no descriptors.
        dim: of a descriptor.
        selectivity: of a common word.
    """

    aggregates: Aggregates
    count: int
    dim: int
    selectivity: Selectivity

    @property
    def bounds(self) -> Int64:
        """(count + 1,) int64, where the words of each query begin in `aggregates`."""
        return np.searchsorted(self.aggregates.images, np.arange(self.count + 1))

    def block(self, start: int, stop: int) -> "Queries":
        """Those from `start` to before `stop`, copied: the whole may be in shared memory."""
        first, last = self.bounds[[start, stop]]
        whole = self.aggregates
        aggregates = Aggregates(
            whole.images[first:last] - start,
            whole.words[first:last].copy(),
            whole.codes[first:last].copy(),
        )
        return replace(self, aggregates=aggregates, count=stop - start)


def rank(
    snapshot: Snapshot, queries: Queries, top_k: int | None = None, *, threads: int = 0
) -> tuple[Int64, Float32]:
    """The best images of each query, the lower id first among equal scores.

    Args:
        snapshot: what is searched.
        queries: to search with.
        top_k: length of a ranking; None ranks every image.
        threads: at work side by side; 0: one per core. It changes no bit of the result.

    Returns:
        Ids (Q, k) int64 and scores (Q, k) float32, where k is `top_k` or the number of images,
        whichever is less.

    Raises:
        ArtifactError: a posting list that was asked for is damaged; names its file.
    """
    k = len(snapshot) if top_k is None else min(top_k, len(snapshot))
    ids, scores = np.empty((queries.count, k), np.int64), np.empty((queries.count, k), np.float32)
    if k == 0 or queries.count == 0:
        return ids, scores
    scorer, threads = _Scorer(snapshot, queries, k), threads or cores()
    ranges = _ranges(snapshot, 1 if queries.count >= threads else threads)
    for start in range(0, queries.count, QUERIES_AT_ONCE):
        block = range(start, min(start + QUERIES_AT_ONCE, queries.count))
        tasks = [(query, *part) for query in block for part in ranges]
        found = side_by_side(scorer.candidates, tasks, threads)
        for number, query in enumerate(block):
            own = found[number * len(ranges) : (number + 1) * len(ranges)]
            ids[query], scores[query] = join(own, k)
    return ids, scores


def join(parts: Iterable[Candidates], top_k: int) -> Candidates:
    """The best of the candidates of several parts of a database, the lower id first.

    Args:
        parts: ids (n,) int64 and scores (n,) float32 of each, at most `top_k` and best first.
        top_k: at most as many as there are candidates.
    """
    found = list(parts)
    if len(found) == 1:
        return found[0]
    ids = np.concatenate([part[0] for part in found])
    scores = np.concatenate([part[1] for part in found])
    order = np.lexsort((ids, -scores))[:top_k]
    return ids[order], scores[order]


class _Scorer:
    """Scores of single queries in parts of a snapshot."""

    def __init__(self, snapshot: Snapshot, queries: Queries, top_k: int) -> None:
        self._segments, self._alive = snapshot.segments, snapshot.alive
        # derived here, once, and not by the first thread that needs them
        self._weights = snapshot.weights
        self._aggregates = queries.aggregates
        self._bounds = queries.bounds
        self._binary = self._aggregates.codes.dtype == np.uint64
        self._selectivity = queries.selectivity
        self._similarities = queries.selectivity.by_distance(queries.dim)
        self._top_k = top_k

    def candidates(self, task: tuple[int, int, int, int]) -> Candidates:
        """All that may be among the best: (query, segment, first image, number of images)."""
        query, number, first, count = task
        part = slice(first, first + count)
        scores, living = self._scores(query, number, part), self._alive[number][part]
        there = int(np.count_nonzero(living))
        if there < count:
            scores[~living] = -np.inf
        best = best_first(scores, min(self._top_k, there))
        return self._segments[number].image_ids[part][best], scores[best]

    def _scores(self, query: int, number: int, part: slice) -> Float32:
        segment, norms = self._segments[number], self._weights.norms[number][part]
        own = slice(self._bounds[query], self._bounds[query + 1])
        words = self._aggregates.words[own]
        idf = self._weights.idf[words]
        sums = np.zeros(len(norms), np.float32)
        question = (words, self._aggregates.codes[own], idf.astype(np.float32))
        if self._binary:
            inside = add_binary_scores(
                sums, part.start, question, segment.lists, self._similarities
            )
        else:
            alpha, threshold = self._selectivity.alpha, self._selectivity.threshold
            inside = add_float_scores(
                sums, part.start, question, segment.lists, float(alpha), float(threshold)
            )
        if not inside:
            raise damaged(segment)
        normalise(sums, norms, float(idf.sum()))
        return sums


def _ranges(snapshot: Snapshot, parts: int) -> list[tuple[int, int, int]]:
    """Segment, first image and number of images of the parts that are scored at a time."""
    images = sum(len(segment) for segment in snapshot.segments)
    step = min(IMAGES_AT_ONCE, max(1, -(-images // parts)))
    return [
        (number, first, min(step, len(segment) - first))
        for number, segment in enumerate(snapshot.segments)
        for first in range(0, len(segment), step)
    ]
