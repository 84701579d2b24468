import base64
import io
import re
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image
from prefect.settings import PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, temporary_settings

from retrieval_core.artifacts import ArtifactDirectory, ArtifactStore, Manifest, commit
from retrieval_core.config import FeaturesConfig, InputConfig, ModelConfig, PipelineConfig
from retrieval_core.data.catalogue import ImageRow
from retrieval_core.errors import ConfigError
from retrieval_core.features.extract import extract_shard
from retrieval_core.features.rewriting import whiten
from retrieval_core.features.shards import plan_shards
from retrieval_core.features.store import FeatureStore
from retrieval_core.models import build_model, load_model, save_model
from retrieval_core.models.whitening import Whitening
from retrieval_core.training.descriptors import global_descriptors
from retrieval_core.training.reading import ImageReader
from tasks.context import RunContext
from tasks.register import register
from tasks.tracking import start_run

pytestmark = pytest.mark.slow  # MLflow's database, and a network

PROJECT = Path(__file__).parents[3]
FEATURES = FeaturesConfig(
    image_size=96, scales=(1.0, 0.5), max_features=20, global_scales=(1.0, 0.7), global_power=2.0
)
SMALL = {"backbone": "tf_efficientnet_lite0", "weights": "none", "dim": 8, "skip_layer": 1}
PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth")


class Registry:
    """A work directory with a finished network and its scores."""

    def __init__(self, workdir, method, whitened=False, **settings):
        self.workdir = str(workdir)
        self.config = PipelineConfig(
            name="small", model=ModelConfig(method=method, **SMALL, **settings), features=FEATURES
        )
        self.store = ArtifactStore(f"{workdir}/artifacts")
        self.model = self._put("model", save=self._save_model)
        dataset = self._put("dataset", notes={"digest": "d" * 64})
        features = self._put("feats", inputs={"model": self.model, "dataset": dataset})
        codebook = self._put("codebook", inputs={"features": features})
        self.scores = []
        for descriptor in ("asmk", "global") if self.config.model.has_local else ("global",):
            inputs = {"features": features}
            inputs |= {"codebook": codebook} if descriptor == "asmk" else {}
            index = self._put("asmk" if descriptor == "asmk" else "vectors", inputs=inputs)
            inputs = {"index": index, "features": features}
            self.scores.append(
                self._put("scores", inputs=inputs, metrics={"recall@1": 0.5}, descriptor=descriptor)
            )

        if whitened:
            self.scores.append(self._processed({"model": self.model, "features": features}))

    def _processed(self, inputs):
        rng = np.random.default_rng(0)
        fitted = Whitening(*(rng.standard_normal(s).astype(np.float32) for s in (8, (4, 8))))
        whitening = self._put("whitening", save=fitted.save)
        described = self._put("descriptors", inputs={**inputs, "whitening": whitening})
        index = self._put("vectors", inputs={"features": described})
        inputs = {"index": index, "features": described}
        return self._put("scores", inputs=inputs, descriptor="processed")

    def register(self):
        run = start_run(self.workdir, "experiment", "small")
        context = RunContext(self.workdir, run, self.config.runtime)
        state = register.fn(context, self.config, self.scores)
        run.finish("FINISHED")
        return state

    def versions(self):
        return self.client.search_model_versions("name = 'small'")

    @property
    def client(self):
        return MlflowClient(f"sqlite:///{self.workdir}/mlflow.db")

    def load(self, monkeypatch, **settings):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{self.workdir}/mlflow.db")
        return mlflow.pyfunc.load_model("models:/small/1", model_config=settings)

    def _save_model(self, directory):
        save_model(build_model(self.config.model, seed=1), directory)

    def _put(self, kind, inputs=None, metrics=None, notes=None, save=None, **config):
        inputs = inputs or {}
        ref = self.store.ref(kind, "x", config=config, inputs=inputs, version=1)
        directory = ArtifactDirectory(ref.uri)
        if save:
            save(directory)
        plain = {name: dict(vars(i)) for name, i in inputs.items()}
        details = {"metrics": metrics or {}, "notes": notes or {}}
        commit(directory, Manifest(kind, ref.key, "x", 1, config, plain, **details))
        return ref


@pytest.fixture(scope="module")
def make_registry(mlflow_template, tmp_path_factory):
    def make(method, **settings):
        workdir = tmp_path_factory.mktemp(method)
        shutil.copy(mlflow_template, workdir)
        made = Registry(workdir, method, **settings)
        made.register()
        return made

    # no server is started for tasks that run alone
    with temporary_settings({PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}):
        yield make


@pytest.fixture(scope="module")
def registry(make_registry):
    return make_registry("how")


@pytest.fixture(autouse=True)
def _own_database(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def photographs(tmp_path):
    generator = np.random.default_rng(0)
    paths = []
    for name, size in (("wide", (12, 8)), ("tall", (7, 11))):
        pixels = generator.integers(0, 255, (*reversed(size), 3), np.uint8)
        paths.append(tmp_path / f"{name}.jpg")
        Image.fromarray(pixels).resize((size[0] * 20, size[1] * 20)).save(paths[-1])
    return paths


def test_the_model_describes_as_the_extractor_does(registry, photographs, monkeypatch, tmp_path):
    rows = [ImageRow(i, str(p), "", "test", "database") for i, p in enumerate(photographs)]
    directory = ArtifactDirectory(tmp_path / "feats")
    network = load_model(registry.model.uri)
    extract_shard(network, plan_shards(rows, 8)[0], FEATURES, directory)
    store = FeatureStore(directory.uri)

    model = registry.load(monkeypatch)
    table = pd.DataFrame({"image": [path.read_bytes() for path in photographs]})
    found = model.predict(table)
    np.testing.assert_allclose(
        np.stack(found["descriptor"]), store.global_descriptors()[1], atol=1e-5
    )
    local = model.predict(table, params={"output": "local"})
    shard = next(iter(store.local_shards()))
    for field in ("descriptors", "strengths", "locations", "scales"):
        expected = getattr(shard, field)
        np.testing.assert_allclose(np.concatenate(list(local[field])), expected, atol=1e-5)


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_squares_are_the_same_in_validation_extraction_and_the_registered_model(
    fit, make_registry, photographs, monkeypatch, tmp_path
):
    made = make_registry("embedding", input=InputConfig(size=64, fit=fit))
    rows = [ImageRow(i, str(p), "", "val", "both") for i, p in enumerate(photographs)]
    network = load_model(made.model.uri)
    directory = ArtifactDirectory(tmp_path / "feats")
    once = FEATURES.model_copy(update={"global_scales": (1.0,)})
    extract_shard(network, plan_shards(rows, 8)[0], once, directory)
    _, extracted = FeatureStore(directory.uri).global_descriptors()
    reader = ImageReader(network, FEATURES.image_size, total=2, max_excluded=0)
    validated = global_descriptors(network, rows, reader).vectors
    files = pd.DataFrame({"image": [path.read_bytes() for path in photographs]})
    registered = made.load(monkeypatch, global_scales=[1.0]).predict(files)["descriptor"]
    np.testing.assert_allclose(validated, extracted, atol=1e-6)
    np.testing.assert_allclose(np.stack(registered), extracted, atol=1e-6)


def test_whitened_descriptors_fit_the_index_of_whitened_ones(
    make_registry, photographs, monkeypatch
):
    made = make_registry("gem", whitened=True)
    model = made.load(monkeypatch)
    metadata = model.metadata.metadata
    assert metadata["indexes"] == {"index_global": "global", "index_processed": "processed"}
    assert (
        metadata["artifacts"]["index_processed"]["key"]
        == made.versions()[0].tags["index_processed.key"]
    )
    files = pd.DataFrame({"image": [path.read_bytes() for path in photographs]})
    plain, whitened = (
        np.stack(model.predict(files, params={"output": output})["descriptor"])
        for output in ("global", "processed")
    )
    whitening = Whitening.load(metadata["artifacts"]["whitening"]["uri"])
    np.testing.assert_allclose(whitened, whiten(whitening, plain), atol=1e-6)
    assert whitened.shape == (2, 4)


def test_without_a_whitening_the_global_descriptor_fits_all(registry, monkeypatch):
    model = registry.load(monkeypatch)
    assert model.metadata.metadata["indexes"] == {"index_asmk": "local", "index_global": "global"}
    with pytest.raises(ConfigError, match="'processed': nothing is whitened"):
        model.predict(pd.DataFrame({"image": [b"x"]}), params={"output": "processed"})


def test_the_page_shows_how_to_use_it(registry, photographs, monkeypatch, tmp_path):
    page = (PROJECT / "docs" / "compare.md").read_text()
    code = re.search(r"```\n(import mlflow.*?)```", page, re.S)[1].replace(
        "how_lite0_demo", "small"
    )
    (tmp_path / "workdir").symlink_to(registry.workdir)
    shutil.copy(photographs[0], tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    try:
        names = {}
        exec(compile(code, "compare.md", "exec"), names)
        assert names["model"].predict(names["images"])["descriptor"][0].shape == (8,)
    finally:
        mlflow.set_tracking_uri(None)


def test_inputs_as_people_and_servers_send_them(registry, photographs, monkeypatch):
    model = registry.load(monkeypatch)
    content = photographs[0].read_bytes()
    text = base64.b64encode(content).decode()
    expected = model.predict(pd.DataFrame({"image": [content]}))["descriptor"][0]
    for images in (
        pd.DataFrame({"image": [text]}),
        pd.Series([content], name="image"),
        [{"image": content}],
    ):
        np.testing.assert_array_equal(model.predict(images)["descriptor"][0], expected)


def test_a_bad_image_is_an_error_in_its_row(registry, photographs, monkeypatch):
    model = registry.load(monkeypatch)
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, format="png")
    content = photographs[0].read_bytes()
    images = [
        content,
        b"no image",
        b"",
        content[: len(content) // 2],
        buffer.getvalue(),
        "%%",
        None,
    ]
    for output, field in (("global", "descriptor"), ("local", "descriptors")):
        found = model.predict(pd.DataFrame({"image": images}), params={"output": output})
        assert found["error"][0] == ""
        reasons = ("unreadable", "empty", "truncated", "too_small", "not base64", "NoneType")
        for error, reason in zip(found["error"][1:], reasons, strict=True):
            assert reason in error
        assert [value is None for value in found[field]] == [False] + 6 * [True]


def test_an_unknown_output_or_a_missing_column_is_refused(registry, monkeypatch):
    model = registry.load(monkeypatch)
    with pytest.raises(ConfigError, match="'nix'"):
        model.predict(pd.DataFrame({"image": [b"x"]}), params={"output": "nix"})
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing inputs"):
        model.predict(pd.DataFrame({"photo": [b"x"]}))


@pytest.mark.parametrize("method", ["gem", "cgd", "embedding"])
def test_a_global_network_has_no_local_output(method, make_registry, monkeypatch):
    made = make_registry(method)
    model = made.load(monkeypatch)
    assert {column.name for column in model.metadata.signature.outputs} == {"descriptor", "error"}
    assert "codebook.key" not in made.versions()[0].tags
    with pytest.raises(ConfigError, match=f"{method} network has only global"):
        model.predict(pd.DataFrame({"image": [b"x"]}), params={"output": "local"})


def test_nothing_is_pickled_and_everything_is_there(registry):
    (version,) = registry.versions()
    files = {path.path for path in registry.client.list_artifacts(version.run_id, "model")}
    assert {"model/MLmodel", "model/requirements.txt", "model/descriptor_model.py"} <= files
    folder = ArtifactDirectory(version.tags["artifact.uri"])
    names = folder.names()
    assert "artifacts/network/model.safetensors" in names
    assert "code/retrieval_core/models/base.py" in names
    assert not [name for name in names if name.endswith((*PICKLES, ".pyc"))]
    requirements = folder.read_bytes("requirements.txt").decode().split()
    assert requirements == [line for line in requirements if "==" in line]


def test_a_version_leads_to_all_that_it_was_made_of(registry, monkeypatch):
    (version,) = registry.versions()
    roles = {"model", "dataset", "index_asmk", "index_global", "codebook"}
    assert {f"{role}.key" for role in roles} <= version.tags.keys()
    assert version.tags["model.key"] == registry.model.key
    assert version.tags["dataset.digest"] == "d" * 64
    assert version.tags["asmk.recall_at_1"] == "0.500000"
    metadata = registry.load(monkeypatch).metadata.metadata
    assert metadata["preprocessing"]["image_size"] == 96
    assert metadata["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    assert metadata["config"]["model"]["method"] == "how"
    assert metadata["artifacts"].keys() == roles


def test_a_second_run_makes_no_second_version(registry):
    assert registry.register().name == "Cached"
    assert [version.version for version in registry.versions()] == [1]


def test_a_new_registry_gets_the_finished_model(registry, mlflow_template, monkeypatch, tmp_path):
    (tmp_path / "other.db").write_bytes(mlflow_template.read_bytes())
    uri = f"sqlite:///{tmp_path}/other.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert registry.register().name == "Cached"
    assert len(MlflowClient(uri).search_model_versions("name = 'small'")) == 1
