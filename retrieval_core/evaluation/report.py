"""All scores of one ranking by its dataset's protocol."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_core.config import EvaluationConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.errors import RankingError
from retrieval_core.evaluation.average_precision import AveragePrecision, mean_average_precision
from retrieval_core.evaluation.bootstrap import bootstrap_interval
from retrieval_core.evaluation.recall import mean_average_precision_at_k, recall_at_k
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
            medium and hard. A setup in which no query has right answers is left out.
        intervals: bootstrap interval over queries of the metrics that are means over queries.
        average_precisions: per setup ("easy", "medium", "hard"; "all" under the old protocol)
            and query, None for a query without right answers.
        query_ids: image ids of the queries.
        excluded_queries: those without any right answer, left out of every mean.
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    average_precisions: dict[str, list[float | None]]
    query_ids: list[int]
    excluded_queries: list[int]

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
        values |= _per_query(scores, "" if setup == ALL else f"_{setup}", config.kappas)
    values = {name: v for name, v in values.items() if not np.isnan(v).all()}
    metrics = {name: float(np.nanmean(v)) for name, v in values.items()}
    metrics["map_over_labels"] = _map_over_labels(main.average_precisions, catalogue)
    return Scores(
        metrics=metrics,
        intervals=_intervals(values, config, seed),
        average_precisions={
            s: _nullable(scores.average_precisions) for s, scores in setups.items()
        },
        query_ids=query_ids.tolist(),
        excluded_queries=query_ids[main.excluded].tolist(),
    )


def ranks_by_truth(ranking: Ranking, catalogue: Catalogue) -> npt.NDArray[np.int64]:
    """Ranked ids with one row per entry of `catalogue.truth`; only -1 where none was ranked.

    Raises:
        RankingError: a ranked query is not in the catalogue.
    """
    row_of = {truth.query: row for row, truth in enumerate(catalogue.truth)}
    if unknown := [int(q) for q in ranking.query_ids if int(q) not in row_of]:
        raise RankingError(f"queries {unknown[:5]} are not among those of {catalogue.name}")
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
    """Scores of each setup, and recall@k and mAP@k per query in the main one."""
    truth, kappas = truth_by_setup(catalogue), config.kappas
    setups = {name: mean_average_precision(ranks, t, kappas) for name, t in truth.items()}
    main = truth[MAIN if catalogue.revisited else ALL]
    recall = recall_at_k(ranks, main, kappas)
    others = {f"recall@{k}": recall.hits[:, i] for i, k in enumerate(kappas)}
    if config.map_at is not None:
        cut = mean_average_precision_at_k(ranks, main, config.map_at)
        others[f"map@{config.map_at}"] = cut.average_precisions
    return setups, others


def _per_query(scores: AveragePrecision, suffix: str, kappas: Sequence[int]) -> dict[str, Float64]:
    precisions = {f"precision@{k}{suffix}": scores.precisions[:, i] for i, k in enumerate(kappas)}
    return {f"map{suffix}": scores.average_precisions, **precisions}


def _map_over_labels(average_precisions: Float64, catalogue: Catalogue) -> float:
    """Mean over labels of the mean over a label's queries: big landmarks count like small ones."""
    label_of = {row.image_id: row.label for row in catalogue.rows}
    by_label: dict[str, list[float]] = {}
    for truth, value in zip(catalogue.truth, average_precisions, strict=True):
        if not math.isnan(value):
            by_label.setdefault(label_of[truth.query], []).append(float(value))
    return float(np.mean([np.mean(values) for values in by_label.values()]))


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
