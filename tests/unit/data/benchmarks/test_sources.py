"""The packaged list of benchmarks and refinements of it."""

from pathlib import Path
from typing import get_args

import pytest

from retrieval_core.config import BenchmarkConfig
from retrieval_core.config.dataset import BenchmarkName
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.benchmarks.sources import Source, load_benchmarks
from retrieval_core.errors import ConfigError


def refine(folder: Path, text: str) -> dict[str, Source]:
    (folder / "sources.yaml").write_text(text)
    return by_name(folder / "sources.yaml")


def by_name(refinement: str | Path = "") -> dict[str, Source]:
    benchmarks = load_benchmarks(refinement).values()
    return {s.file.name: s for benchmark in benchmarks for s in benchmark.sources}


def test_every_benchmark_has_files_with_addresses() -> None:
    benchmarks = load_benchmarks()
    assert set(benchmarks) == set(get_args(BenchmarkName))
    for benchmark in benchmarks.values():
        assert benchmark.title
        assert benchmark.licence
        for source in benchmark.sources:
            assert source.file.urls or benchmark.bring
            assert all(url.startswith("http") for url in source.file.urls)


def test_numbered_archives() -> None:
    sources = load_benchmarks()["revisitop1m"].sources
    assert len(sources) == 101
    assert sources[100].file.name == "revisitop1m.100.tar.gz"
    assert sources[100].file.urls[0].endswith("/jpg/revisitop1m.100.tar.gz")


def test_photographs_are_shared_by_both_protocols() -> None:
    benchmarks = load_benchmarks()
    assert benchmarks["oxford5k"].sources[0] == benchmarks["roxford5k"].sources[0]


def test_own_mirrors_come_first(tmp_path: Path) -> None:
    packaged = by_name()["paris_1-v1.tgz"].file
    refined = refine(
        tmp_path,
        "mirrors: ['http://near/data/']\n"
        "files:\n  paris_1-v1.tgz:\n    urls: ['file:///mnt/p1.tgz']\n    size: 5\n    sha256: "
        + "aB"
        * 32,
    )
    file = refined["paris_1-v1.tgz"].file
    assert file.urls[:2] == ("file:///mnt/p1.tgz", "http://near/data/paris/paris_1-v1.tgz")
    assert file.urls[2:] == packaged.urls
    assert (file.size, file.sha256) == (5, "aB" * 32)
    assert refined["paris_2-v1.tgz"].file.size is None
    assert refined["revisitop1m.7.tar.gz"].file.urls[0].startswith("http://near/data/revisitop1m/")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("files: {paris_1.tgz: {size: 5}}", r"no benchmark has a file 'paris_1.tgz'.*paris_1-v1"),
        ("mirror: []", "mirror: Extra inputs"),
        ("files: {paris_1-v1.tgz: {md5: x}}", "md5: Extra inputs"),
        ("files: {paris_1-v1.tgz: {sha256: abc}}", "sha256: String should match"),
        ("files: {paris_1-v1.tgz: {size: -1}}", "size: Input should be greater"),
        ("[", "cannot be read"),
    ],
)
def test_wrong_refinements_are_named(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        refine(tmp_path, text)


def test_a_missing_refinement() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read"):
        load_benchmarks("nowhere.yaml")


def test_images_are_found_by_the_end_of_their_path(tmp_path: Path) -> None:
    for path in ("a/x.jpg", "b/x.jpg", "b/deep/y.JPG", "b/notes.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    places = Places.of(BenchmarkConfig(root=str(tmp_path)), ())
    assert places.image("b/x.jpg") == tmp_path / "b/x.jpg"
    assert places.image("x.jpg") == tmp_path / "a/x.jpg"
    assert places.image("elsewhere/x.jpg") == tmp_path / "a/x.jpg"
    assert places.image("y.JPG") == tmp_path / "b/deep/y.JPG"
    assert places.image("z.jpg") == tmp_path / "jpg/z.jpg"  # where it is missed
    assert len(list(places.listing())) == 3
