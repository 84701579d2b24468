"""Protocols and reports."""

from retrieval_core.evaluation.average_precision import AveragePrecision, mean_average_precision
from retrieval_core.evaluation.bootstrap import (
    Difference,
    bootstrap_difference,
    bootstrap_interval,
)
from retrieval_core.evaluation.precision_recall import interpolated_precision, precision_recall
from retrieval_core.evaluation.recall import (
    CutAveragePrecision,
    Recall,
    RPrecision,
    label_ground_truth,
    mean_average_precision_at_k,
    mean_average_precision_at_r,
    r_precision,
    recall_at_k,
)
from retrieval_core.evaluation.report import Scores, evaluate_ranking
from retrieval_core.evaluation.revisited import revisited_scores

__all__ = [
    "AveragePrecision",
    "CutAveragePrecision",
    "Difference",
    "RPrecision",
    "Recall",
    "Scores",
    "bootstrap_difference",
    "bootstrap_interval",
    "evaluate_ranking",
    "interpolated_precision",
    "label_ground_truth",
    "mean_average_precision",
    "mean_average_precision_at_k",
    "mean_average_precision_at_r",
    "precision_recall",
    "r_precision",
    "recall_at_k",
    "revisited_scores",
]
