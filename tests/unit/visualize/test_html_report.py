import re

import pytest
from support.page import Page

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.evaluation import Scores
from retrieval_core.visualize import StageTiming, build_report
from retrieval_core.visualize.facts import dataset_facts, in_words, stage_bars
from retrieval_core.visualize.inputs import comparisons
from retrieval_core.visualize.label_table import label_table
from retrieval_core.visualize.scoreboard import metric_title


@pytest.fixture
def page_of(tmp_path):
    def make(inputs):
        directory = ArtifactDirectory(tmp_path / "report")
        names = build_report(inputs, directory)
        assert directory.names() == sorted(names), "exactly the returned files are written"
        assert names[0] == "report.html"
        return Page(directory.read_bytes("report.html").decode())

    return make


@pytest.fixture(scope="module")
def trained(make_run, make_inputs, history):
    runs = [
        make_run("asmk", "before", 1),
        make_run("asmk", "after", 5),
        make_run("global", "before", 3),
        make_run("global", "after", 3),
    ]
    excluded = [
        {"image_id": 7, "path": "/photos/<b>7</b>.jpg", "reason": "truncated"},
        {"image_id": 9, "path": "/photos/9.jpg", "reason": "missing"},
    ]
    return make_inputs(runs, history=history, excluded=excluded)


@pytest.fixture(scope="module")
def html(trained, tmp_path_factory):
    directory = ArtifactDirectory(tmp_path_factory.mktemp("report"))
    build_report(trained, directory)
    return directory.read_bytes("report.html").decode()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_the_page_needs_no_other_file(page):
    page.assert_complete()


def test_pictures_have_words_and_sizes(page):
    pictures = page.with_tag("img")
    # scores, precision at recall and training; per descriptor the precisions and its grids
    assert len(pictures) == 3 + 4 + 3, "nothing improved by the global descriptor: no such grid"
    assert all(len(p["alt"]) > 20 and int(p["width"]) > 0 for p in pictures)


def test_a_trained_run_shows_the_change(page, trained):
    text = page.text
    before, after = (trained.runs[i].scores.metrics["map"] for i in (0, 1))
    assert f"{100 * before:.1f}" in text
    assert f"+{100 * (after - before):.1f}" in text
    assert "clear gain" in text
    assert "within chance" in text


def test_exclusions_are_listed_and_escaped(page):
    assert "/photos/<b>7</b>.jpg" in page.text
    assert "truncated · 1" in page.text
    assert not [tag for tag, _ in page.tags if tag == "b" and "id" in _]


def test_more_exclusions_than_fit_are_counted(page_of, trained, make_inputs):
    many = [{"image_id": i, "path": f"{i}.jpg", "reason": "empty"} for i in range(250)]
    text = page_of(make_inputs(trained.runs, excluded=many)).text
    assert "empty · 250" in text
    assert "50 more" in text


def test_an_image_that_two_stages_excluded_counts_once(page_of, trained, make_inputs):
    entry = {"image_id": 7, "path": "/photos/7.jpg", "reason": "empty"}
    both = [{**entry, "stage": "features before"}, {**entry, "stage": "features after"}]
    text = page_of(make_inputs(trained.runs, excluded=both)).text
    assert "empty · 1" in text
    assert "features before" in text


def test_a_descriptor_scored_before_training_alone_is_not_compared(make_run):
    (found,) = comparisons([make_run("global", "before", 3)])
    assert found.before is None
    assert found.final.phase == "before"


def test_a_global_network_without_training(page_of, make_run, make_inputs):
    page = page_of(make_inputs([make_run("global", "only", 4)]))
    assert "ASMK" not in page.text
    assert "Before" not in page.text
    assert "Difference" not in page.text
    assert "Training" not in page.text
    assert "None: every image could be read." in page.text


def test_provenance_and_configuration_are_there(page):
    text = page.text
    for part in ("6546648", "0123456789abcdef", "file:///artifacts/model", "max_features: 1000"):
        assert part in text


def test_stages_are_bars_and_cached_ones_are_marked(page):
    bars = [a for _, a in page.tags if a.get("class", "").startswith("bar")]
    assert [b["class"] for b in bars if "style" in b] == ["bar cached", "bar"]
    assert "1 min 03 s" in page.text


def test_a_second_report_is_the_same(trained, html, tmp_path):
    directory = ArtifactDirectory(tmp_path)
    build_report(trained, directory)
    assert directory.read_bytes("report.html").decode() == html


def test_styles_for_dark_screens_phones_and_paper(html):
    queries = re.findall(r"@media ([^{]+)\{", html)
    assert {"print ", "(max-width: 40rem) "} <= set(queries)
    assert any("prefers-color-scheme: dark" in query for query in queries)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.423, "0.42 s"), (38.2, "38 s"), (200, "3 min 20 s"), (59.7, "1 min 00 s"),
     (3599.9, "1 h 00 min"), (7500, "2 h 05 min")],
)  # fmt: skip
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("name", "title"),
    [("map", "mAP"), ("map_hard", "mAP, hard"), ("map_over_labels", "mAP over labels"),
     ("precision@5_medium", "precision@5, medium"), ("recall@1", "recall@1"),
     ("map@r", "mAP@R"), ("precision@r", "precision@R"), ("nmi", "NMI")],
)  # fmt: skip
def test_metrics_in_words(name, title):
    assert metric_title(name) == title


def test_bars_of_no_time_do_not_divide_by_zero():
    assert [bar.percent for bar in stage_bars([StageTiming("evaluate", 0.0, False)])] == [0.0]
    assert stage_bars([]) == []


def test_dataset_facts(catalogue):
    facts = dict(dataset_facts(catalogue))
    assert facts["Images"] == "18 (0 train, 0 val, 18 test)"
    assert facts["Queries"] == "6"
    assert facts["Positives per query, median"] == "4 (from 4 to 4)"


def test_scores_of_recognition_and_of_labels_are_in_the_report(html):
    assert "recall@5" in html
    assert "mAP@R" in html
    assert "Global descriptor, by label" in html


def test_the_hardest_labels_come_first():
    found = {str(i): {"queries": 2, "map": i / 100, "recall@1": 1.0} for i in range(60, 0, -1)}
    table = label_table(Scores({}, {}, {}, [], [], by_label=found))
    assert table.metrics == ["queries", "mAP", "recall@1"]
    assert table.rows[0] == ("1", 2, [0.01, 1.0])
    assert (len(table.rows), table.left_out) == (50, 10)
    assert label_table(Scores({}, {}, {}, [], [], by_label={"a": found["1"]})) is None
