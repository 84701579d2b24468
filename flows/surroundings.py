"""What every flow does first and last: check, connect, track, clean up."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from retrieval_core.config import DatasetConfig, PipelineConfig, RuntimeConfig, TrainingConfig
from retrieval_core.data.identity import dataset_identity
from retrieval_core.errors import ConfigError
from tasks.environment import prepare_environment
from tasks.progress import StageProgress

# torch, Ray and MLflow are imported where a flow runs: who only registers it need not wait for them
if TYPE_CHECKING:
    from flows.steps import Steps
    from retrieval_core.models.base import RetrievalModel
    from tasks.context import RunContext


def chosen_workdir(workdir: str | None) -> str:
    """The absolute work directory, ready: this one, `$RETRIEVAL_WORKDIR` or `./workdir`.

    Raises:
        StorageError: nothing can be written there.
    """
    chosen = workdir or os.environ.get("RETRIEVAL_WORKDIR", "workdir")
    return str(prepare_environment(chosen))


@contextmanager
def tracked_steps(
    config: PipelineConfig, workdir: str | None, *, with_network: bool = True
) -> Iterator["Steps"]:
    """The steps of one flow run; its MLflow run ends FINISHED, FAILED or KILLED.

    Args:
        config: of the experiment; logged in full.
        workdir: as `chosen_workdir` has it.
        with_network: whether the steps need the network, whose weights are then checked.

    Raises:
        RetrievalError: something that the configuration names is not there, or does not fit the
            network.
    """
    from flows.steps import Steps

    root = chosen_workdir(workdir)
    if with_network:
        _check_network(config)
    _check_datasets(config, root)
    with tracked_context(config.name, config.runtime, root) as context:
        context.run.log_config(config)
        yield Steps(context, config)


@contextmanager
def tracked_context(name: str, runtime: RuntimeConfig, workdir: str) -> Iterator["RunContext"]:
    """An MLflow run that ends FINISHED, FAILED or KILLED, and then leaves the cluster.

    Args:
        name: of the run.
        runtime: of the flow.
        workdir: from `chosen_workdir`.
    """
    from tasks.cluster import cluster_scope
    from tasks.context import RunContext
    from tasks.tracking import start_run

    run = start_run(workdir, runtime.experiment, name)
    run.log_environment()
    status = "FAILED"
    try:
        with cluster_scope():
            yield RunContext(workdir, run, runtime)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.finish(status)


def _check_network(config: PipelineConfig) -> None:
    """Fail before any work starts where a name or a file is wrong, or a setting does not fit."""
    from retrieval_core.models import build_model

    _download_weights(config.model.weights)
    model = build_model(config.model)
    if config.training.epochs:
        _check_recipe(model, config.training)
    whitening = config.postprocessing.whitening
    if whitening and (whitening.dimensions or 0) > model.global_dim:
        raise ConfigError(
            f"postprocessing.whitening.dimensions: {whitening.dimensions} is more than the "
            f"{model.global_dim} dimensions of a descriptor"
        )


def _check_recipe(model: "RetrievalModel", recipe: TrainingConfig) -> None:
    from retrieval_core.training.freezing import freeze_first_layers
    from retrieval_core.training.labelled import require_crops

    freeze_first_layers(model, recipe.frozen_layers)  # of a network that is for checks alone
    if recipe.sampling.kind != "tuples":
        require_crops(model, recipe.augmentation)


def _check_datasets(config: PipelineConfig, workdir: str) -> None:
    """Fail before any work starts where a file, a directory or an index is not there."""
    from tasks.distractors import find_distractors

    whitening = config.postprocessing.whitening
    fitted_to = whitening and whitening.dataset
    for dataset in (config.dataset, config.training_dataset, config.distractors, fitted_to):
        if isinstance(dataset, DatasetConfig):
            dataset_identity(dataset)
    find_distractors(config, workdir)


def _download_weights(weights: str) -> None:
    """With a progress bar, before any other work; `build_model` would download them silently."""
    from retrieval_core.models.zoo import find_checkpoint, obtain

    checkpoint = find_checkpoint(weights)
    if checkpoint is None or checkpoint.is_here:
        return
    progress = StageProgress(f"download {checkpoint.name}")
    try:
        obtain(checkpoint, progress)
    finally:
        progress.close()
