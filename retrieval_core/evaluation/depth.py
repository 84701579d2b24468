"""How much of a ranking the scores of a dataset need."""

from retrieval_core.config import EvaluationConfig
from retrieval_core.data.catalogue import Catalogue, QueryTruth
from retrieval_core.errors import ConfigError

KAPPAS = {
    "cars196": (1, 2, 4, 8),
    "cub200-2011": (1, 2, 4, 8),
    "in-shop": (1, 10, 20, 30),
    "stanford-online-products": (1, 10, 100, 1000),
}
"""Ranks of recall@k by which people compare (arXiv 1511.06452 and others)."""

OTHERS = (1, 5, 10)
LARGEST_RANKING = 500_000_000
"""Ranked images of all queries together, of 12 bytes each."""


def kappas(catalogue: Catalogue, config: EvaluationConfig) -> tuple[int, ...]:
    """The ranks of precision@k and recall@k that are reported."""
    if config.kappas is not None:
        return config.kappas
    usual = KAPPAS.get(catalogue.name, OTHERS)
    return tuple(k for k in usual if config.top_k is None or k <= config.top_k)


def ranking_length(
    catalogue: Catalogue, config: EvaluationConfig, database: int, *, exact: bool = True
) -> int | None:
    """How many images are ranked for each query, junk included; None for all.

    Where all are too many, or the search is approximate and would compare all to rank all, those
    are enough that recall@k, precision@k, mAP@k, R-precision and MAP@R need: their last rank, with
    the junk before it. Average precision, which needs the whole ranking, is then a lower bound;
    where easy and hard answers are told apart it is the score that counts, and nothing is cut.

    Args:
        catalogue: ground truth of the queries.
        config: what is asked for.
        database: number of images that are searched.
        exact: whether every image is compared however few are ranked.

    Raises:
        ConfigError: even that is too much.
    """
    queries = len(catalogue.truth)
    if config.top_k is not None:
        return config.top_k + max((_ignored(t, catalogue) for t in catalogue.truth), default=0)
    if queries * database <= LARGEST_RANKING and (exact or catalogue.revisited):
        return None
    length = database if catalogue.revisited else min(_needed(catalogue, config), database)
    if queries * length > LARGEST_RANKING:
        raise ConfigError(
            f"evaluation.top_k: {queries:,} queries against {database:,} images would have "
            f"{length:,} of them ranked; give the length of a ranking, such as 1000"
        )
    return length


def _needed(catalogue: Catalogue, config: EvaluationConfig) -> int:
    last = max(*kappas(catalogue, config), config.map_at or 1)
    return max(
        max(last, len(truth.easy) + len(truth.hard)) + _ignored(truth, catalogue)
        for truth in catalogue.truth
    )


def _ignored(truth: QueryTruth, catalogue: Catalogue) -> int:
    """The most images of a ranking that do not count: easy answers are junk to the setup hard."""
    others = max(len(truth.easy), len(truth.hard)) if catalogue.revisited else 0
    return len(truth.junk) + others
