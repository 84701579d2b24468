"""All scores of one ranking by its dataset's protocol."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_core.config import EvaluationConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.errors import RankingError
from retrieval_core.evaluation.average_precision import AveragePrecision, precision_scores
from retrieval_core.evaluation.bootstrap import bootstrap_interval
from retrieval_core.evaluation.depth import kappas
from retrieval_core.evaluation.recall import (
    cut_precision_scores,
    r_precision_scores,
    recall_scores,
)
from retrieval_core.evaluation.relevance import judge
from retrieval_core.evaluation.revisited import SETUPS, setup_truth
from retrieval_core.search.ranking import Ranking

Float64 = npt.NDArray[np.float64]

# the only setup of the old protocol, which does not tell easy from hard
ALL = "all"
MAIN = "medium"


@dataclass(frozen=True)
class Scores:
    """Scores of one ranking, all in [0, 1].

    Attributes:
        metrics: "map" (of the setup medium under the revisited protocol), "map_over_labels",
            "recall@k", "map@k" where it is asked for, and, under the old protocol,
            "precision@k"; under the revisited one "map_easy", "precision@k_easy" and so on for
            medium and hard. A setup in which no query has right answers is left out. Where easy
            and hard answers are not told apart, there are "precision@r" (R-precision) and "map@r",
            too; "nmi" where it is asked for.
        intervals: bootstrap interval over queries of the metrics that are means over queries.
        average_precisions: per setup ("easy", "medium", "hard"; "all" under the old protocol)
            and query, None for a query without right answers.
        query_ids: image ids of the queries.
        excluded_queries: those without any right answer, left out of every mean.
        query_scores: per metric and query, what "recall@k", "map@k", "precision@r" and "map@r" are
            means of; only where easy and hard answers are not told apart.
        by_label: per label of the queries, "queries", their number, and the means over them of
            "map" and of the metrics in `query_scores`.
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    average_precisions: dict[str, list[float | None]]
    query_ids: list[int]
    excluded_queries: list[int]
    query_scores: dict[str, list[float | None]] = field(default_factory=dict)
    by_label: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def by_query(self) -> dict[str, list[float | None]]:
        """`average_precisions` and `query_scores`, by setup or metric."""
        return {**self.average_precisions, **self.query_scores}

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @staticmethod
    def from_dict(content: dict[str, Any]) -> "Scores":
        """The scores of `to_dict`, also after a way through JSON."""
        intervals = {name: (low, high) for name, (low, high) in content["intervals"].items()}
        return Scores(**{**content, "intervals": intervals})


def evaluate_ranking(
    ranking: Ranking, catalogue: Catalogue, config: EvaluationConfig, *, seed: int = 0
) -> Scores:
    """Score a ranking of the catalogue's queries.

    A query of the catalogue that was not ranked (its image was unreadable, say) counts as a
    ranking without any right answer.

    Args:
        ranking: database images of each query.
        catalogue: ground truth and labels.
        config: kappas and bootstrap settings.
        seed: of the bootstrap.

    Raises:
        RankingError: a ranked query is not in the catalogue, or no query has a right answer.
    """
    ranks = ranks_by_truth(ranking, catalogue)
    setups, others = _score(ranks, catalogue, config)
    main = setups[MAIN if catalogue.revisited else ALL]
    query_ids = np.array([truth.query for truth in catalogue.truth], np.int64)
    if math.isnan(main.map):
        raise RankingError(f"{catalogue.name}: no query has a right answer in the database")
    values = {"map": main.average_precisions, **others}
    for setup, scores in setups.items():
        suffix = "" if setup == ALL else f"_{setup}"
        values |= _per_query(scores, suffix, kappas(catalogue, config))
    values = {name: v for name, v in values.items() if not np.isnan(v).all()}
    metrics = {name: float(np.nanmean(v)) for name, v in values.items()}
    by_label = _by_label({"map": main.average_precisions, **others}, catalogue)
    metrics["map_over_labels"] = float(np.mean([label["map"] for label in by_label.values()]))
    return Scores(
        metrics=metrics,
        intervals=_intervals(values, config, seed),
        average_precisions={
            s: _nullable(scores.average_precisions) for s, scores in setups.items()
        },
        query_ids=query_ids.tolist(),
        excluded_queries=query_ids[main.excluded].tolist(),
        query_scores={}
        if catalogue.revisited
        else {name: _nullable(scores) for name, scores in others.items()},
        by_label=by_label,
    )


def ranks_by_truth(ranking: Ranking, catalogue: Catalogue) -> npt.NDArray[np.int64]:
    """Ranked ids with one row per entry of `catalogue.truth`; only -1 where none was ranked.

    Raises:
        RankingError: a ranked query is not in the catalogue.
    """
    row_of = {truth.query: row for row, truth in enumerate(catalogue.truth)}
    if unknown := [int(q) for q in ranking.query_ids if int(q) not in row_of]:
        raise RankingError(f"queries {unknown[:5]} are not among those of {catalogue.name}")
    if list(row_of) == ranking.query_ids.tolist():
        return ranking.ids  # which may be gigabytes
    ranks = np.full((len(row_of), ranking.ids.shape[1]), -1, np.int64)
    ranks[[row_of[int(q)] for q in ranking.query_ids]] = ranking.ids
    return ranks


def truth_by_setup(catalogue: Catalogue) -> dict[str, list[dict[str, npt.NDArray[np.int64]]]]:
    """Ground truth as `mean_average_precision` takes it, per setup of the dataset's protocol."""
    truth = [{"easy": t.easy, "hard": t.hard, "junk": t.junk} for t in catalogue.truth]
    # easy holds every right answer of the old protocol, so that medium scores it
    names = {setup: setup for setup in SETUPS} if catalogue.revisited else {ALL: MAIN}
    return {name: setup_truth(truth, setup) for name, setup in names.items()}


def _score(
    ranks: npt.NDArray[np.int64], catalogue: Catalogue, config: EvaluationConfig
) -> tuple[dict[str, AveragePrecision], dict[str, Float64]]:
    """Scores of each setup, and those of recognition per query in the main one."""
    at = kappas(catalogue, config)
    judged = {name: judge(ranks, truth) for name, truth in truth_by_setup(catalogue).items()}
    setups = {name: precision_scores(relevance, at) for name, relevance in judged.items()}
    main = judged[MAIN if catalogue.revisited else ALL]
    recall = recall_scores(main, at)
    others = {f"recall@{k}": recall.hits[:, i] for i, k in enumerate(at)}
    if config.map_at is not None:
        cut = cut_precision_scores(main, config.map_at)
        others[f"map@{config.map_at}"] = cut.average_precisions
    if not catalogue.revisited:
        others["map@r"] = cut_precision_scores(main, None).average_precisions
        others["precision@r"] = r_precision_scores(main).precisions
    return setups, others


def _per_query(scores: AveragePrecision, suffix: str, at: Sequence[int]) -> dict[str, Float64]:
    precisions = {f"precision@{k}{suffix}": scores.precisions[:, i] for i, k in enumerate(at)}
    return {f"map{suffix}": scores.average_precisions, **precisions}


def _by_label(values: dict[str, Float64], catalogue: Catalogue) -> dict[str, dict[str, float]]:
    """Means over the queries of each label that have right answers, labels in their order."""
    label_of = {row.image_id: row.label for row in catalogue.rows}
    members: dict[str, list[int]] = {}
    for number, truth in enumerate(catalogue.truth):
        if not math.isnan(values["map"][number]):
            members.setdefault(label_of[truth.query], []).append(number)
    means = {
        label: {name: float(scores[found].mean()) for name, scores in values.items()}
        for label, found in sorted(members.items())
    }
    return {label: {"queries": len(members[label]), **found} for label, found in means.items()}


def _intervals(
    values: dict[str, Float64], config: EvaluationConfig, seed: int
) -> dict[str, tuple[float, float]]:
    if not config.bootstrap:
        return {}
    return {
        name: bootstrap_interval(
            scores, resamplings=config.bootstrap, confidence=config.confidence, seed=seed
        )
        for name, scores in values.items()
    }


def _nullable(values: Float64) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in values]
