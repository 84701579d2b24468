"""A published benchmark and distractors, from a web server to the scores, by the real command."""

import json
import re

import numpy as np
import pytest
import torch
from driving import CONFIG
from support.benchmarks import write_distractors, write_oxford, write_sources
from support.mirror import Mirror

from flows.references import find_artifact
from retrieval_core.artifacts import ArtifactDirectory, load_manifest
from retrieval_core.config import AsmkConfig, FeaturesConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.distractors import with_distractors
from retrieval_core.data.images import load_image, to_pixels
from retrieval_core.evaluation.revisited import SETUPS, revisited_scores
from retrieval_core.features import FeatureStore, Shard, extract_shard
from retrieval_core.index import AsmkIndex, Codebook
from retrieval_core.models import load_model

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SMALL = [
    "training.epochs=0",
    "training.whitening_images=20",
    "training.dataset={kind: demo, demo: {views: 200, image_size: 64}}",
    "dataset.kind=benchmark",
    "dataset.benchmark.name=roxford5k",
    "distractors.kind=benchmark",
    "distractors.benchmark.name=revisitop1m",
    "features.image_size=64",
    "features.max_features=20",
    "codebook={size: 16, images: 20, max_features: 20}",
    "runtime.ray.images_per_partition=40",
]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    write_oxford(folder)
    write_distractors(folder)
    with Mirror(folder) as mirror:
        yield mirror


@pytest.fixture(scope="module")
def scored(make_workdir, published):
    """A work directory with the run, how to run it again, and what it printed."""
    workdir = make_workdir("benchmark")
    sources = write_sources(workdir.path / "sources.yaml", published.url(""))
    own = [f"{part}.benchmark.sources={sources}" for part in ("dataset", "distractors")]
    return workdir, [*SMALL, *own], workdir.run(*SMALL, *own)


@pytest.fixture(scope="module")
def searched(scored):
    """Both catalogues as one, and the descriptors of either."""
    workdir, *_ = scored
    features = {m.config["part"]: m for m in workdir.manifests("feats")}
    test, distractors = (features[part] for part in ("test", "distractor"))
    catalogue, added = (Catalogue.load(m.input("dataset").uri) for m in (test, distractors))
    return with_distractors(catalogue, added), test, distractors


def maps(workdir, catalogue, ranks, descriptor):
    """Scores of the run, and those of a ranking that was made without it."""
    (found,) = (m for m in workdir.manifests("scores") if m.config["descriptor"] == descriptor)
    truth = [{"easy": t.easy, "hard": t.hard, "junk": t.junk} for t in catalogue.truth]
    expected = revisited_scores(ranks, truth)
    return (
        [found.metrics[f"map_{setup}"] for setup in SETUPS],
        [pytest.approx(expected[setup].map, abs=1e-6) for setup in SETUPS],
    )


def test_scores_are_those_of_the_photographs_themselves(scored, searched):
    workdir, *_ = scored
    catalogue, test, _ = searched
    model, config = load_model(test.input("model").uri), FeaturesConfig(image_size=64)

    @torch.inference_mode()
    def describe(row):
        image = load_image(row.path, image_size=config.image_size, box=row.box)
        tensor = model.prepare(to_pixels(image))
        return model.extract_global(tensor[None], scales=(1.0,))[0].numpy()

    database = np.stack([describe(row) for row in catalogue.database()])
    assert len(database) == 6 + 100
    ids = np.array([row.image_id for row in catalogue.database()])
    queries = np.stack([describe(row) for row in catalogue.queries()])
    ranks = ids[np.argsort(-queries @ database.T, axis=1)]
    found, expected = maps(workdir, catalogue, ranks, "global")
    assert found == expected


def test_local_scores_are_those_of_one_index_of_everything(scored, searched, tmp_path):
    """Distractors' local descriptors were not kept: they are extracted once more."""
    workdir, *_ = scored
    catalogue, test, distractors = searched
    (words,) = workdir.manifests("codebook")
    codebook = Codebook.load(workdir.glob(f"codebook-*-{words.key}")[0])
    index, settings = AsmkIndex.create(codebook), AsmkConfig()
    database = [row.image_id for row in catalogue.database()]
    added = Catalogue.load(distractors.input("dataset").uri).database()
    again = ArtifactDirectory(tmp_path)
    config = FeaturesConfig.model_validate(distractors.config["features"])
    extract_shard(load_model(test.input("model").uri), Shard(0, tuple(added)), config, again)
    stores = [FeatureStore(workdir.glob(f"feats-*-{test.key}")[0]), FeatureStore(tmp_path)]
    offset = 1 + max(t.query for t in catalogue.truth)
    for store, first in zip(stores, (0, offset), strict=True):
        for shard in store.local_shards([i - first for i in database if i >= first]):
            index.add(shard.image_ids + first, shard.descriptors, shard.image_index)
    (asked,) = stores[0].local_shards([t.query for t in catalogue.truth])
    ranks, _ = index.search(
        asked.descriptors,
        asked.image_index,
        multiple_assignment=settings.multiple_assignment,
        alpha=settings.alpha,
        threshold=settings.threshold,
    )
    found, expected = maps(workdir, catalogue, ranks, "asmk")
    assert found == expected


def test_the_index_of_a_run_is_that_of_its_database(scored):
    workdir, *_ = scored
    _, manifest = find_artifact(CONFIG.stem, "asmk", str(workdir.path))
    assert load_manifest(manifest.input("features").uri).config["part"] == "test"


def test_the_report_remarks_on_the_protocol(scored):
    workdir, _, output = scored
    assert re.search(r"untrained\s+asmk(\s+\d+\.\d){4}", output)
    (report,) = workdir.glob("report-*/report.html")
    remarks = {r["title"] for r in json.loads((report.parent / "remarks.json").read_text())}
    assert {"Queries are cropped", "With distractors"} <= remarks
    page = report.read_text()
    assert "2 of 2 queries are cut to their box" in page
    assert "100 images that are never right were added to the database of 6" in page


def test_a_second_run_downloads_and_builds_nothing(scored, published):
    workdir, overrides, _ = scored
    published.requests.clear()
    before = {p: p.stat().st_mtime_ns for p in workdir.glob("**/*")}
    output = workdir.run(*overrides)
    assert published.requests == []
    assert {p: p.stat().st_mtime_ns for p in workdir.glob("**/*")} == before
    assert len(re.findall(r"\(\d+\.\d\)\s+reused", output)) == len(workdir.glob("*/manifest.json"))
