import subprocess
import sys

import pytest
from mlflow import MlflowClient

from retrieval_core.config import PipelineConfig
from tasks.tracking import start_run

pytestmark = pytest.mark.slow  # a fresh MLflow database takes seconds


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(autouse=True)
def _local_database(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def _get(run):
    return MlflowClient(run.tracking_uri).get_run(run.run_id)


def test_config_environment_and_dataset_are_logged(workdir):
    run = start_run(workdir, "experiment", "a")
    run.log_config(PipelineConfig(name="x"))
    run.log_environment()
    run.log_dataset("demo", "d" * 64, "/somewhere")
    run.finish("FINISHED")
    logged = _get(run)
    assert logged.data.params["training.optimizer.learning_rate"] == "3e-05"
    assert logged.data.tags["environment.python"].startswith("3.")
    assert logged.inputs.dataset_inputs[0].dataset.digest == "d" * 36
    assert logged.info.status == "FINISHED"


def test_metrics_have_steps_and_names_that_mlflow_takes(workdir):
    run = start_run(workdir, "experiment", "b")
    for step in range(3):
        run.log_metrics({"recall@1": step / 10}, step=step)
    history = run.client.get_metric_history(run.run_id, "recall_at_1")
    assert [(m.step, m.value) for m in history] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    run.finish("FINISHED")


def test_children_are_found_by_their_parent_in_order(workdir):
    run = start_run(workdir, "experiment", "c")
    for name in ("first", "second"):
        run.child(name, {"stage": name}).finish("FINISHED")
    assert [c.data.tags["stage"] for c in run.children()] == ["first", "second"]
    run.finish("FINISHED")


def test_runs_of_dead_processes_are_closed_with_their_children(workdir):
    script = (
        "import os, signal\n"
        "from tasks.tracking import start_run\n"
        f"run = start_run({workdir!r}, 'experiment', 'doomed')\n"
        "child = run.child('stage', {})\n"
        "print(run.run_id, child.run_id, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    ids = killed.stdout.split()
    alive = start_run(workdir, "experiment", "next")
    statuses = [alive.client.get_run(i).info.status for i in (*ids, alive.run_id)]
    assert statuses == ["KILLED", "KILLED", "RUNNING"]
    alive.finish("FINISHED")
