"""What every flow does first and last: check, connect, track, clean up."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from flows.steps import Steps
from retrieval_core.config import PipelineConfig
from retrieval_core.data.identity import dataset_identity
from retrieval_core.models import build_model
from retrieval_core.models.zoo import find_checkpoint, obtain
from tasks.cluster import disconnect
from tasks.context import RunContext
from tasks.environment import prepare_environment
from tasks.progress import StageProgress
from tasks.tracking import start_run


@contextmanager
def tracked_steps(config: PipelineConfig, workdir: str | None) -> Iterator[Steps]:
    """The steps of one flow run; its MLflow run ends FINISHED, FAILED or KILLED.

    Args:
        config: of the experiment; logged in full.
        workdir: default `$RETRIEVAL_WORKDIR`, else `./workdir`.

    Raises:
        RetrievalError: something that the configuration names is not there.
    """
    root = prepare_environment(workdir or os.environ.get("RETRIEVAL_WORKDIR", "workdir"))
    _check(config)
    run = start_run(str(root), config.runtime.experiment, config.name)
    run.log_config(config)
    run.log_environment()
    status = "FAILED"
    try:
        yield Steps(RunContext(str(root), run, config.runtime), config)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.finish(status)
        disconnect()


def _check(config: PipelineConfig) -> None:
    """Fail before any work starts where a name, a file or a directory is wrong."""
    _download_weights(config.model.weights)
    build_model(config.model)
    for dataset in (config.dataset, config.training_dataset, config.distractors):
        if dataset is not None:
            dataset_identity(dataset)


def _download_weights(weights: str) -> None:
    """With a progress bar, before any other work; `build_model` would download them silently."""
    checkpoint = find_checkpoint(weights)
    if checkpoint is None or checkpoint.is_here:
        return
    progress = StageProgress(f"download {checkpoint.name}")
    try:
        obtain(checkpoint, progress)
    finally:
        progress.close()
