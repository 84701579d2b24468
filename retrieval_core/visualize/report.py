"""One self-contained HTML page about an experiment."""

from functools import partial
from typing import Any

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.visualize.average_precision import precisions_chart
from retrieval_core.visualize.curves import scores_chart, training_curves
from retrieval_core.visualize.facts import dataset_facts, in_words, reasons, stage_bars
from retrieval_core.visualize.gallery import ranking_pictures
from retrieval_core.visualize.inputs import Comparison, ReportInputs, comparisons
from retrieval_core.visualize.label_table import label_table
from retrieval_core.visualize.network import network_pictures
from retrieval_core.visualize.pages import render
from retrieval_core.visualize.pictures import Album, Picture
from retrieval_core.visualize.ranking_grid import BLUE, MARKS
from retrieval_core.visualize.recall_curves import recall_chart, recall_curves
from retrieval_core.visualize.scoreboard import ScoreRow, all_scores, score_points, score_rows

REPORT = "report.html"
LISTED_EXCLUSIONS = 200


def build_report(inputs: ReportInputs, directory: ArtifactDirectory, *, seed: int = 0) -> list[str]:
    """Write `report.html`, which needs no other file, and its pictures as PNG.

    Args:
        inputs: all that it shows.
        directory: that gets the files.
        seed: of the paired bootstrap of differences.

    Returns:
        Names of the files, the page first.
    """
    album = Album(directory)
    found = comparisons(inputs.runs)
    rows = score_rows(found, confidence=inputs.confidence, seed=seed)
    page = render(
        REPORT,
        inputs=inputs,
        query_color=BLUE,
        marks=MARKS,
        rows=rows,
        runs=inputs.runs,
        compared=any(row.before is not None for row in rows),
        percent=f"{100 * inputs.confidence:g} %",
        metrics=all_scores(inputs.runs),
        scores=_scores(rows, inputs.confidence, album),
        recall=_recall(inputs, found, album),
        training=_training(inputs, album),
        descriptors=[_descriptor(inputs, comparison, album) for comparison in found],
        network=network_pictures(inputs, found[0], album, seed=seed),
        stages=stage_bars(inputs.stages),
        total=in_words(sum(stage.seconds for stage in inputs.stages)),
        facts=dataset_facts(inputs.catalogue),
        reasons=reasons(inputs.excluded),
        listed=inputs.excluded[:LISTED_EXCLUSIONS],
    )
    directory.write_bytes(REPORT, page.encode())
    return [REPORT, *album.names]


def _scores(rows: list[ScoreRow], confidence: float, album: Album) -> Picture:
    points = score_points(rows)
    values = "; ".join(
        f"{p.label}{' before training' if p.before else ''}: {100 * p.value:.1f}" for p in points
    ).replace("\n", ", ")
    return album.chart(
        "scores",
        partial(scores_chart, points),
        title=f"Scores with their {100 * confidence:g} % intervals",
        alt=f"Scores in percent. {values}.",
    )


def _recall(inputs: ReportInputs, found: list[Comparison], album: Album) -> Picture:
    curves = recall_curves(inputs.catalogue, found)
    halves = "; ".join(
        f"{curve.label}, {setup}: {100 * values[len(values) // 2]:.1f}"
        for curve in curves
        for setup, values in curve.precision.items()
    )
    return album.chart(
        "precision-recall",
        partial(recall_chart, curves),
        title="Precision at recall",
        alt=f"Precision against recall, means over queries. At half of the recall: {halves}.",
    )


def _training(inputs: ReportInputs, album: Album) -> Picture | None:
    if not inputs.history:
        return None
    losses = [epoch["loss"] for epoch in inputs.history if epoch["loss"] is not None]
    course = f"from {losses[0]:.4g} to {losses[-1]:.4g}" if losses else "not measured"
    return album.chart(
        "training",
        partial(training_curves, inputs.history),
        title="Training",
        alt=f"Loss per epoch, {course}, and validation mAP.",
    )


def _descriptor(inputs: ReportInputs, comparison: Comparison, album: Album) -> dict[str, Any]:
    before = None if comparison.before is None else comparison.before.scores
    precisions = album.chart(
        f"average-precision-{comparison.descriptor}",
        partial(precisions_chart, before, comparison.final.scores),
        title="Every query",
        alt=f"{comparison.title}: average precision of each query, sorted.",
    )
    grids = ranking_pictures(inputs.catalogue, comparison, album)
    labels = label_table(comparison.final.scores)
    return {
        "title": comparison.title, "precisions": precisions, "grids": grids, "labels": labels,
    }  # fmt: skip
