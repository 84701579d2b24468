"""MLflow, by explicit run ids: one parent run per pipeline run, one child per stage.

Only the process that started a run writes to it; workers report numbers back to that process.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from retrieval_core.artifacts import ArtifactDirectory, ArtifactRef
from retrieval_core.config import Config, dump_config
from tasks.environment import describe_environment

PARAM_LENGTH = 6000
MLFLOW_DIGEST_LENGTH = 36


@dataclass(frozen=True)
class TrackedRun:
    """Address of an MLflow run; safe to pass between tasks and processes."""

    tracking_uri: str
    experiment_id: str
    run_id: str

    @property
    def client(self) -> MlflowClient:
        """A client for the run's server or database."""
        return MlflowClient(self.tracking_uri)

    def child(self, name: str, tags: Mapping[str, str]) -> "TrackedRun":
        """Start a run below this one."""
        return _start(
            self.client,
            self.tracking_uri,
            self.experiment_id,
            name,
            {**tags, MLFLOW_PARENT_RUN_ID: self.run_id},
        )

    def beside(self, name: str, tags: Mapping[str, str]) -> "TrackedRun":
        """Start a run in the same experiment."""
        return _start(self.client, self.tracking_uri, self.experiment_id, name, tags)

    def children(self) -> list[Any]:
        """MLflow runs below this one, oldest first."""
        return list(
            self.client.search_runs(
                [self.experiment_id],
                filter_string=f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.run_id}'",
                order_by=["attributes.start_time ASC"],
            )
        )

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Log nested settings under dotted names."""
        flat = [Param(k, str(v)[:PARAM_LENGTH]) for k, v in _flatten(values)]
        self.client.log_batch(self.run_id, params=flat)

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log numbers of one step."""
        now = int(time.time() * 1000)
        metrics = [Metric(metric_name(k), float(v), now, step) for k, v in values.items()]
        self.client.log_batch(self.run_id, metrics=metrics)

    def log_config(self, config: Config) -> None:
        """Log the fully resolved settings as parameters and as a YAML file."""
        self.log_params(config.model_dump(mode="json"))
        self.client.log_text(self.run_id, dump_config(config), "config.yaml")

    def log_environment(self) -> None:
        """Log the versions of what runs, and the git commit."""
        environment = describe_environment()
        self.client.log_dict(self.run_id, environment, "environment.json")
        for name, value in environment.items():
            self.client.set_tag(self.run_id, f"environment.{name}", value)

    def log_dataset(self, name: str, digest: str, uri: str) -> None:
        """Log a dataset as an input, with the digest of its content."""
        dataset = Dataset(name, digest[:MLFLOW_DIGEST_LENGTH], "local", json.dumps({"uri": uri}))
        self.client.log_inputs(self.run_id, [DatasetInput(dataset)])

    def log_files(self, directory: ArtifactDirectory, names: list[str]) -> None:
        """Copy small files (pictures, tables, manifests) into the run, under their names."""
        for name in names:
            folder = name.rpartition("/")[0] or None
            self.client.log_artifact(self.run_id, str(directory.local(name)), folder)

    def tag(self, **values: str) -> None:
        """Set tags."""
        tags = [RunTag(k, v) for k, v in values.items()]
        self.client.log_batch(self.run_id, tags=tags)

    def finish(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self.client.set_terminated(self.run_id, status)


def start_run(workdir: str, experiment: str, name: str) -> TrackedRun:
    """Start the run of a whole flow; runs of dead processes are closed as KILLED.

    The server is `$MLFLOW_TRACKING_URI`, else a SQLite database in the work directory.
    """
    uri = tracking_uri(workdir)
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    experiment_id = (
        found.experiment_id
        if found
        else client.create_experiment(experiment, _artifact_location(uri, workdir))
    )
    _close_abandoned(client, experiment_id)
    owner = {"process": f"{os.uname().nodename}:{os.getpid()}"}
    return _start(client, uri, experiment_id, name, owner)


def tracking_uri(workdir: str) -> str:
    """`$MLFLOW_TRACKING_URI`, else the SQLite database in the work directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workdir}/mlflow.db"


def link(ref: ArtifactRef) -> dict[str, str]:
    """Tags that lead from a run to an artifact."""
    return {"artifact.kind": ref.kind, "artifact.key": ref.key, "artifact.uri": ref.uri}


def _start(
    client: MlflowClient, uri: str, experiment_id: str, name: str, tags: Mapping[str, str]
) -> TrackedRun:
    run = client.create_run(experiment_id, tags={MLFLOW_RUN_NAME: name, **tags})
    return TrackedRun(uri, experiment_id, run.info.run_id)


def _artifact_location(uri: str, workdir: str) -> str | None:
    return f"file://{workdir}/mlflow-artifacts" if uri.startswith("sqlite:") else None


def _close_abandoned(client: MlflowClient, experiment_id: str) -> None:
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        host, _, pid = run.data.tags.get("process", "").partition(":")
        if host == os.uname().nodename and not Path(f"/proc/{pid}").exists():
            children = TrackedRun("", experiment_id, run.info.run_id)
            _kill_children(client, children)
            client.set_terminated(run.info.run_id, "KILLED")


def _kill_children(client: MlflowClient, parent: TrackedRun) -> None:
    condition = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent.run_id}' AND status = 'RUNNING'"
    for child in client.search_runs([parent.experiment_id], condition):
        client.set_terminated(child.info.run_id, "KILLED")


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat += _flatten(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat


def metric_name(name: str) -> str:
    """A metric's name as MLflow takes it."""
    return name.replace("@", "_at_")
