"""The stages of post-processing, from descriptors on disk to scores."""

import re

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
    NeighboursConfig,
    PostprocessingConfig,
    RerankingConfig,
    RuntimeConfig,
    VectorConfig,
    WhiteningConfig,
)
from retrieval_core.data.catalogue import Catalogue, ImageRow, label_truth
from retrieval_core.errors import ArtifactMismatchError
from retrieval_core.evaluation.clustering import cluster_information
from retrieval_core.features.rewriting import whiten as whiten_vectors
from retrieval_core.features.rewriting import write_vectors
from retrieval_core.features.store import FeatureStore
from retrieval_core.features.whitening import open_whitening
from retrieval_core.index import VectorIndex
from retrieval_core.search import Search
from retrieval_core.search.expansion import expand
from retrieval_core.search.processed import QueryProcessing
from retrieval_core.search.ranking import Ranking
from tasks.context import RunContext
from tasks.evaluate import evaluate
from tasks.index import index_global
from tasks.postprocess import augment, fit, neighbours, whiten
from tasks.tracking import start_run

pytestmark = pytest.mark.slow  # a fresh MLflow database takes seconds

DIM, IMAGES, LABELS = 16, 48, 6
VECTOR = VectorConfig()
PARTS = ("train", "test", "distractor")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    # the stages run outside a flow: no server is started to tell of them
    with temporary_settings({PREFECT_API_URL: None, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}):
        yield start_run(str(tmp_path_factory.mktemp("mlflow")), "experiment", "a")


@pytest.fixture
def context(tracked, tmp_path):
    return RunContext(str(tmp_path / "work"), tracked, RuntimeConfig())


def artifact(context, kind, label, write, config=None, **inputs):
    ref = context.store.ref(
        kind, label, config=config or {"label": label}, inputs=inputs, version=1
    )
    directory = ArtifactDirectory(ref.uri)
    write(directory)
    roles = {name: vars(i) for name, i in inputs.items()}
    manifest = Manifest(kind, ref.key, label, 1, config or {}, roles, notes={"digest": label})
    commit(directory, manifest)
    return ref


def landmarks(part):
    labels = [f"place {i % LABELS}" if part != "distractor" else "" for i in range(IMAGES)]
    rows = tuple(
        ImageRow(2 * i, f"{part}-{i}", label, "train" if part == "train" else "test", "both")
        for i, label in enumerate(labels)
    )
    return Catalogue(part, rows, label_truth(rows), revisited=False)


def describe(part):
    """Labels lie in a few dimensions; the others, larger, are noise."""
    rng = np.random.default_rng(PARTS.index(part))
    places = np.random.default_rng(9).standard_normal((LABELS, 4))
    signal = places[np.arange(IMAGES) % LABELS] + 0.15 * rng.standard_normal((IMAGES, 4))
    vectors = np.concatenate([signal, 3 * rng.standard_normal((IMAGES, DIM - 4))], axis=1)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def extraction(context, part, model):
    catalogue = landmarks(part)
    dataset = artifact(context, "dataset", part, catalogue.save)

    def write(directory):
        ids, vectors = np.array([row.image_id for row in catalogue.rows]), describe(part)
        for shard, rows in enumerate(np.array_split(np.arange(IMAGES), 5)):
            write_vectors(directory, shard, ids[rows], vectors[rows])

    config = {"part": part, "features": {"image_size": 64}}
    return artifact(context, "feats", part, write, config, model=model, dataset=dataset)


@pytest.fixture
def model(context):
    return artifact(context, "model", "m", lambda directory: None)


@pytest.fixture
def made(context, model):
    return {part: extraction(context, part, model) for part in PARTS}


def build(stage, *arguments, **settings):
    return stage.fn(*arguments, **settings).data


def score(context, *searched, descriptor="processed", **settings):
    config = EvaluationConfig(bootstrap=0)
    return build(
        evaluate, context, config, AsmkConfig(), VECTOR, 0, descriptor, *searched, **settings
    )


def test_a_pipeline_of_all_steps_scores_better_and_keeps_its_lineage(context, made, model):
    config = PostprocessingConfig(
        whitening=WhiteningConfig(kind="learned", dimensions=4),
        database_augmentation=NeighboursConfig(kind="rank", neighbours=3),
        query_expansion=NeighboursConfig(kind="alpha", neighbours=3),
        reranking=RerankingConfig(kind="k_reciprocal", candidates=20),
    )
    fitted = build(fit, context, config.whitening, made["train"], 0)
    whitened = build(whiten, context, made["test"], fitted)
    plain = build(index_global, context, VECTOR, whitened)
    augmented = build(augment, context, config.database_augmentation, VECTOR, [plain], 0)
    index = build(index_global, context, VECTOR, augmented)
    near = build(neighbours, context, config.reranking, VECTOR, [index])
    scores = score(context, index, postprocessing=config, queries=whitened, neighbours=near)
    without = score(
        context, build(index_global, context, VECTOR, made["test"]), descriptor="global"
    )
    before, after = (load_manifest(ref.uri).metrics["map"] for ref in (without, scores))
    assert before < 0.4 and after > 0.9

    manifest = load_manifest(fitted.uri)
    assert manifest.input("model") == model and manifest.input("features") == made["train"]
    assert load_manifest(augmented.uri).input("whitening") == fitted
    assert load_manifest(scores.uri).input("features") == whitened

    # by hand
    whitening = open_whitening(fitted.uri, model)
    queries = whiten_vectors(whitening, describe("test"))
    ids, stored = FeatureStore(whitened.uri).global_descriptors()
    np.testing.assert_array_equal(stored, queries)
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-6)
    database = VectorIndex.create(4)
    database.add(ids, stored)
    sums = expand(database, stored, ids, config.database_augmentation)
    np.testing.assert_array_equal(VectorIndex.open(index.uri).vectors, sums)
    processing = QueryProcessing(config.query_expansion, config.reranking, near.uri)
    opened = processing.open(VectorIndex.open(index.uri), index.uri)
    expected, values = opened.search(queries, None, ids)
    ranking = Ranking.load(scores.uri, "ranking")
    np.testing.assert_array_equal(ranking.ids, expected)
    np.testing.assert_array_equal(ranking.scores, values)


def test_distractors_take_part_in_every_step(context, made):
    config = PostprocessingConfig(
        database_augmentation=NeighboursConfig(kind="average", neighbours=2),
        reranking=RerankingConfig(kind="diffusion"),
    )
    parts = [build(index_global, context, VECTOR, made[part]) for part in ("test", "distractor")]
    sums = [
        build(augment, context, config.database_augmentation, VECTOR, parts, i) for i in range(2)
    ]
    indexes = [build(index_global, context, VECTOR, part) for part in sums]
    near = build(neighbours, context, config.reranking, VECTOR, indexes)
    ref = score(
        context, *indexes, postprocessing=config, queries=made["test"], neighbours=near
    )  # fmt: skip
    assert Ranking.load(ref.uri, "ranking").ids.shape == (IMAGES, 2 * IMAGES)
    first = 2 * (IMAGES - 1) + 1
    union = Search(
        tuple(p.uri for p in parts), (0, first), made["test"].uri, AsmkConfig(), VECTOR, None
    ).open()
    expected = expand(union, union.vectors, union.image_ids, config.database_augmentation)
    found = np.concatenate([VectorIndex.open(index.uri).vectors for index in indexes])
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ArtifactMismatchError, match=near.key) as caught:
        score(context, indexes[0], postprocessing=config, neighbours=near)
    assert indexes[0].key in str(caught.value) and indexes[1].key in str(caught.value)


def test_a_whitening_of_another_network_is_refused_naming_both(context, made, model):
    other = artifact(context, "model", "other", lambda directory: None)
    foreign = extraction(context, "train", other)
    fitted = build(fit, context, WhiteningConfig(kind="pca"), foreign, 0)
    with pytest.raises(ArtifactMismatchError, match=other.key) as caught:
        build(whiten, context, made["test"], fitted)
    assert model.key in str(caught.value)
    with pytest.raises(ArtifactMismatchError, match="of kind feats, not a whitening"):
        open_whitening(foreign.uri, other)


def test_a_distractor_index_of_another_whitening_is_refused(context, made):
    refs = [
        build(fit, context, WhiteningConfig(kind=kind), made["train"], 0)
        for kind in ("pca", "learned")
    ]
    indexes = [
        build(index_global, context, VECTOR, build(whiten, context, made[part], fitted))
        for part, fitted in zip(("test", "distractor"), refs, strict=True)
    ]
    with pytest.raises(ArtifactMismatchError, match=refs[0].key) as caught:
        score(context, *indexes, postprocessing=PostprocessingConfig())
    assert refs[1].key in str(caught.value)


def test_whitened_and_raw_descriptors_search_no_index_of_each_other(context, made, model):
    fitted = build(fit, context, WhiteningConfig(kind="pca"), made["train"], 0)
    whitened = build(whiten, context, made["test"], fitted)
    augmented = build(
        augment,
        context,
        NeighboursConfig(kind="average", neighbours=2),
        VECTOR,
        [build(index_global, context, VECTOR, whitened)],
        0,
    )
    both = f"{model.key} whitened by {fitted.key}"
    for described, other, expected in (
        (made["test"], whitened, (model.key, both)),
        (whitened, made["test"], (both, model.key)),
        (augmented, made["test"], (both, model.key)),
    ):
        index = build(index_global, context, VECTOR, described)
        assert VectorIndex.open(index.uri).model == expected[0]
        search = Search((index.uri,), (0,), other.uri, AsmkConfig(), VECTOR, 5)
        message = re.escape(f"of model {expected[0]} does not go with model {expected[1]}") + "$"
        with pytest.raises(ArtifactMismatchError, match=message):
            search.open()


def test_whitened_descriptors_are_clustered_by_themselves(context, made, model):
    fitted = build(fit, context, WhiteningConfig(kind="learned", dimensions=4), made["train"], 0)
    whitened = build(whiten, context, made["test"], fitted)
    config = EvaluationConfig(bootstrap=0, nmi=True)
    steps = PostprocessingConfig(whitening=WhiteningConfig(kind="learned", dimensions=4))
    plain, processed = (
        build(
            evaluate,
            context,
            *(config, AsmkConfig(), VECTOR, 0, descriptor),
            build(index_global, context, VECTOR, described),
            postprocessing=steps if descriptor == "processed" else None,
        )
        for descriptor, described in (("global", made["test"]), ("processed", whitened))
    )
    labels = [row.label for row in landmarks("test").rows]
    _, vectors = FeatureStore(whitened.uri).global_descriptors()
    expected = cluster_information(vectors, labels, seed=0)
    before, after = (load_manifest(ref.uri).metrics["nmi"] for ref in (plain, processed))
    assert after == expected and before < after


def test_nothing_is_fitted_to_test_images(context, made):
    with pytest.raises(ArtifactMismatchError, match=r"training images only: feats .* test images"):
        build(fit, context, WhiteningConfig(), made["test"], 0)


def test_settings_that_change_nothing_change_no_key(context, made):
    many, more = (
        build(fit, context, WhiteningConfig(images=n), made["train"], 0) for n in (100, 200)
    )
    # how many images are drawn is the extraction's setting
    assert many == more
