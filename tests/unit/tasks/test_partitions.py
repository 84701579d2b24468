"""The stages that are worked off in partitions give what one process gives, and resume."""

import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    temporary_settings,
)

from retrieval_core.artifacts import ArtifactDirectory, Manifest, commit, load_manifest
from retrieval_core.config import (
    AsmkConfig,
    EvaluationConfig,
    RayConfig,
    RuntimeConfig,
    VectorConfig,
)
from retrieval_core.data.catalogue import Catalogue, ImageRow, label_truth
from retrieval_core.errors import ArtifactMismatchError
from retrieval_core.features.shards import ShardReport, report_name
from retrieval_core.features.store import FeatureStore
from retrieval_core.features.tables import LocalRows, open_shard
from retrieval_core.index import AsmkIndex, Codebook
from retrieval_core.index.extraction import open_postings
from retrieval_core.search.ranking import Ranking
from tasks.cluster import disconnect
from tasks.context import RunContext
from tasks.distractors import require_fitting
from tasks.evaluate import evaluate
from tasks.index import index_global, index_local
from tasks.lineage import searched_catalogue
from tasks.tracking import start_run

pytestmark = pytest.mark.slow  # Ray and a fresh MLflow database take seconds

DIM, IMAGES, SHARD = 16, 40, 4
WHOLE = RayConfig()
CUT = RayConfig(workers=2, images_per_partition=10, queries_per_partition=6)
EXACT = VectorConfig()


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    # the stages run outside a flow: no server is started to tell of them
    with temporary_settings({PREFECT_API_URL: None, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}):
        yield start_run(str(tmp_path_factory.mktemp("mlflow")), "experiment", "a")
    disconnect()


@pytest.fixture
def context(tracked, tmp_path):
    def make(name, ray):
        return RunContext(str(tmp_path / name), tracked, RuntimeConfig(ray=ray))

    return make


def artifact(context, kind, label, write, config=None, **inputs):
    """A finished artifact."""
    ref = context.store.ref(kind, label, config=config or {}, inputs=inputs, version=1)
    directory = ArtifactDirectory(ref.uri)
    write(directory)
    commit(
        directory,
        Manifest(
            kind,
            ref.key,
            label,
            1,
            config or {},
            {name: vars(i) for name, i in inputs.items()},
            notes={"digest": label},
        ),
    )
    return ref


def landmarks(name, *, labelled):
    rows = tuple(
        # an id without an image now and then; a quarter of the labelled ones are queries
        ImageRow(
            3 * i,
            f"{name}-{i}",
            f"place {i % 5}" if labelled else "",
            "test",
            "query" if labelled and i % 4 == 0 else "database",
        )
        for i in range(IMAGES)
    )
    return Catalogue(name, rows, label_truth(rows), revisited=False)


def unit(rng, count):
    vectors = rng.standard_normal((count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def write_features(directory, catalogue, seed):
    rng = np.random.default_rng(seed)
    for shard, rows in enumerate(np.split(np.arange(IMAGES), IMAGES // SHARD)):
        ids = np.array([catalogue.rows[i].image_id for i in rows])
        counts = rng.integers(0, 12, len(ids))
        n = int(counts.sum())
        ones = np.ones(n, np.float32)
        local = LocalRows(
            np.repeat(ids, counts), unit(rng, n), ones, np.zeros((n, 2), np.float32), ones
        )
        with open_shard(directory, shard, global_dim=DIM, local_dim=DIM) as writer:
            writer.write(ids, unit(rng, len(ids)), local)
        directory.write_json(report_name(shard), asdict(ShardReport(shard, len(ids), n, [], {})))


@pytest.fixture
def made(context):
    """Descriptors of landmarks and of distractors, and a codebook."""
    inputs = context("inputs", WHOLE)
    model = artifact(inputs, "model", "m", lambda directory: None)
    features = {}
    for seed, part in enumerate(("test", "distractor")):
        catalogue = landmarks(part, labelled=part == "test")
        dataset = artifact(inputs, "dataset", part, catalogue.save, {"part": part})
        features[part] = artifact(
            inputs,
            "feats",
            part,
            lambda directory, c=catalogue, s=seed: write_features(directory, c, s),
            {"part": part},
            model=model,
            dataset=dataset,
        )
    words = Codebook(unit(np.random.default_rng(9), 8))
    codebook = artifact(inputs, "codebook", "words", words.save, features=features["test"])
    return features["test"], features["distractor"], codebook


def build(stage, context, *arguments):
    return stage.fn(context, *arguments).data


def files(ref):
    return load_manifest(ref.uri).files


def score(context, descriptor, *searched, top_k=None, vector=EXACT):
    config = EvaluationConfig(bootstrap=10, top_k=top_k)
    return build(evaluate, context, config, AsmkConfig(), vector, 0, descriptor, *searched)


def test_an_index_of_parts_has_the_files_of_one_built_at_once(context, made):
    features, _, codebook = made
    config = AsmkConfig(use_idf=True)
    whole = build(index_local, context("whole", WHOLE), config, features, codebook)
    parts = build(index_local, context("parts", CUT), config, features, codebook)
    assert files(parts) == files(whole)
    assert load_manifest(parts.uri).counts == {"images": 30}


def with_postings(context, features, codebook):
    """The same images as extraction leaves them that aggregated them."""
    stored, manifest = FeatureStore(features.uri), load_manifest(features.uri)

    def write(directory):
        for shard, local in enumerate(stored.local_shards()):
            with open_postings(
                directory, shard, DIM, codebook=Codebook.load(codebook.uri), binary=True
            ) as postings:
                owners = local.image_ids[local.image_index]
                nothing = (local.strengths, local.locations, local.scales)
                postings.write(local.image_ids, LocalRows(owners, local.descriptors, *nothing))
            for name in (f"global/shard-{shard:05d}.parquet", report_name(shard)):
                directory.write_bytes(name, ArtifactDirectory(features.uri).read_bytes(name))

    inputs = {name: manifest.input(name) for name in ("model", "dataset")}
    return artifact(context, "feats", "fused", write, manifest.config, **inputs, codebook=codebook)


@pytest.mark.parametrize("use_idf", [True, False])
def test_an_index_of_aggregated_images_has_the_files_of_one_of_descriptors(context, made, use_idf):
    _, distracting, codebook = made
    config = AsmkConfig(use_idf=use_idf)
    fused = with_postings(context("fused", WHOLE), distracting, codebook)
    expected = build(index_local, context("stored", WHOLE), config, distracting, codebook)
    for name, ray in (("whole", WHOLE), ("parts", CUT)):
        found = build(index_local, context(name, ray), config, fused, codebook)
        assert files(found) == files(expected)
    other = artifact(
        context("fused", WHOLE), "codebook", "others", Codebook.load(codebook.uri).save,
        {"seed": 1}, features=distracting,
    )  # fmt: skip
    with pytest.raises(ArtifactMismatchError, match=other.key) as caught:
        build(index_local, context("whole", WHOLE), config, fused, other)
    assert codebook.key in str(caught.value)


def test_finished_parts_are_kept_and_another_cut_is_not_mistaken(context, made):
    features, _, codebook = made
    config, cut = AsmkConfig(), context("parts", CUT)
    whole = build(index_local, context("whole", WHOLE), config, features, codebook)
    finished = build(index_local, cut, config, features, codebook)
    # what a run that was killed leaves: one whole part, one half, one of another cut
    shutil.rmtree(finished.uri)
    parts = ArtifactDirectory(f"{finished.uri}/parts")
    words = Codebook.load(codebook.uri)
    changed = AsmkIndex.create(words, binary=True)
    changed.add([7], words.centroids[:1], [0])
    changed.save(parts.path("00000-00002"), with_codebook=False)
    changed.save(parts.path("00003-00009"), with_codebook=False)
    parts.write_bytes("00003-00005/images-half.npy", b"half")
    again = build(index_local, cut, config, features, codebook)
    # the whole part was taken as it is: it alone has image 7, and lacks the first nine images
    index = AsmkIndex.open(again.uri)
    of_first = [i for i in AsmkIndex.open(whole.uri).image_ids if i < 3 * 3 * SHARD]
    assert set(index.image_ids) == set(AsmkIndex.open(whole.uri).image_ids) - set(of_first) | {7}
    assert not parts.names()


@pytest.mark.parametrize("descriptor", ["asmk", "global"])
def test_rankings_over_partitions_and_distractors(context, made, descriptor):
    features, distracting, codebook = made
    one, cut = context("whole", WHOLE), context("parts", CUT)

    def index(place, of):
        if descriptor == "global":
            return build(index_global, place, EXACT, of)
        return build(index_local, place, AsmkConfig(use_idf=True), of, codebook)

    database, distractors = index(one, features), index(one, distracting)
    alone = score(one, descriptor, database)
    whole = score(one, descriptor, database, distractors)
    parts = score(cut, descriptor, database, distractors)
    assert files(parts) == files(whole)
    assert alone.key != whole.key
    ranking, without = (Ranking.load(ref.uri, "ranking") for ref in (whole, alone))
    assert ranking.ids.shape == (10, 30 + IMAGES)
    beyond = 3 * (IMAGES - 1)
    distracted = ranking.ids > beyond
    assert distracted.sum(1).tolist() == [IMAGES] * 10
    catalogue = Catalogue.load(load_manifest(features.uri).input("dataset").uri)
    paths = {r.image_id: r.path for r in searched_catalogue(catalogue, whole).rows}
    assert paths[int(ranking.ids[distracted].min())] == "distractor-0"
    if descriptor == "global":
        for found, expected in zip(ranking.ids, without.ids, strict=True):
            np.testing.assert_array_equal(found[found <= beyond], expected)
    maps = [load_manifest(ref.uri).metrics["map"] for ref in (whole, alone)]
    assert maps[0] <= maps[1]


def test_an_approximate_index_tells_its_recall_and_is_searched_with_distractors(context, made):
    features, distracting, _ = made
    one = context("whole", WHOLE)
    config = VectorConfig(kind="hnsw", links=4, build_effort=8, search_effort=5)
    exact = [build(index_global, one, EXACT, each) for each in (features, distracting)]
    graphs = [build(index_global, one, config, each) for each in (features, distracting)]
    scored = [
        score(one, "global", graphs[0], vector=config.model_copy(update={"search_effort": effort}))
        for effort in (1, 5, 20)
    ]
    told = [load_manifest(ref.uri).metrics["recall_against_exact@10"] for ref in scored]
    assert 0.1 < told[0] < told[1] < told[2] <= 1
    unscored = load_manifest(score(one, "global", exact[0]).uri).metrics
    assert "recall_against_exact@10" not in unscored
    assert load_manifest(graphs[0].uri).notes == {"kind": "hnsw"}
    whole, walked = (
        Ranking.load(score(one, "global", *indexes, vector=vector).uri, "ranking").ids
        for indexes, vector in ((exact, EXACT), (graphs, config))
    )
    # to rank all images a graph would compare all of them: it ranks what recall@10 needs
    assert (whole.shape[1], walked.shape[1]) == (70, 10)
    found = [len(set(w) & set(e[:10])) / 10 for w, e in zip(walked, whole, strict=True)]
    assert 0.3 < np.mean(found) <= 1
    # rankings of all images compare all of them
    asked = score(one, "global", *graphs, vector=config, top_k=70)
    np.testing.assert_array_equal(Ranking.load(asked.uri, "ranking").ids, whole)
    keys = {
        score(one, "global", graphs[0], top_k=3, vector=each).key
        for each in (config, config.model_copy(update={"search_effort": 6}))
    }
    assert len(keys) == 2
    with pytest.raises(ArtifactMismatchError, match="'kind': 'hnsw'"):
        score(one, "global", exact[0], graphs[1])


def test_augmented_distractors_need_an_augmented_database(context, made):
    one, (plain, distracting, _) = context("whole", WHOLE), made
    model = load_manifest(plain.uri).input("model")

    def index(features, augmentation=None):
        described = features
        if augmentation:
            config = load_manifest(features.uri).config | {"database_augmentation": augmentation}
            origin = {"model": model, "dataset": load_manifest(features.uri).input("dataset")}
            described = artifact(
                one, "descriptors", "augmented", lambda directory: None, config, **origin
            )
        return artifact(one, "vectors", "vectors", lambda directory: None, features=described)

    few, more = {"neighbours": 5}, {"neighbours": 10}
    require_fitting(index(plain, few), index(distracting, few))
    for own, other in ((None, few), (few, None), (few, more)):
        with pytest.raises(ArtifactMismatchError, match="database_augmentation"):
            require_fitting(index(plain, own), index(distracting, other))


def test_finished_rankings_are_kept(context, made):
    features, _, codebook = made
    cut = context("parts", CUT)
    index = build(index_local, context("whole", WHOLE), AsmkConfig(), features, codebook)
    finished = score(cut, "asmk", index)
    expected = Ranking.load(finished.uri, "ranking")
    reversed_ids = replace(
        expected,
        query_ids=expected.query_ids[:6].copy(),
        ids=expected.ids[:6, ::-1].copy(),
        scores=expected.scores[:6].copy(),
    )
    last = expected.ids[6:].copy()
    shutil.rmtree(finished.uri)
    reversed_ids.save(ArtifactDirectory(finished.uri), "parts/ranking-00000-00005")
    again = Ranking.load(score(cut, "asmk", index).uri, "ranking")
    np.testing.assert_array_equal(again.ids[:6], reversed_ids.ids)
    np.testing.assert_array_equal(again.ids[6:], last)


def test_distractors_of_another_network_or_codebook_are_refused(context, made):
    features, distracting, codebook = made
    one = context("whole", WHOLE)
    other_words = artifact(
        one, "codebook", "others", Codebook(unit(np.random.default_rng(1), 8)).save,
        {"seed": 1}, features=features,
    )  # fmt: skip
    database = build(index_local, one, AsmkConfig(), features, codebook)
    distractors = build(index_local, one, AsmkConfig(), distracting, other_words)
    with pytest.raises(ArtifactMismatchError, match=codebook.key) as caught:
        score(one, "asmk", database, distractors)
    assert other_words.key in str(caught.value)
    model = artifact(one, "model", "other", lambda directory: None, {"seed": 1})
    dataset = load_manifest(distracting.uri).input("dataset")
    foreign = artifact(
        one, "feats", "foreign", lambda d: write_features(d, landmarks("d", labelled=False), 3),
        {"part": "distractor"}, model=model, dataset=dataset,
    )  # fmt: skip
    with pytest.raises(ArtifactMismatchError, match=model.key) as caught:
        indexes = [build(index_global, one, EXACT, each) for each in (features, foreign)]
        score(one, "global", *indexes)
    assert load_manifest(features.uri).input("model").key in str(caught.value)


def test_distractors_of_other_settings_or_the_same_images_are_refused(context, made):
    features, distracting, codebook = made
    one = context("whole", WHOLE)
    database = build(index_local, one, AsmkConfig(), features, codebook)
    weighed = build(index_local, one, AsmkConfig(use_idf=True), distracting, codebook)
    with pytest.raises(ArtifactMismatchError, match="'use_idf': True") as caught:
        score(one, "asmk", database, weighed)
    assert database.key in str(caught.value) and weighed.key in str(caught.value)
    with pytest.raises(ArtifactMismatchError, match="same images"):
        score(one, "asmk", database, database)
    dataset, model = (load_manifest(distracting.uri).input(n) for n in ("dataset", "model"))
    smaller = artifact(
        one, "feats", "small", lambda d: write_features(d, landmarks("d", labelled=False), 1),
        {"part": "distractor", "features": {"image_size": 64, "batch_size": 2}},
        model=model, dataset=dataset,
    )  # fmt: skip
    own = artifact(
        one, "feats", "own", lambda d: write_features(d, landmarks("d", labelled=True), 0),
        {"part": "test", "features": {"image_size": 96, "batch_size": 8}},
        model=model, dataset=load_manifest(features.uri).input("dataset"),
    )  # fmt: skip
    with pytest.raises(ArtifactMismatchError, match=r"\{'image_size': 96\}, \{'image_size': 64\}"):
        indexes = [build(index_global, one, EXACT, each) for each in (own, smaller)]
        score(one, "global", *indexes)


def test_partitions_hold_whole_shards(made):
    store = FeatureStore(made[0].uri)
    assert store.partitions(10) == [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9,)]
    assert store.partitions(1) == [(i,) for i in range(10)]
    assert store.partitions(IMAGES) == [tuple(range(10))]
