"""The revisited Oxford and Paris protocol (arXiv 1803.11285)."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from retrieval_core.evaluation.average_precision import AveragePrecision, mean_average_precision

# setup -> lists that hold right answers, lists that do not count
SETUPS = {
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}


def revisited_scores(
    ranks: npt.ArrayLike,
    ground_truth: Sequence[Mapping[str, npt.ArrayLike]],
    kappas: Sequence[int] = (1, 5, 10),
) -> dict[str, AveragePrecision]:
    """Score rankings in the setups easy, medium and hard.

    Args:
        ranks: (Q, N) whole numbers, image ids best first; -1 stands for no image.
        ground_truth: per query {"easy": ids, "hard": ids, "junk": ids}.
        kappas: ranks k >= 1 of precision@k.

    Returns:
        `mean_average_precision` of each setup.

    Raises:
        RankingError: shapes or numbers of queries do not fit.
    """
    return {
        setup: mean_average_precision(ranks, setup_truth(ground_truth, setup), kappas)
        for setup in SETUPS
    }


def setup_truth(
    ground_truth: Sequence[Mapping[str, npt.ArrayLike]], setup: str
) -> list[dict[str, npt.NDArray[np.int64]]]:
    """Ground truth of one setup as `mean_average_precision` takes it."""
    right, ignored = SETUPS[setup]
    return [
        {"ok": _joined(truth, right), "junk": _joined(truth, ignored)} for truth in ground_truth
    ]


def _joined(truth: Mapping[str, npt.ArrayLike], names: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.asarray(truth[name], np.int64).reshape(-1) for name in names])
