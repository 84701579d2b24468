"""What the Prefect UI shows of a stage."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieval_core.artifacts import Manifest
from tasks.running import read_running
from tasks.tracking import TrackedRun

REUSED = "reused: settings, inputs and code version have not changed (seconds of the first run)"
SHOWN_EXCLUDED = 20


def describe(
    name: str, uri: str, manifest: Manifest, run: TrackedRun, workdir: str, *, reused: bool
) -> str:
    """A stage's result as Markdown: where it is, its numbers and what it left out.

    Args:
        name: of the stage.
        uri: of its artifact.
        manifest: of its artifact.
        run: its MLflow run, linked while `retrieval up` serves the work directory.
        workdir: that the stage runs on.
        reused: whether it was there before.
    """
    facts = {
        "artifact": f"`{manifest.kind}` {manifest.label}",
        "key": f"`{manifest.key}`",
        "address": f"`{uri}`",
        "MLflow run": _mlflow_run(run, workdir),
    }
    numbers = {**manifest.counts, **manifest.metrics}
    state = REUSED if reused else f"built in {manifest.seconds:.1f} s"
    return (
        f"## {name}\n\n{state}\n\n{_table('result', facts)}\n\n"
        f"{_table('number', {k: f'{v:,.4g}' for k, v in numbers.items()})}\n\n"
        f"{_excluded(manifest.excluded)}\n"
    )


def _mlflow_run(run: TrackedRun, workdir: str) -> str:
    services = read_running(Path(workdir))
    if services is None:
        return f"`{run.run_id}`"
    address = f"{services.mlflow}/#/experiments/{run.experiment_id}/runs/{run.run_id}"
    return f"[{run.run_id}]({address})"


def _table(title: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join([f"| {title} | |", "|---|---|", *lines])


def _excluded(entries: list[dict[str, Any]]) -> str:
    if not entries:
        return "no images excluded"
    shown = {f"`{entry['path']}`": entry["reason"] for entry in entries[:SHOWN_EXCLUDED]}
    more = len(entries) - len(shown)
    rest = f"\n\nand {more:,} more: see `manifest.json`" if more > 0 else ""
    return f"{len(entries):,} images excluded\n\n{_table('image', shown)}{rest}"
