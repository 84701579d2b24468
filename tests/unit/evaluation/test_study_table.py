import numpy as np
import pytest

from retrieval_core.evaluation.comparison import compare_scores
from retrieval_core.evaluation.report import Scores
from retrieval_core.evaluation.study import ScoredRow, StudyTable, score_lines

QUERIES = 10
LOW, HIGH = np.linspace(0.1, 0.5, QUERIES), np.linspace(0.2, 0.6, QUERIES)


def scores(precisions, setup="all", **metrics):
    known = {"map": float(np.mean(precisions)), **metrics}
    interval = {"map": (0.0, 1.0)}
    return Scores(known, interval, {setup: list(precisions)}, list(range(len(precisions))), [])


def row(name, found, descriptor="global", dataset="d1"):
    return ScoredRow(name, descriptor, found, 8, 1.5, {"dataset": dataset})


def test_rows_are_paired_with_the_first_as_two_runs_are():
    first, second, third = score_lines(
        [row("a", scores(LOW)), row("b", scores(HIGH)), row("c", scores(LOW))], seed=3
    )
    (pair,) = compare_scores(scores(LOW), scores(HIGH), seed=3)
    cell = second.cells["map"]
    assert (cell.difference, cell.p_value) == (pair.difference, pair.p_value)
    assert cell.verdict == "clear gain"
    assert third.cells["map"].verdict == "within chance"
    assert first.cells["map"].difference is first.cells["map"].verdict is None
    assert (second.dimensions, second.training_seconds) == (8, 1.5)


def test_the_best_of_each_score_is_marked_and_so_are_its_equals():
    lines = score_lines(
        [
            row("a", scores(LOW, nmi=0.9)),
            row("b", scores(HIGH, nmi=0.1)),
            row("c", scores(HIGH)),
        ]
    )
    assert [line.cells["map"].best for line in lines] == [False, True, True]
    assert [line.cells["nmi"].best for line in lines[:2]] == [True, False]
    assert "nmi" not in lines[2].cells


def test_descriptors_are_paired_with_their_own():
    lines = score_lines(
        [
            row("a", scores(LOW), "asmk"),
            row("a", scores(HIGH), "global"),
            row("b", scores(HIGH), "global"),
            row("b", scores(HIGH), "processed"),
        ]
    )
    changes = [line.cells["map"].difference for line in lines]
    assert [change and change.mean for change in changes] == [None, None, 0.0, None]


@pytest.mark.parametrize(
    "other",
    [
        row("b", scores(HIGH), dataset="d2"),
        row("b", scores(HIGH, setup="medium")),
        row("b", Scores({"map": 0.9}, {}, {"all": [0.9]}, [77], [])),
    ],
    ids=["another dataset", "another protocol", "other queries"],
)
def test_what_cannot_be_paired_is_in_the_table_without_a_difference(other):
    _, line = score_lines([row("a", scores(LOW)), other])
    assert line.cells["map"].best
    assert line.cells["map"].difference is None


def test_a_score_on_another_dataset_is_not_better():
    lines = score_lines([row("a", scores(LOW)), row("b", scores(HIGH), dataset="d2")])
    assert all(line.cells["map"].best for line in lines)


def test_the_table_is_plain_values():
    lines = score_lines([row("a", scores(LOW)), row("b", scores(HIGH))])
    table = StudyTable("t", ["a", "b", "c"], {"seed": [0, 1, 2]}, lines, {"c": "no"}, 0.95)
    content = table.to_dict()
    assert content["baseline"] == "a"
    assert content["lines"][1]["cells"]["map"]["difference"]["mean"] == pytest.approx(0.1)
    assert content["errors"] == {"c": "no"}


def test_a_study_of_failures_has_no_baseline():
    assert score_lines([]) == []
    assert StudyTable("t", ["a"], {}, [], {"a": "no"}, 0.95).baseline is None
