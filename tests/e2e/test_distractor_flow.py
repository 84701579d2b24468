"""Distractors alone: indexed once, killed on the way, then searched by reference."""

import numpy as np
import pytest
from driving import CONFIG
from support.benchmarks import DISTRACTOR_ARCHIVES, write_distractors, write_sources
from support.mirror import Mirror

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.index import AsmkIndex

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SMALL = [
    "training.epochs=0",
    "training.whitening_images=20",
    "codebook={size: 16, images: 20, max_features: 20}",
    "features.shard_size=5",
    "features.batch_size=2",
    "runtime.ray.images_per_partition=20",
]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    write_distractors(folder)
    with Mirror(folder) as mirror:
        yield mirror


def overrides(folder, published):
    sources = write_sources(folder / "sources.yaml", published.url(""))
    benchmark = ["name=revisitop1m", f"sources={sources}"]
    return [
        *SMALL,
        "distractors.kind=benchmark",
        *(f"distractors.benchmark.{b}" for b in benchmark),
    ]


def written(workdir, pattern):
    return {p: p.stat().st_mtime_ns for p in workdir.glob(pattern)}


@pytest.fixture(scope="module")
def interrupted(make_workdir, published, sessions):
    """A work directory whose flow was killed among the shards, and then ended."""
    workdir = make_workdir("distractors")
    arguments = ["distractors", str(CONFIG), *overrides(workdir.path, published)]

    driver = workdir.start(*arguments)
    sessions.append(driver.process.pid)
    driver.wait_for(lambda: len(written(workdir, "feats-*/postings/*/index.json")) > 3)
    driver.kill()
    shards = written(workdir, "feats-*/reports/*.json")
    output = workdir.start(*arguments).wait()
    return workdir, shards, output


def test_what_was_finished_is_not_done_again(interrupted):
    workdir, shards, _ = interrupted
    reports = written(workdir, "feats-*/reports/*.json")
    assert 0 < len(shards) < len(reports)
    assert shards.items() <= reports.items()


def test_the_index_is_that_of_every_image_and_no_descriptor_was_written(interrupted):
    workdir, *_ = interrupted
    (found,) = workdir.manifests("asmk")
    (index,) = workdir.glob(f"asmk-*-{found.key}")
    assert len(AsmkIndex.open(index)) == DISTRACTOR_ARCHIVES
    AsmkIndex.verify(index)
    features = found.input("features").uri
    names = ArtifactDirectory(features).names()
    assert len([n for n in names if n.startswith("postings/")]) > DISTRACTOR_ARCHIVES // 5
    assert not [n for n in names if n.startswith("local/")]


def test_it_is_searched_by_reference_like_the_dataset_itself(interrupted, published):
    workdir, _, output = interrupted
    (named,) = workdir.glob("asmk-*/manifest.json")
    assert str(named.parent) in output.replace("\n", "")
    datasets = overrides(workdir.path, published)
    workdir.run(*datasets)
    expected = workdir.rankings()
    before = written(workdir, "*/manifest.json")
    workdir.run(*SMALL, f"distractors={named.parent.name}")
    # the same indexes are opened: all but the report was there
    new = set(written(workdir, "*/manifest.json")) - set(before)
    assert [path.parent.name.partition("-")[0] for path in new] == ["report"]
    for label, ranking in workdir.rankings().items():
        np.testing.assert_array_equal(ranking, expected[label])
