"""A work directory with MLflow's database in it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.tracking import start_run


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory) -> Path:
    """A database that has its tables; making one takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow-template")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        start_run(str(folder), "template", "template").finish("FINISHED")
    return folder / "mlflow.db"


@pytest.fixture
def make_workdir(mlflow_template, tmp_path, monkeypatch) -> Callable[[], Path]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def make() -> Path:
        workdir = tmp_path / "workdir"
        workdir.mkdir()
        shutil.copy(mlflow_template, workdir)
        return workdir

    return make
