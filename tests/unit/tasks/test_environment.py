import os

import psutil
import pytest

from retrieval_core.errors import StorageError
from tasks.environment import describe_environment, prepare_environment
from tasks.running import Running


def test_all_state_lives_in_the_work_directory_unless_told_otherwise(tmp_path, monkeypatch):
    for name in ("PREFECT_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "RETRIEVAL_WORKDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/mine")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    root = prepare_environment(tmp_path / "new" / "work")
    assert root.is_dir()
    assert os.environ["PREFECT_HOME"] == str(root / "prefect")
    assert os.environ["NUMBA_CACHE_DIR"] == "/mine"


def test_a_long_path_does_not_break_rays_sockets(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    prepare_environment(tmp_path / ("x" * 60))
    assert len(os.environ["RAY_TMPDIR"]) <= 40


def test_the_environment_is_described():
    described = describe_environment()
    assert {"python", "platform", "git_commit", "torch", "ray"} <= described.keys()
    assert all(isinstance(value, str) and value for value in described.values())


@pytest.mark.parametrize("healthy", [True, False])
def test_services_that_are_up_are_used(tmp_path, monkeypatch, healthy):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.pop("PREFECT_API_URL", None)
    created = psutil.Process().create_time()
    Running(os.getpid(), created, "http://here:1", "http://here:2", healthy).write(tmp_path)
    prepare_environment(tmp_path)
    assert os.environ.get("PREFECT_API_URL") == ("http://here:1/api" if healthy else None)


def test_a_configured_server_wins(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {**os.environ, "PREFECT_API_URL": "http://mine/api"})
    created = psutil.Process().create_time()
    Running(os.getpid(), created, "http://here:1", "http://here:2", healthy=True).write(tmp_path)
    prepare_environment(tmp_path)
    assert os.environ["PREFECT_API_URL"] == "http://mine/api"


def test_a_work_directory_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="choose another with --workdir"):
        prepare_environment(tmp_path / "file" / "work")
