"""What all stages share: resolve the key, reuse or build, record, return a small reference."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed
from prefect.tasks import exponential_backoff

from retrieval_core.artifacts import (
    ArtifactDirectory,
    ArtifactRef,
    Manifest,
    commit,
    load_manifest,
    plain,
    read_manifest,
)
from retrieval_core.errors import RetrievalError
from tasks.context import RunContext
from tasks.description import REUSED, describe
from tasks.progress import StageProgress
from tasks.reporting import report
from tasks.tracking import TrackedRun, link

SHOWN = (".png", ".html")


@dataclass(frozen=True)
class Stage:
    """The identity of one piece of work.

    Attributes:
        name: shown to people, such as "extract test images".
        kind: of the artifact.
        label: tells people what is inside, such as "how_resnet50-s7-n1000".
        version: of the stage's code; raised when its output changes for the same input.
        config: settings that determine the content.
        inputs: artifacts that determine the content, by role.
    """

    name: str
    kind: str
    label: str
    version: int
    config: Mapping[str, Any]
    inputs: Mapping[str, ArtifactRef]

    def ref(self, context: RunContext) -> ArtifactRef:
        """Where the result lives, built or not."""
        return context.store.ref(
            self.kind, self.label, config=self.config, inputs=self.inputs, version=self.version
        )


@dataclass(frozen=True)
class Outcome:
    """What a stage says of what it built.

    Attributes:
        counts: of images, descriptors, words ...
        metrics: scores and losses.
        excluded: one entry per input that could not be used, with its reason.
        notes: facts in words, such as the digest of a dataset's content.
    """

    counts: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    excluded: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StageRun:
    """One execution of a stage: where to write, and whom to tell.

    Attributes:
        directory: of the artifact; files of an interrupted attempt are still there.
        progress: call with (done, total).
        tracked: the stage's MLflow run.
    """

    directory: ArtifactDirectory
    progress: StageProgress
    tracked: TrackedRun


def retry_condition(task: Any, run: Any, state: State) -> bool:
    """A user's error stays an error however often it is tried; anything else may pass."""
    try:
        state.result()
    except RetrievalError:
        return False
    except Exception:
        return True
    return False


# A timeout of hours that comes some seconds late is no warning to begin every stage's log with.
logging.getLogger("prefect.task_runs").addFilter(
    lambda record: not str(record.msg).startswith("Timeout of %s seconds configured")
)

# Options of every stage; flows override retries and timeout by the runtime's configuration.
STAGE_OPTIONS: dict[str, Any] = {
    "retries": 1,
    "retry_delay_seconds": exponential_backoff(2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": retry_condition,
    "timeout_seconds": 72 * 3600,
    "persist_result": False,
}


def run_stage(
    context: RunContext, stage: Stage, build: Callable[[StageRun], Outcome]
) -> State[ArtifactRef]:
    """Reuse the stage's artifact or build it, under a child run in MLflow.

    Returns:
        A completed state whose data is the `ArtifactRef`; its name is "Cached" if it was there.
    """
    ref = stage.ref(context)
    tracked = context.run.child(stage.name, {**link(ref), "stage": stage.name})
    try:
        if reused := context.store.exists(ref):
            manifest = read_manifest(ref.uri)
            state: State[ArtifactRef] = Completed(name="Cached", message=REUSED, data=ref)
        else:
            manifest = _build(stage, ref, tracked, build)
            state = Completed(message=f"{stage.name}: {manifest.seconds:.1f} s", data=ref)
        _record(ref, manifest, tracked, reused=reused)
        _log_datasets(ref, manifest, tracked, context.run)
        shown = describe(stage.name, ref.uri, manifest, tracked, context.workdir, reused=reused)
        report(create_markdown_artifact, shown, description=stage.name)
        tracked.finish("FINISHED")
        return state
    except BaseException:
        tracked.finish("FAILED")
        raise


def _build(
    stage: Stage, ref: ArtifactRef, tracked: TrackedRun, build: Callable[[StageRun], Outcome]
) -> Manifest:
    run = StageRun(ArtifactDirectory(ref.uri), StageProgress(stage.name), tracked)
    start = time.perf_counter()
    try:
        outcome = build(run)
    finally:
        run.progress.close()
    return commit(
        run.directory,
        Manifest(
            kind=ref.kind,
            key=ref.key,
            label=stage.label,
            version=stage.version,
            config=plain(stage.config),
            inputs={name: dict(vars(i)) for name, i in stage.inputs.items()},
            counts=outcome.counts,
            metrics=outcome.metrics,
            notes=outcome.notes,
            excluded=outcome.excluded,
            seconds=round(time.perf_counter() - start, 3),
        ),
    )


def _record(ref: ArtifactRef, manifest: Manifest, tracked: TrackedRun, *, reused: bool) -> None:
    tracked.tag(reused=str(reused).lower(), seconds=f"{manifest.seconds:.3f}")
    tracked.log_params(manifest.config)
    tracked.log_metrics({**manifest.counts, **manifest.metrics, "seconds": manifest.seconds})
    tracked.client.log_dict(tracked.run_id, vars(manifest), "manifest.json")
    pictures = [name for name in manifest.files if name.endswith(SHOWN)]
    tracked.log_files(ArtifactDirectory(ref.uri), pictures)


def _log_datasets(
    ref: ArtifactRef, manifest: Manifest, tracked: TrackedRun, parent: TrackedRun
) -> None:
    """A stage has the datasets it reads as inputs; the pipeline run, those that it prepared."""
    if manifest.kind == "dataset":
        for run in (tracked, parent):
            run.log_dataset(manifest.label, manifest.notes["digest"], ref.uri)
    for name in manifest.inputs:
        if (read := manifest.input(name)).kind == "dataset":
            dataset = load_manifest(read.uri)
            tracked.log_dataset(dataset.label, dataset.notes["digest"], read.uri)
