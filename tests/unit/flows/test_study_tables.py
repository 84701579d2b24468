import io

import numpy as np
import pytest
from rich.console import Console

from flows.result import FlowResult
from flows.study_tables import print_study
from retrieval_core.artifacts import ArtifactDirectory, ArtifactRef
from retrieval_core.evaluation.report import Scores
from retrieval_core.evaluation.study import ScoredRow, StudyTable, score_lines
from tasks.tracking import TrackedRun

LOW, HIGH = np.linspace(0.1, 0.5, 10), np.linspace(0.3, 0.7, 10)


def row(name, precisions, dimensions=64):
    average = float(np.mean(precisions))
    metrics = {"map": average, "map_over_labels": average, "recall@1": 1.0}
    found = Scores(metrics, {"map": (0.05, 1)}, {"all": list(precisions)}, list(range(10)), [])
    keys = {"dataset": "d", "network": f"net-{name}", "scores": f"scores-{name}"}
    return ScoredRow(name, "global", found, dimensions, 61.23, keys)


@pytest.fixture
def printed(tmp_path):
    def _printed(rows, errors=None):
        names = [each.row for each in rows]
        table = StudyTable("cars", names, {}, score_lines(rows), errors or {}, 0.95)
        ArtifactDirectory(tmp_path).write_json("study.json", table.to_dict())
        study = ArtifactRef("study", "k", str(tmp_path))
        result = FlowResult("/w", TrackedRun("sqlite://", "1", "abc"), {"study": [study]})
        screen = io.StringIO()
        complete = print_study(Console(width=80, file=screen), result)
        return complete, screen.getvalue()

    return _printed


def test_scores_have_their_interval_their_change_and_the_best_is_marked(printed, tmp_path):
    complete, text = printed([row("first", LOW), row("better", HIGH), row("same", LOW)])
    assert complete
    lines = [line.split() for line in text.splitlines()]
    assert ["first", "30.0", "100.0", "*"] in lines
    assert ["better", "50.0", "*", "100.0", "*"] in lines
    assert ["global", "5.0-100"] in lines
    assert ["+20.0"] in lines
    assert ["~", "+0.0"] in lines
    assert "third lines: against first" in " ".join(text.split())
    assert "over labels" not in text
    assert ["better", "64", "61.2", "net-better", "scores-better"] in lines
    assert f"{tmp_path}/study.html" in text


def test_failures_are_told_beside_what_was_scored(printed):
    complete, text = printed([row("first", LOW, None)], {"lost": "DatasetError: no [images]"})
    assert not complete
    assert "lost failed: DatasetError: no [images]" in text
    assert "first" in text


def test_a_study_of_failures_has_no_table(printed):
    complete, text = printed([], {"lost": "no"})
    assert not complete
    assert "rows" not in text
    assert "lost failed: no" in text
