"""Distractors by the directory or the name of their index."""

import os

import pytest

from retrieval_core.artifacts import ArtifactDirectory, ArtifactStore, Manifest, commit
from retrieval_core.config import PipelineConfig, load_config
from retrieval_core.errors import ConfigError
from tasks.distractors import find_distractors


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "work" / "artifacts")


def artifact(store, kind, config=None, **inputs):
    config = config or {}
    ref = store.ref(kind, "label", config=config, inputs=inputs, version=1)
    made_of = {name: vars(each) for name, each in inputs.items()}
    commit(ArtifactDirectory(ref.uri), Manifest(kind, ref.key, "label", 1, config, made_of))
    return ref


@pytest.fixture
def features(store):
    return artifact(store, "feats", {"part": "distractor"}, dataset=artifact(store, "dataset"))


@pytest.fixture
def vectors(store, features):
    # another set of distractors lies beside it
    artifact(store, "vectors", features=artifact(store, "feats", {"part": "other"}))
    return artifact(store, "vectors", features=features)


@pytest.fixture
def asmk(store, features):
    weighed = {"binary": True, "use_idf": True}
    artifact(store, "asmk", weighed, features=features)
    return artifact(store, "asmk", {"binary": True, "use_idf": False}, features=features)


def find(reference, tmp_path, **settings):
    config = PipelineConfig(distractors=reference, **settings)
    return find_distractors(config, str(tmp_path / "work"))


def test_either_index_leads_to_both(asmk, vectors, tmp_path):
    expected = {"global": [vectors], "asmk": [asmk]}
    assert find(asmk.uri, tmp_path) == expected
    assert find(vectors.uri + "/", tmp_path) == expected
    assert find(vectors.uri.rpartition("/")[2], tmp_path) == expected
    assert find(os.path.relpath(asmk.uri), tmp_path) == expected


def test_the_named_index_is_taken_and_the_one_beside_it_by_its_settings(asmk, vectors, tmp_path):
    weighed = find(vectors.uri, tmp_path, asmk={"use_idf": True})["asmk"]
    assert weighed != [asmk]
    assert find(asmk.uri, tmp_path, asmk={"use_idf": True})["asmk"] == [asmk]


def test_a_network_without_local_descriptors_needs_no_inverted_file(vectors, tmp_path):
    assert find(vectors.uri, tmp_path, model={"method": "gem"}) == {"global": [vectors]}
    with pytest.raises(ConfigError, match="has no asmk of the same features"):
        find(vectors.uri, tmp_path)


@pytest.mark.usefixtures("vectors")
def test_what_is_no_index_is_named(features, store, tmp_path):
    with pytest.raises(ConfigError, match=r"no index at .*/absent, nor at .*work/artifacts/absent"):
        find("absent", tmp_path)
    with pytest.raises(ConfigError, match="'feats', not an index"):
        find(features.uri, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no index at"):
        find(str(tmp_path / "empty"), tmp_path)
    with pytest.raises(ConfigError, match="cannot be looked at: Protocol not known: nowhere"):
        find("nowhere://index", tmp_path)


def test_an_index_whose_images_are_gone_is_refused(asmk, vectors, features, store, tmp_path):
    store.remove(features)
    with pytest.raises(ConfigError, match=f"cannot be searched: no artifact at {features.uri}"):
        find(asmk.uri, tmp_path)


def test_datasets_and_nothing_refer_to_no_index(tmp_path):
    assert find(None, tmp_path) == {}
    assert find({"kind": "demo", "demo": {"views": 200}}, tmp_path) == {}


def test_both_forms_are_configurations_and_overrides(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("{distractors: {kind: folder, folder: {path: photos}}}")
    assert load_config(path).distractors.folder.path == "photos"
    named = load_config(path, ["distractors=asmk-x-1"])
    assert named.distractors == "asmk-x-1"
    path.write_text("{distractors: asmk-x-1}")
    assert load_config(path) == named
    assert load_config(path, ["distractors.demo.views=300"]).distractors.kind == "demo"
    assert load_config(path, ["distractors=null"]).distractors is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("distractors.knd=demo", "distractors.knd: unknown key; did you mean 'kind'"),
        ("distractors.demo.views=1", "distractors.demo.views: "),
        ("distractors=''", "directory or name of an index, not ''"),
        ("distractors=5", "distractors: expected a dataset, or the directory"),
    ],
)
def test_mistakes_are_told_once(tmp_path, override, message):
    path = tmp_path / "a.yaml"
    path.write_text("{}")
    with pytest.raises(ConfigError) as error:
        load_config(path, [override])
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1
