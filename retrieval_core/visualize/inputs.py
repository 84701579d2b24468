"""What a report is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from retrieval_core.artifacts import ArtifactRef
from retrieval_core.config import FeaturesConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.evaluation.protocol import Remark
from retrieval_core.evaluation.report import Scores
from retrieval_core.index import Codebook
from retrieval_core.models import RetrievalModel
from retrieval_core.search.ranking import Ranking

Phase = Literal["before", "after", "only"]
Descriptor = Literal["asmk", "global", "processed"]

DESCRIPTORS: dict[str, str] = {
    "asmk": "Local descriptors, ASMK",
    "global": "Global descriptor",
    "processed": "Global descriptor, post-processed",
}
"""In words, in the order of a report."""


@dataclass(frozen=True)
class ScoredRanking:
    """A ranking of the test queries and its scores.

    Attributes:
        name: unique among the runs, such as "asmk-after".
        phase: before or after training; "only" where nothing was trained.
        descriptor: local descriptors by ASMK, or the global descriptor, or the latter with all
            post-processing.
        scores: all in [0, 1].
        ranking: of every query of the catalogue.
    """

    name: str
    phase: Phase
    descriptor: Descriptor
    scores: Scores
    ranking: Ranking


@dataclass(frozen=True)
class StageTiming:
    """What a stage took.

    Attributes:
        name: of the stage.
        seconds: by the clock.
        cached: whether an earlier run's artifact was used.
        detail: a few words such as "600 images".
    """

    name: str
    seconds: float
    cached: bool
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Learned:
    """The network behind the final rankings and what was made with it, for pictures of both.

    Attributes:
        model: in evaluation mode.
        features: how its descriptors were extracted.
        image_ids: (N,) int64 images of the map, ascending.
        vectors: (N, D) float32 their global descriptors.
        codebook: visual words, of a network with local descriptors.
        images_per_word: (size,) int64 of the inverted file.
    """

    model: RetrievalModel
    features: FeaturesConfig
    image_ids: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    codebook: Codebook | None = None
    images_per_word: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True)
class ReportInputs:
    """All that the report shows.

    Attributes:
        title: of the experiment.
        config_yaml: fully resolved settings.
        catalogue: dataset that was scored.
        runs: scored rankings, at least one; at most one per descriptor and phase.
        history: an `EpochReport` as a dict per epoch; empty where nothing was trained.
        stages: in the order they ran.
        excluded: image_id, path, reason and, if known, stage of each unusable image.
        artifacts: that the run used or made.
        environment: git commit, versions and hardware by name.
        confidence: of the intervals, in (0, 1).
        remarks: what to know before the scores are compared.
        learned: the final network; None leaves its pictures out.
    """

    title: str
    config_yaml: str
    catalogue: Catalogue
    runs: list[ScoredRanking]
    history: list[dict[str, Any]]
    stages: list[StageTiming]
    excluded: list[dict[str, Any]]
    artifacts: list[ArtifactRef]
    environment: dict[str, str]
    confidence: float = 0.95
    remarks: Sequence[Remark] = ()
    learned: Learned | None = None


@dataclass(frozen=True)
class Comparison:
    """The rankings of one descriptor."""

    descriptor: Descriptor
    before: ScoredRanking | None
    final: ScoredRanking

    @property
    def title(self) -> str:
        """The descriptor in words."""
        return DESCRIPTORS[self.descriptor]


def comparisons(runs: list[ScoredRanking]) -> list[Comparison]:
    """Runs by descriptor, local first; the final one of each and the one it is compared with."""
    found = []
    for descriptor in DESCRIPTORS:
        phases = {run.phase: run for run in runs if run.descriptor == descriptor}
        before = phases.get("before")
        if after := phases.get("after") or phases.get("only"):
            found.append(Comparison(after.descriptor, before, after))
        elif before is not None:
            found.append(Comparison(before.descriptor, None, before))
    return found
