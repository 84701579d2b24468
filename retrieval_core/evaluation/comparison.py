"""Two runs, query by query."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from retrieval_core.errors import RankingError
from retrieval_core.evaluation.bootstrap import (
    Difference,
    bootstrap_difference,
    bootstrap_interval,
)
from retrieval_core.evaluation.report import ALL, Scores
from retrieval_core.evaluation.revisited import SETUPS
from retrieval_core.evaluation.significance import sign_flip_test

Float64 = npt.NDArray[np.float64]
Verdict = Literal["clear gain", "clear loss", "within chance"]

BOOTSTRAP_RESAMPLINGS = 2_000
# changes of average precision that are rounding
TIE = 1e-9


@dataclass(frozen=True, eq=False)
class PairedScores:
    """Scores of the queries that two rankings have in common, by one measure.

    Attributes:
        setup: "easy", "medium", "hard", or "all" under the old protocol, of average precision; or
            another metric of queries, such as "recall@1".
        query_ids: (Q,) int64 queries with right answers that both have, ascending.
        before: (Q,) score in the first run, in [0, 1].
        after: (Q,) in the other run.
        left_out: queries with right answers that only one of them has.
        intervals: bootstrap interval of the mean of `before` and of `after`.
        difference: of the means, with its paired bootstrap interval.
        p_value: of `sign_flip_test`.
        confidence: of the intervals, in (0, 1).
    """

    setup: str
    query_ids: npt.NDArray[np.int64]
    before: Float64
    after: Float64
    left_out: int
    intervals: tuple[tuple[float, float], tuple[float, float]]
    difference: Difference
    p_value: float
    confidence: float

    @property
    def metric(self) -> str:
        """Name of the mean, such as "map_hard"."""
        return metric_of(self.setup)

    @property
    def of_precisions(self) -> bool:
        """Whether the scores are average precisions."""
        return self.setup in (*SETUPS, ALL)

    @property
    def means(self) -> tuple[float, float]:
        """Means before and after."""
        return float(self.before.mean()), float(self.after.mean())

    @property
    def changes(self) -> Float64:
        """(Q,) change of each query's score."""
        return self.after - self.before

    @property
    def counts(self) -> dict[str, int]:
        """How many queries won, tied and lost."""
        changes = self.changes
        return {
            "wins": int((changes > 0).sum()),
            "ties": int((changes == 0).sum()),
            "losses": int((changes < 0).sum()),
        }

    @property
    def verdict(self) -> Verdict:
        """Clear where the paired interval leaves out 0 and the permutation test agrees.

        With few queries the interval alone calls too much clear.
        """
        low, high = self.difference.low, self.difference.high
        if low <= 0 <= high or self.p_value > 1 - self.confidence:
            return "within chance"
        return "clear gain" if low > 0 else "clear loss"

    def extremes(self, count: int, *, wins: bool) -> list[int]:
        """Query ids of the largest gains (or losses), largest first, ties by id."""
        changes = self.changes if wins else -self.changes
        order = np.lexsort((self.query_ids, -changes))
        return [int(self.query_ids[i]) for i in order[:count] if changes[i] > 0]


def metric_of(setup: str) -> str:
    """Name of the mean of a setup's average precisions, such as "map_hard", or of a metric."""
    if setup == ALL:
        return "map"
    return f"map_{setup}" if setup in SETUPS else setup


def compare_scores(
    before: Scores, after: Scores, *, confidence: float = 0.95, seed: int = 0
) -> list[PairedScores]:
    """Pair two rankings of one dataset, per setup and metric in which they share a scored query.

    Args:
        before: of the run that the other is measured against.
        after: of the other run.
        confidence: of the intervals, in (0, 1).
        seed: of the bootstrap and the permutation test.

    Raises:
        RankingError: the protocols differ, or no scored query is common to both.
    """
    old, new = before.average_precisions, after.average_precisions
    if old.keys() != new.keys():
        raise RankingError(
            f"protocols differ: one run was scored as {', '.join(old)}, the other as "
            f"{', '.join(new)}"
        )
    setups = [setup for setup in (*SETUPS, ALL) if setup in old]
    setups += [metric for metric in before.query_scores if metric in after.query_scores]
    pairs = [_pair(before, after, setup, confidence, seed) for setup in setups]
    if not (found := [pair for pair in pairs if pair is not None]):
        raise RankingError("the runs have no scored query in common")
    return found


def _pair(
    before: Scores, after: Scores, setup: str, confidence: float, seed: int
) -> PairedScores | None:
    old, new = _known(before, setup), _known(after, setup)
    queries = sorted(old.keys() & new.keys())
    if not queries:
        return None
    first = np.array([old[query] for query in queries])
    second = np.array([new[query] for query in queries])
    # rounding is no change, for the test as for the eye
    second = np.where(np.abs(second - first) <= TIE, first, second)
    first_interval, second_interval = (
        bootstrap_interval(
            values, resamplings=BOOTSTRAP_RESAMPLINGS, confidence=confidence, seed=seed
        )
        for values in (first, second)
    )
    return PairedScores(
        setup=setup,
        query_ids=np.array(queries, np.int64),
        before=first,
        after=second,
        left_out=len(old.keys() ^ new.keys()),
        intervals=(first_interval, second_interval),
        difference=bootstrap_difference(
            first, second, resamplings=BOOTSTRAP_RESAMPLINGS, confidence=confidence, seed=seed
        ),
        p_value=sign_flip_test(first, second, seed=seed),
        confidence=confidence,
    )


def _known(scores: Scores, setup: str) -> dict[int, float]:
    pairs = zip(scores.query_ids, scores.by_query[setup], strict=True)
    return {query: value for query, value in pairs if value is not None}
