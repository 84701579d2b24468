import json

import pytest
from PIL import Image
from support.page import Page

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.evaluation.review import ReviewedRun, ScoredDescriptor, review_runs
from retrieval_core.visualize.comparison import build_comparison
from retrieval_core.visualize.ranking_grid import HEIGHT


@pytest.fixture(scope="module")
def reviewed(make_run):
    def make(name, goods, **settings):
        runs = {d: make_run(d, "only", good) for d, good in goods.items()}
        found = {d: ScoredDescriptor(r.scores, r.ranking) for d, r in runs.items()}
        return ReviewedRun(name, f"/runs/{name}", "abc123", settings, found)

    return make


@pytest.fixture(scope="module")
def review(reviewed):
    return review_runs(
        [
            reviewed("base<line>", {"asmk": 1, "global": 3}, asmk={"alpha": 3.0}),
            reviewed("better", {"asmk": 6, "global": 3}, asmk={"alpha": 1.0}),
            reviewed("worse", {"asmk": 0, "global": 3}, asmk={"alpha": 3.0}),
        ]
    )


@pytest.fixture(scope="module")
def directory(review, catalogue, tmp_path_factory):
    directory = ArtifactDirectory(tmp_path_factory.mktemp("comparison"))
    names = build_comparison(review, catalogue, directory, queries=2)
    assert directory.names() == sorted(names)
    return directory


@pytest.fixture(scope="module")
def html(directory):
    return directory.read_bytes("compare.html").decode()


def test_the_page_needs_no_other_file(html):
    Page(html).assert_complete()
    assert "prefers-color-scheme: dark" in html


def test_runs_settings_and_counts_are_there(html):
    assert "base&lt;line&gt;" in html
    assert "/runs/better" in html
    assert "abc123" in html
    assert "<code>asmk.alpha</code>" in html
    assert "5 better, 1 equal, 0 worse" in html
    assert "0 better, 5 equal, 1 worse" in html


def test_scores_that_no_query_changed_have_no_chart(html, directory):
    assert html.count("query by query: no change") == 2
    assert not directory.exists("queries-global-B.png")


def test_gains_show_each_query_under_both_runs(directory):
    grid = Image.open(directory.local("rankings-asmk-B-gains.png"))
    single = Image.open(directory.local("rankings-asmk-C-losses.png"))
    # two queries against one, two rows each; the gap below the last row is left out
    gap = 2 * (HEIGHT // 12)
    assert (grid.height + gap) == 2 * (single.height + gap)
    assert not directory.exists("rankings-asmk-B-losses.png")


def test_the_numbers_are_in_the_json(directory, review):
    content = json.loads(directory.read_bytes("compare.json"))
    assert [run["letter"] for run in content["runs"]] == ["A", "B", "C"]
    assert content["settings"] == {"asmk.alpha": [3.0, 1.0, 3.0]}
    first = content["pairings"][0]
    assert first["runs"] == ["A", "B"]
    assert (first["wins"], first["ties"], first["losses"]) == (5, 1, 0)
    assert first["difference"]["mean"] == pytest.approx(
        first["after"]["value"] - first["before"]["value"]
    )
    assert len(first["average_precisions"]) == first["queries"] == 6


def test_runs_of_other_queries_say_so(reviewed, catalogue, tmp_path):
    first, second = reviewed("a", {"global": 3}), reviewed("b", {"global": 5})
    values = second.descriptors["global"].scores.average_precisions["all"]
    values[0] = None
    directory = ArtifactDirectory(tmp_path)
    build_comparison(review_runs([first, second]), catalogue, directory)
    assert "1 of 6 queries were scored in only one of A and B" in " ".join(
        directory.read_bytes("compare.html").decode().split()
    )


def test_no_photographs_when_none_are_wanted(review, catalogue, tmp_path):
    directory = ArtifactDirectory(tmp_path)
    names = build_comparison(review, catalogue, directory, queries=0)
    assert not [name for name in names if name.startswith("rankings")]


def test_a_second_page_is_the_same(review, catalogue, html, tmp_path):
    directory = ArtifactDirectory(tmp_path)
    build_comparison(review, catalogue, directory, queries=2)
    assert directory.read_bytes("compare.html").decode() == html
