"""Finished runs by what people call them."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.config import load_config, parse_config
from retrieval_core.errors import ConfigError
from tasks.tracking import TrackedRun, tracking_uri

YAML = (".yaml", ".yml")
LISTED = 5


@dataclass(frozen=True)
class FoundRun:
    """A run and its scores.

    Attributes:
        name: as people know it.
        source: run id or directory.
        scores: artifacts of kind "scores".
        settings: of the whole experiment; empty where only scores are known.
        tracked: its MLflow run, if it was found there.
    """

    name: str
    source: str
    scores: list[ArtifactRef]
    settings: Mapping[str, Any] = field(default_factory=dict)
    tracked: TrackedRun | None = None


def find_run(reference: str, workdir: str) -> FoundRun:
    """The run that a person means.

    Args:
        reference: directory of an artifact of kind "report" or "scores"; a YAML file: the newest
            finished run with its settings; a run's name: the newest finished one; else the start
            of a run's id in MLflow.
        workdir: where MLflow's database is, unless `$MLFLOW_TRACKING_URI` names a server.

    Raises:
        ConfigError: there is no such run, there are several, or it has no scores.
    """
    if Path(reference).is_dir():
        return _from_directory(Path(reference).resolve())
    tracker = _Tracker(workdir)
    if reference.endswith(YAML):
        return tracker.by_config(reference)
    return tracker.by_name(reference) or tracker.by_id(reference)


def _from_directory(directory: Path) -> FoundRun:
    manifest = load_manifest(directory)
    if manifest.kind == "scores":
        ref = ArtifactRef(manifest.kind, manifest.key, str(directory))
        return FoundRun(manifest.label, str(directory), [ref])
    if manifest.kind != "report":
        raise ConfigError(
            f"{directory} is of kind {manifest.kind!r}: expected the directory of a report or of "
            "scores"
        )
    scores = [manifest.input(name) for name in manifest.inputs if name.startswith("scores_")]
    return FoundRun(manifest.label, str(directory), scores, manifest.config)


class _Tracker:
    """Runs in MLflow."""

    def __init__(self, workdir: str) -> None:
        self._uri = tracking_uri(workdir)
        database = Path(self._uri.removeprefix("sqlite:///"))
        if self._uri.startswith("sqlite:") and not database.exists():
            raise ConfigError(f"no runs yet: {database} does not exist; --workdir names another")
        self._client = MlflowClient(self._uri)
        self._experiments = [e.experiment_id for e in self._client.search_experiments()]

    def by_name(self, name: str) -> FoundRun | None:
        """The newest finished run of a name, None if there is none."""
        runs = self._finished(name)
        return self._found(runs[0]) if runs else None

    def by_config(self, path: str) -> FoundRun:
        """The newest finished run with the settings of a file."""
        config = load_config(path)
        wanted = config.model_dump(mode="json", exclude={"runtime"})
        runs = self._finished(config.name)
        for run in runs:
            if self._settings(run) == wanted:
                return self._found(run)
        hint = f"; those of other settings: {_listed(runs)}" if runs else ""
        raise ConfigError(f"{path}: no finished run with these settings; run it first{hint}")

    def by_id(self, start: str) -> FoundRun:
        """The only run whose id starts so; a stage's run stands for the run it belongs to."""
        if not re.fullmatch(r"[0-9a-f]{1,32}", start):
            raise ConfigError(
                f"{start}: no directory, no YAML file, and no finished run of that name in "
                f"{self._uri}"
            )
        found = self._search(f"attributes.run_id LIKE '{start}%'")
        ids = {run.data.tags.get(MLFLOW_PARENT_RUN_ID, run.info.run_id) for run in found}
        runs = [self._client.get_run(run_id) for run_id in sorted(ids)]
        if len(runs) != 1:
            several = f"several runs: {_listed(runs)}" if runs else f"no run in {self._uri}"
            raise ConfigError(f"{start}: {several}")
        return self._found(runs[0])

    def _finished(self, name: str) -> list[Run]:
        quoted = name.replace("'", "")
        found = self._search(f"attributes.run_name = '{quoted}' AND attributes.status = 'FINISHED'")
        return [run for run in found if MLFLOW_PARENT_RUN_ID not in run.data.tags]

    def _search(self, condition: str) -> list[Run]:
        newest_first = ["attributes.start_time DESC"]
        return list(self._client.search_runs(self._experiments, condition, order_by=newest_first))

    def _found(self, run: Run) -> FoundRun:
        tracked = TrackedRun(self._uri, run.info.experiment_id, run.info.run_id)
        tags = [child.data.tags for child in tracked.children()]
        scores = [
            ArtifactRef("scores", t["artifact.key"], t["artifact.uri"])
            for t in tags
            if t.get("artifact.kind") == "scores"
        ]
        if not scores:
            raise ConfigError(f"{_named(run)} is {run.info.status} and has no scores")
        name = run.info.run_name
        return FoundRun(name, run.info.run_id, scores, self._settings(run), tracked)

    def _settings(self, run: Run) -> dict[str, Any]:
        """Settings of a run with today's defaults for what is newer, but where and on what."""
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = self._client.download_artifacts(run.info.run_id, "config.yaml", folder)
                tree = yaml.safe_load(Path(path).read_text())
            return parse_config(tree).model_dump(mode="json", exclude={"runtime"})
        except (MlflowException, ConfigError, OSError):
            return {}


def _listed(runs: list[Run]) -> str:
    more = ", ..." if len(runs) > LISTED else ""
    return ", ".join(_named(run) for run in runs[:LISTED]) + more


def _named(run: Run) -> str:
    return f"{run.info.run_id[:8]} ({run.info.run_name})"
