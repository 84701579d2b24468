"""Experiments side by side: what was set differently, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retrieval_core.errors import RankingError
from retrieval_core.evaluation.comparison import PairedScores, compare_scores
from retrieval_core.evaluation.report import Scores
from retrieval_core.search.ranking import Ranking

ABSENT = None
UNCOMPARED = {"name", "runtime"}
"""Sections of a configuration that tell runs apart by name, or where they ran."""


@dataclass(frozen=True, eq=False)
class ScoredDescriptor:
    """What one descriptor of a run achieved."""

    scores: Scores
    ranking: Ranking


@dataclass(frozen=True, eq=False)
class ReviewedRun:
    """A finished run.

    Attributes:
        name: as people know it.
        source: where it was found.
        digest: of the dataset it was scored on.
        settings: by nested names; those that are not known are left out.
        descriptors: of its final network: "asmk", "global" or "processed".
    """

    name: str
    source: str
    digest: str
    settings: Mapping[str, Any]
    descriptors: Mapping[str, ScoredDescriptor]


@dataclass(frozen=True, eq=False)
class Pairing:
    """A run against the first one, by one descriptor.

    Attributes:
        descriptor: "asmk", "global" or "processed".
        number: of the run, >= 1; the first is 0.
        setups: in the order of the protocol, at least one.
    """

    descriptor: str
    number: int
    setups: list[PairedScores]

    @property
    def main(self) -> PairedScores:
        """The setup of the headline: medium where difficulties are told apart."""
        return next((pair for pair in self.setups if pair.setup == "medium"), self.setups[0])


@dataclass(frozen=True, eq=False)
class Review:
    """Runs, every later one paired with the first.

    Attributes:
        runs: at least two.
        pairings: by descriptor, then run.
        differences: per dotted setting that differs its value in each run, None where unknown.
        confidence: of the intervals.
    """

    runs: list[ReviewedRun]
    pairings: list[Pairing]
    differences: dict[str, list[Any]]
    confidence: float

    def letter(self, number: int) -> str:
        """Short name of a run: A for the first."""
        return chr(ord("A") + number)


def review_runs(runs: Sequence[ReviewedRun], *, confidence: float = 0.95, seed: int = 0) -> Review:
    """Compare runs with the first one.

    Args:
        runs: 2 to 26, scored on the same dataset by the same protocol.
        confidence: of the intervals, in (0, 1).
        seed: of the bootstrap and the permutation test.

    Raises:
        RankingError: another number of runs, datasets or protocols that differ, or no descriptor
            or query in common.
    """
    if not 2 <= len(runs) <= 26:
        raise RankingError(f"expected 2 to 26 runs, found {len(runs)}")
    first, *others = runs
    for other in others:
        _require_comparable(first, other)
    pairings = [
        Pairing(name, number, _paired(first, other, name, confidence, seed))
        for name in first.descriptors
        for number, other in enumerate(others, 1)
        if name in other.descriptors
    ]
    differences = setting_differences([run.settings for run in runs])
    return Review(list(runs), pairings, differences, confidence)


def setting_differences(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Per dotted name, the values of settings of which runs know more than one."""
    flat = [dict(_flatten(settings)) for settings in runs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    differing = {}
    for name in names:
        known = [settings[name] for settings in flat if name in settings]
        if any(value != known[0] for value in known[1:]):
            differing[name] = [settings.get(name, ABSENT) for settings in flat]
    return differing


def _require_comparable(first: ReviewedRun, other: ReviewedRun) -> None:
    if first.digest != other.digest:
        raise RankingError(
            f"{first.name} and {other.name} were scored on different datasets: their digests are "
            f"{first.digest} and {other.digest}; compare runs of the same dataset"
        )
    if not first.descriptors.keys() & other.descriptors.keys():
        raise RankingError(
            f"{first.name} and {other.name} have no descriptor in common: "
            f"{', '.join(first.descriptors)} and {', '.join(other.descriptors)}"
        )


def _paired(
    first: ReviewedRun, other: ReviewedRun, descriptor: str, confidence: float, seed: int
) -> list[PairedScores]:
    before, after = (run.descriptors[descriptor].scores for run in (first, other))
    try:
        return compare_scores(before, after, confidence=confidence, seed=seed)
    except RankingError as error:
        raise RankingError(
            f"{first.name} and {other.name} on the dataset {first.digest}: {error}"
        ) from None


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat += _flatten(value, f"{prefix}{name}.")
        else:
            flat.append((f"{prefix}{name}", value))
    return flat
