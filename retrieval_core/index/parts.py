"""A snapshot cut into parts that other processes open, search and send candidates of."""

from dataclasses import dataclass

from retrieval_core.errors import IndexInputError
from retrieval_core.index.ranking import Candidates, Queries, rank
from retrieval_core.index.segment import Mask, Saved
from retrieval_core.index.segment_files import open_segment
from retrieval_core.index.snapshot import Snapshot, Weights


@dataclass(frozen=True, eq=False)
class SavedPart:
    """Some of the segments of a snapshot, by their files.

    What depends on the whole snapshot, or may change with the next version of the index, is
    inside: no process that opens a part reads more than the part's posting lists.

    Attributes:
        segments: where they are.
        alive: per segment (n,) bool, False where an image was removed.
        weights: idf of the whole snapshot, norms of these segments.
        use_idf: whether words are weighed.
    """

    segments: tuple[Saved, ...]
    alive: tuple[Mask, ...]
    weights: Weights
    use_idf: bool

    @staticmethod
    def of(part: Snapshot) -> "SavedPart":
        """What another process needs to open these segments.

        Raises:
            IndexInputError: a segment is in memory only.
        """
        saved = tuple(segment.saved for segment in part.segments if segment.saved is not None)
        if len(saved) < len(part.segments):
            raise IndexInputError(
                "the index has images that are in memory only: save it before others open it"
            )
        return SavedPart(saved, part.alive, part.weights, part.use_idf)

    def open(self) -> Snapshot:
        """Map the segments into memory (errors as `open_segment`)."""
        segments = tuple(open_segment(saved) for saved in self.segments)
        return Snapshot(segments, self.alive, self.use_idf, self.weights)


class PartSearcher:
    """Ranks the images of a part, which is mapped once; what a process of its own runs."""

    def __init__(self, part: SavedPart, cores: int) -> None:
        self._part = part
        self._cores = cores
        self._opened: Snapshot | None = None

    def open(self) -> None:
        """Map the part into memory, as the first search else does (errors as `SavedPart.open`)."""
        self._snapshot()

    def rank(self, queries: Queries, start: int, stop: int, top_k: int) -> Candidates:
        """The best images of the part for the queries from `start` to before `stop`."""
        return rank(self._snapshot(), queries.block(start, stop), top_k, threads=self._cores)

    def _snapshot(self) -> Snapshot:
        if self._opened is None:
            self._opened = self._part.open()
        return self._opened


def balanced(snapshot: Snapshot, count: int) -> list[list[int]]:
    """Cut a snapshot's segments into parts of about equally many postings.

    Args:
        snapshot: to cut.
        count: parts, >= 1; fewer where there are fewer segments.

    Returns:
        Positions of the segments of each part, ascending.
    """
    weights = [segment.weight for segment in snapshot.segments]
    parts: list[list[int]] = [[] for _ in range(min(count, len(weights)))]
    # the heaviest first, each to the part that has least
    for number in sorted(range(len(weights)), key=lambda n: (-weights[n], n)):
        least = min(parts, key=lambda part: (sum(weights[n] for n in part), len(part)))
        least.append(number)
    return [sorted(part) for part in parts]
