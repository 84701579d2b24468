"""Queries against posting lists on a GPU: the files and the rankings of `ranking.py`.

An image occurs once in a posting list, so a list may be added to the images' sums in any order. The
words of a query are added one after another, as the compiled loops do, those of many queries side
by side: scores of binary codes have the same bits, those of float codes differ by the rounding of
an inner product.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from retrieval_core.index.device_scoring import best_first, contributions, normalise
from retrieval_core.index.inputs import Int64
from retrieval_core.index.ranking import Candidates, Queries, join
from retrieval_core.index.segment import Mask, Segment, require_inside
from retrieval_core.index.snapshot import Float64, Snapshot

DEFAULT_MEMORY = 2**30
# what a score takes while it is made and put in order: sum, root, quotient, sort key and place
BYTES_PER_SCORE = 64
# what a posting takes while it is scored: its indices, and its code and the query's, five times
BYTES_PER_POSTING = 96
CODES_PER_POSTING = 5


@dataclass(frozen=True, eq=False)
class DeviceSegment:
    """A segment on a device: 20 bytes per posting with 128-bit codes, and 9 per image.

    Attributes:
        offsets: (size + 1,) where each visual word's posting list begins, not on the device.
        images: (p,) int32, position in the segment of each posting's image.
        codes: (p, w) int64, the bits of signs, or (p, d) float16.
        norms: (n,) float64, squared norms of the images.
        alive: (n,) bool, False where an image was removed.
    """

    offsets: Int64
    images: Tensor
    codes: Tensor
    norms: Tensor
    alive: Tensor

    @staticmethod
    def of(segment: Segment, alive: Mask, norms: Float64, device: torch.device) -> "DeviceSegment":
        """Copy a segment to a device (errors as `require_inside`)."""
        require_inside(segment)
        return DeviceSegment(
            segment.offsets,
            *(
                torch.tensor(array, device=device)
                for array in (segment.images, _signed(segment.codes), norms, alive)
            ),
        )

    @property
    def bytes_at_work(self) -> int:
        """What scoring takes per posting."""
        code = self.codes.shape[1] * self.codes.element_size()
        return BYTES_PER_POSTING + CODES_PER_POSTING * code


@dataclass(frozen=True, eq=False)
class Lists:
    """The posting lists of the words of some queries: each query's first, each one's second ...

    Attributes:
        places: (e,) place of the word in its query, ascending.
        rows: (e,) row of the word in the queries' aggregates.
        begins: (e,) where its posting list begins in the segment.
        before: (e + 1,) number of postings in the lists before it.
    """

    places: Int64
    rows: Int64
    begins: Int64
    before: Int64

    @staticmethod
    def of(queries: Queries, offsets: Int64) -> "Lists":
        """Those that are not empty, by place."""
        owners, words = queries.aggregates.images, queries.aggregates.words
        places = np.arange(len(words)) - queries.bounds[owners]
        lengths = offsets[words + 1] - offsets[words]
        order = np.argsort(places, kind="stable")
        rows = order[lengths[order] > 0]
        before = np.append(0, np.cumsum(lengths[rows]))
        return Lists(places[rows], rows, offsets[words[rows]], before)

    def chunks(self, postings: int) -> Iterator["Lists"]:
        """Consecutive lists of at most so many postings together, at least one list."""
        first = 0
        while first < len(self.rows):
            bound = self.before[first] + postings
            last = max(first + 1, int(np.searchsorted(self.before, bound, side="right")) - 1)
            part, before = slice(first, last), self.before[first : last + 1]
            yield Lists(self.places[part], self.rows[part], self.begins[part], before - before[0])
            first = last

    def steps(self) -> Iterator[tuple[int, int]]:
        """First and last posting, exclusive, of the lists of one place after another."""
        changes = np.flatnonzero(np.diff(self.places)) + 1
        yield from pairwise(self.before[[0, *changes, len(self.rows)]].tolist())


class TorchSearcher:
    """The posting lists of a snapshot on a device.

    Attributes:
        snapshot: what is searched.
        device: where it is.
    """

    def __init__(
        self, snapshot: Snapshot, device: torch.device, *, memory: int = DEFAULT_MEMORY
    ) -> None:
        """Copy the posting lists.

        Args:
            snapshot: what is searched.
            device: a GPU; the CPU gives the same results, slower than the compiled loops.
            memory: bytes that a search takes beside the posting lists; more where one query's
                scores in a segment, or one posting list, need more.
        """
        self.snapshot, self.device = snapshot, device
        self._memory = memory
        norms = snapshot.weights.norms
        self._segments = [
            DeviceSegment.of(*each, device)
            for each in zip(snapshot.segments, snapshot.alive, norms, strict=True)
        ]

    def rank(self, queries: Queries, top_k: int | None = None) -> Candidates:
        """The best images of each query (arguments and result as `ranking.rank`)."""
        k = len(self.snapshot) if top_k is None else min(top_k, len(self.snapshot))
        ids = np.empty((queries.count, k), np.int64)
        scores = np.empty((queries.count, k), np.float32)
        if k == 0:
            return ids, scores
        largest = max(len(segment) for segment in self.snapshot.segments)
        step = max(1, self._memory // 2 // (largest * BYTES_PER_SCORE))
        for start in range(0, queries.count, step):
            block = queries.block(start, min(start + step, queries.count))
            parts = [self._candidates(number, block, k) for number in range(len(self._segments))]
            for row in range(block.count):
                found = join(((part[row], own[row]) for part, own in parts), k)
                ids[start + row], scores[start + row] = found
        return ids, scores

    def _candidates(self, number: int, queries: Queries, top_k: int) -> Candidates:
        """Ids and scores (q, k) of the best images of a segment."""
        segment, alive = self._segments[number], self.snapshot.alive[number]
        idf, words = self.snapshot.weights.idf, queries.aggregates.words
        # summed query by query, as the compiled search does: another order has other bits
        norms = [float(idf[words[a:b]].sum()) for a, b in pairwise(queries.bounds)]
        scores = normalise(self._sums(segment, queries), segment.norms, self._tensor(norms))
        best, found = best_first(scores, segment.alive, min(top_k, int(np.count_nonzero(alive))))
        return self.snapshot.segments[number].image_ids[best.cpu().numpy()], found.cpu().numpy()

    def _sums(self, segment: DeviceSegment, queries: Queries) -> Tensor:
        """(q, n) float32, contributions of common words."""
        images = len(segment.norms)
        sums = torch.zeros(queries.count * images, device=self.device)
        lists = Lists.of(queries, segment.offsets)
        for chunk in lists.chunks(self._memory // 2 // segment.bytes_at_work):
            places, added = self._postings(chunk, segment, queries)
            for start, stop in chunk.steps():
                sums.index_add_(0, places[start:stop], added[start:stop])
        return sums.view(queries.count, images)

    def _postings(
        self, lists: Lists, segment: DeviceSegment, queries: Queries
    ) -> tuple[Tensor, Tensor]:
        """Where in the sums (m,) int64 each posting counts, and what it adds (m,) float32."""
        asked = queries.aggregates
        weights = self.snapshot.weights.idf[asked.words[lists.rows]].astype(np.float32)
        lengths = self._tensor(np.diff(lists.before))
        own = torch.repeat_interleave(lengths, output_size=int(lists.before[-1]))
        postings = torch.arange(len(own), device=self.device)
        postings += self._tensor(lists.begins - lists.before[:-1])[own]
        added = contributions(
            self._tensor(weights)[own],
            self._tensor(_signed(asked.codes[lists.rows]))[own],
            segment.codes[postings],
            queries.selectivity,
            queries.dim,
        )
        first = self._tensor(asked.images[lists.rows] * len(segment.norms))
        return first[own] + segment.images[postings], added

    def _tensor(self, values: npt.ArrayLike) -> Tensor:
        return torch.tensor(np.asarray(values), device=self.device)


def _signed(codes: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    # torch has few operations on unsigned numbers; the bits are the same
    return codes.view(np.int64) if codes.dtype == np.uint64 else codes
