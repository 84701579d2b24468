"""An inverted file searched by several Ray actors, each of which maps some of its segments."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import ray

from retrieval_core.config import RayConfig
from retrieval_core.errors import IndexInputError
from retrieval_core.index import AsmkIndex
from retrieval_core.index.inputs import Float32, Int64, check_top_k
from retrieval_core.index.parts import PartSearcher, SavedPart, balanced
from retrieval_core.index.ranking import (
    QUERIES_AT_ONCE,
    Candidates,
    Queries,
    Selectivity,
    join,
)
from tasks.cluster import CORES_PER_WORKER, SHARD_RETRIES, connect, resource, users_errors

# of one actor, in Ray's store at a time; 12 bytes each
CANDIDATES_AT_ONCE = 2_000_000
# what the actors work on while the driver joins
BLOCKS_AHEAD = 3


class ScatteredIndex:
    """A saved index, or a union of saved ones, searched by Ray actors as one process would.

    It goes on with the state that was opened while others change the index on disk, as long as
    that state's files are there. An actor that dies is started again and repeats what it was at.
    As a context manager it ends its actors.
    """

    def __init__(
        self, index: AsmkIndex, config: RayConfig, *, actors: int = 0, cores: int = 1
    ) -> None:
        """Start the actors and let each open its segments.

        Args:
            index: as `AsmkIndex.open` or `open_index` gave it, or just saved; its segments are cut
                into parts of about equally many postings.
            config: the Ray cluster.
            actors: at most so many, at most one per segment; 0: one per core of the cluster.
            cores: that each actor searches with.

        Raises:
            IndexInputError: a number of actors or cores that cannot be, or an index in memory only.
            ConcurrentWriteError: a file of the index was deleted meanwhile: open it again.
        """
        if actors < 0 or cores < 1:
            raise IndexInputError(
                f"expected 0 or more actors of 1 or more cores, found {actors} of {cores}"
            )
        self._index, self._snapshot = index, index.snapshot
        connect(config)
        parts = balanced(self._snapshot, actors or max(1, int(resource("CPU")) // cores))
        saved = [SavedPart.of(self._snapshot.part(numbers)) for numbers in parts]
        searcher = ray.remote(PartSearcher).options(
            num_cpus=cores if cores > 1 else CORES_PER_WORKER,
            max_restarts=-1,
            max_task_retries=SHARD_RETRIES,
        )
        self._actors: list[Any] = [searcher.remote(part, cores) for part in saved]
        try:
            with users_errors():
                ray.get([actor.open.remote() for actor in self._actors])
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._snapshot)

    def __enter__(self) -> "ScatteredIndex":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the actors."""
        while self._actors:
            ray.kill(self._actors.pop())

    def search(
        self,
        descriptors: npt.ArrayLike,
        image_index: npt.ArrayLike,
        *,
        top_k: int | None = None,
        multiple_assignment: int = 5,
        alpha: float = 3.0,
        threshold: float = 0.0,
        queries: int | None = None,
    ) -> tuple[Int64, Float32]:
        """As `AsmkIndex.search`, with the same result to the last bit.

        Raises:
            IndexInputError: unusable descriptors or settings.
            ConcurrentWriteError: an actor died, and the files that it had open are deleted.
        """
        k = check_top_k(top_k, len(self))
        asked = self._index.aggregate_queries(
            descriptors,
            image_index,
            multiple_assignment=multiple_assignment,
            selectivity=Selectivity(alpha, threshold),
            queries=queries,
        )
        ids, scores = np.empty((asked.count, k), np.int64), np.empty((asked.count, k), np.float32)
        for start, parts in self._blocks(asked, k):
            for row in range(len(parts[0][0])):
                found = join(((part[row], own[row]) for part, own in parts), k)
                ids[start + row], scores[start + row] = found
        return ids, scores

    def _blocks(self, queries: Queries, top_k: int) -> Iterator[tuple[int, list[Candidates]]]:
        """First query and every part's candidates of a block of queries, block after block."""
        step = max(1, min(QUERIES_AT_ONCE, CANDIDATES_AT_ONCE // max(1, top_k)))
        asked = ray.put(queries)
        at_work: deque[tuple[int, list[Any]]] = deque()
        with users_errors():
            for start in range(0, queries.count, step):
                stop = min(start + step, queries.count)
                calls = [actor.rank.remote(asked, start, stop, top_k) for actor in self._actors]
                at_work.append((start, calls))
                if len(at_work) == BLOCKS_AHEAD:
                    start_of, results = at_work.popleft()
                    yield start_of, ray.get(results)
            for start_of, results in at_work:
                yield start_of, ray.get(results)
