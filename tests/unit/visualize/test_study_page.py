import json

import pytest
from support.page import Page

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.evaluation.study import ScoredRow, StudyTable, score_lines
from retrieval_core.visualize.study import build_study


@pytest.fixture(scope="module")
def table(make_run):
    rows = [
        ScoredRow(name, "global", make_run("global", "only", good).scores, 32, seconds, keys)
        for name, good, seconds, keys in (
            ("base<line>", 1, 0.0, {"dataset": "d", "network": "abc"}),
            ("better", 6, 12.34, {"dataset": "d", "network": "def"}),
        )
    ]
    names = ["base<line>", "better", "broken"]
    settings = {"training.epochs": [0, 5, None]}
    return StudyTable("cars", names, settings, score_lines(rows), {"broken": "no <images>"}, 0.95)


@pytest.fixture(scope="module")
def directory(table, tmp_path_factory):
    directory = ArtifactDirectory(tmp_path_factory.mktemp("study"))
    names = build_study(table, directory)
    assert directory.names() == sorted(names)
    return directory


@pytest.fixture(scope="module")
def html(directory):
    return directory.read_bytes("study.html").decode()


def test_the_page_needs_no_other_file(html):
    Page(html).assert_complete()


def test_scores_changes_settings_and_failures_are_there(html, table):
    assert "base&lt;line&gt;" in html
    assert "no &lt;images&gt;" in html
    assert "<code>training.epochs</code>" in html
    assert "12.3" in html
    assert '<b title="best">100.0</b>' in html
    gain = table.lines[1].cells["map"].difference.mean
    assert f">+{100 * gain:.1f}</span>" in html


def test_there_is_a_chart_of_map_and_one_of_recall(directory):
    assert [name for name in directory.names() if name.endswith(".png")] == [
        "study-map.png",
        "study-recall-at-1.png",
    ]


def test_the_numbers_are_in_the_json(directory, table):
    content = json.loads(directory.read_bytes("study.json"))
    assert content == json.loads(json.dumps(table.to_dict()))
    assert [line["row"] for line in content["lines"]] == ["base<line>", "better"]


def test_a_study_of_failures_has_a_page_too(tmp_path):
    table = StudyTable("none", ["a"], {}, [], {"a": "no images"}, 0.95)
    assert build_study(table, ArtifactDirectory(tmp_path)) == ["study.html", "study.json"]
    assert "No row was scored" in (tmp_path / "study.html").read_text()
