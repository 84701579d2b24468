import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from retrieval_core.artifacts import (
    MANIFEST,
    ArtifactDirectory,
    ArtifactRef,
    ArtifactStore,
    Manifest,
    artifact_key,
    commit,
    read_manifest,
)
from retrieval_core.errors import ArtifactError, ArtifactMismatchError

STORES = ["local", "memory"]


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    local = request.param == "local"
    return ArtifactStore(tmp_path / "store" if local else f"memory://{tmp_path.name}")


def _ref(store, **config):
    return store.ref("feats", "test", config=config, inputs={}, version=1)


def _manifest(ref, **values):
    defaults = {"label": "test", "version": 1, "config": {}, "inputs": {}}
    return Manifest(kind=ref.kind, key=ref.key, **{**defaults, **values})


def _build(store, **config):
    ref = _ref(store, **config)
    directory = ArtifactDirectory(ref.uri)
    directory.write_bytes("a/x.bin", b"12345")
    directory.write_json("y.json", {"n": 1})
    commit(directory, _manifest(ref))
    return ref


def test_the_key_depends_on_all_that_determines_the_content():
    model, other = ArtifactRef("model", "k1", "u1"), ArtifactRef("model", "k2", "u1")
    base = {"config": {"a": 1}, "inputs": {"model": model}, "version": 1}
    key = artifact_key("feats", **base)
    assert artifact_key("feats", **base) == key
    changes = [{"config": {"a": 2}}, {"inputs": {"model": other}}, {"version": 2}]
    assert len({key, *(artifact_key("feats", **{**base, **c}) for c in changes)}) == 4
    assert artifact_key("other", **base) != key


def test_the_key_does_not_depend_on_where_inputs_lie():
    here, there = ArtifactRef("model", "k", "file:///a"), ArtifactRef("model", "k", "s3://b")
    keys = {artifact_key("x", config={}, inputs={"model": m}, version=1) for m in (here, there)}
    assert len(keys) == 1


def test_an_artifact_exists_once_its_manifest_does(store):
    ref = _ref(store)
    ArtifactDirectory(ref.uri).write_bytes("x", b"1")
    assert not store.exists(ref)
    with pytest.raises(ArtifactError, match=MANIFEST):
        read_manifest(ref.uri)
    commit(ArtifactDirectory(ref.uri), _manifest(ref))
    assert store.exists(ref)
    assert read_manifest(ref.uri, verify=True).files["x"]["size"] == 1


def test_files_read_back(store):
    directory = ArtifactDirectory(_build(store).uri)
    assert directory.names() == ["a/x.bin", "y.json"]
    assert directory.read_bytes("a/x.bin") == b"12345"
    assert directory.read_json("y.json") == {"n": 1}
    assert directory.local("a/x.bin").read_bytes() == b"12345"


def test_altered_and_missing_files_are_noticed(tmp_path):
    ref = _build(ArtifactStore(tmp_path))
    path = ArtifactDirectory(ref.uri).local("a/x.bin")
    path.write_bytes(b"54321")
    read_manifest(ref.uri)
    with pytest.raises(ArtifactError, match=r"a/x\.bin was altered"):
        read_manifest(ref.uri, verify=True)
    path.write_bytes(b"123")
    with pytest.raises(ArtifactError, match="3 bytes, its manifest says 5"):
        read_manifest(ref.uri)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"a/x\.bin is missing"):
        read_manifest(ref.uri)


def test_a_failed_write_leaves_nothing(store):
    directory = ArtifactDirectory(_ref(store).uri)
    with pytest.raises(RuntimeError), directory.writing("x") as path:
        path.write_bytes(b"half")
        raise RuntimeError
    assert directory.names() == []


def test_a_failed_write_leaves_the_old_file(store):
    directory = ArtifactDirectory(_ref(store).uri)
    directory.write_bytes("x", b"old")
    with pytest.raises(RuntimeError), directory.writing("x") as path:
        path.write_bytes(b"half")
        raise RuntimeError
    assert directory.read_bytes("x") == b"old"


def test_a_killed_writer_leaves_no_file_and_commit_clears_its_remains(tmp_path):
    ref = _ref(ArtifactStore(tmp_path))
    script = f"""
        import os, signal
        from retrieval_core.artifacts import ArtifactDirectory
        with ArtifactDirectory({ref.uri!r}).writing("x") as path:
            path.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert killed.returncode == -9
    directory = ArtifactDirectory(ref.uri)
    assert directory.names() == []
    assert len(list(Path(ref.uri).iterdir())) == 1
    commit(directory, _manifest(ref))
    assert [path.name for path in Path(ref.uri).iterdir()] == [MANIFEST]


def test_unfitting_inputs_are_refused_with_both_keys():
    used, other = ArtifactRef("model", "aaa", "u"), ArtifactRef("model", "bbb", "u")
    manifest = _manifest(ArtifactRef("codebook", "c", "u"), inputs={"model": vars(used)})
    manifest.require_input("model", used)
    with pytest.raises(ArtifactMismatchError, match=r"aaa.*bbb"):
        manifest.require_input("model", other)
    with pytest.raises(ArtifactError, match="no input 'dataset'"):
        manifest.input("dataset")


def test_a_garbled_manifest_is_an_artifact_error(tmp_path):
    ref = _build(ArtifactStore(tmp_path))
    for content in (b"{", json.dumps({"kind": 1}).encode()):
        ArtifactDirectory(ref.uri).write_bytes(MANIFEST, content)
        with pytest.raises(ArtifactError):
            read_manifest(ref.uri)


def test_list_and_remove(store):
    refs = [_build(store, a=1), _build(store, a=2)]
    assert {m.key for m in store.list()} == {r.key for r in refs}
    store.remove(refs[0])
    assert [m.key for m in store.list()] == [refs[1].key]
    assert not store.exists(refs[0])
