import os

from tasks.environment import describe_environment, prepare_environment


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
