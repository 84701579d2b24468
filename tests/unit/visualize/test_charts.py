import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from retrieval_core.visualize import precisions_chart, scores_chart, training_curves
from retrieval_core.visualize.average_precision import (
    changed_queries,
    extreme_queries,
    known_precisions,
    paired_difference,
)
from retrieval_core.visualize.curves import ScorePoint
from retrieval_core.visualize.theme import DARK, LIGHT, to_png


def test_training_shows_loss_and_validation(history):
    loss, validation = training_curves(history, LIGHT).axes
    assert loss.lines[0].get_ydata() == pytest.approx([1, 1 / 2, 1 / 3])
    assert validation.lines[0].get_ydata() == pytest.approx([60, 70, 80])
    assert "best 80.0" in [text.get_text() for text in validation.texts]


def test_training_without_validation_shows_the_loss_alone(history):
    figure = training_curves([{**e, "validation_map": None} for e in history], LIGHT)
    assert len(figure.axes) == 1


def test_scores_of_one_label_share_a_row():
    points = [
        ScorePoint("local", 0.5, (0.4, 0.6), before=True),
        ScorePoint("local", 0.7, None, before=False),
        ScorePoint("global", 0.3, (0.2, 0.4), before=False),
    ]
    (axis,) = scores_chart(points, LIGHT).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["local", "global"]
    assert [text.get_text() for text in axis.texts] == ["50.0", "70.0", "30.0"]


def test_precisions_are_sorted_and_averaged(make_run):
    before, after = make_run("asmk", "before", 2).scores, make_run("asmk", "after", 5).scores
    (axis,) = precisions_chart(before, after, LIGHT).axes
    _, end = (collection.get_offsets() for collection in axis.collections[1:])
    assert np.asarray(end)[:, 1] == pytest.approx(sorted(end[:, 1]))
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels[1] == f"after, mean {100 * after.metrics['map']:.1f}"


def test_precisions_without_before(make_run):
    (axis,) = precisions_chart(None, make_run("asmk", "only", 5).scores, DARK).axes
    assert axis.get_legend().get_texts()[0].get_text().startswith("mean")


def test_extremes_and_gains(make_run):
    before, after = make_run("asmk", "before", 2).scores, make_run("asmk", "after", 5).scores
    assert extreme_queries(after, 2, best=True) == [0, 1]
    assert extreme_queries(after, 1, best=False) == [5]
    assert changed_queries(before, after, 9, up=True) == [2, 3, 4]
    assert changed_queries(before, after, 9, up=False) == []
    assert changed_queries(after, before, 2, up=False) == [2, 3]
    assert set(known_precisions(after)) == set(range(6))


def test_the_paired_difference_is_that_of_the_means(make_run):
    before, after = make_run("asmk", "before", 2).scores, make_run("asmk", "after", 5).scores
    found = paired_difference(before, after, "all", confidence=0.95, seed=0)
    assert found.mean == pytest.approx(after.metrics["map"] - before.metrics["map"])
    assert found.low <= found.mean <= found.high
    assert found == paired_difference(before, after, "all", confidence=0.95, seed=0)
    assert paired_difference(before, after, "hard", confidence=0.95, seed=0) is None


def test_charts_leave_no_global_state_and_repeat(history):
    first, second = (to_png(training_curves(history, LIGHT)) for _ in range(2))
    assert first == second
    assert plt.get_fignums() == []
    assert Image.open(io.BytesIO(first)).format == "PNG"
