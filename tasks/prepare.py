"""Stage: images and ground truth become a catalogue."""

import logging
import warnings
from contextvars import copy_context

from prefect import task
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from retrieval_core.artifacts import ArtifactRef
from retrieval_core.config import DatasetConfig
from retrieval_core.data.benchmarks.sources import load_benchmarks
from retrieval_core.data.benchmarks.state import benchmark_state
from retrieval_core.data.identity import dataset_identity
from retrieval_core.data.prepare import Need, fetch_dataset, prepare_dataset
from tasks.context import RunContext
from tasks.progress import StageProgress
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 2


@task(name="prepare", task_run_name="prepare {config.label}", tags=["data"], **STAGE_OPTIONS)
def prepare(
    context: RunContext, config: DatasetConfig, needs: tuple[Need, ...] = ("test",)
) -> State[ArtifactRef]:
    """Make or check the dataset; its key covers the images' names, sizes and times.

    Args:
        context: surroundings of the run.
        config: which dataset.
        needs: splits that may not be empty; ("database",) of distractors.
    """
    _tell_licence(config, get_run_logger())
    # first, since the key covers what was downloaded
    _fetch(config)
    stage = Stage(
        name=f"prepare {config.label}" + (" as distractors" if needs == ("database",) else ""),
        kind="dataset",
        label=config.label,
        version=VERSION,
        config={**dataset_identity(config), "needs": needs},
        inputs={},
    )

    def build(run: StageRun) -> Outcome:
        prepared = prepare_dataset(config, run.directory, progress=run.progress, needs=needs)
        catalogue = prepared.catalogue
        counts = {f"{s}_images": len(catalogue.split(s)) for s in ("train", "val", "test")}
        return Outcome(
            counts={**counts, "queries": len(catalogue.truth)},
            notes={"name": catalogue.name, "digest": prepared.digest},
            excluded=prepared.excluded,
        )

    return run_stage(context, stage, build)


def _tell_licence(
    config: DatasetConfig, logger: logging.Logger | logging.LoggerAdapter[logging.Logger]
) -> None:
    """Say in one line what the licence is of a benchmark that is about to be downloaded."""
    wanted = config.benchmark
    if config.kind != "benchmark" or not wanted.download or benchmark_state(wanted) == "whole":
        return
    benchmark = load_benchmarks(wanted.sources)[wanted.name]
    if not benchmark.restricted:
        logger.info("licence of %s: %s", wanted.name, benchmark.licence)
        return
    logger.warning("restricted licence of %s: %s", wanted.name, benchmark.licence)
    # logs go to the server; people at the terminal have to know, too
    warnings.warn(f"restricted licence of {wanted.name}: {benchmark.licence}", stacklevel=2)


def _fetch(config: DatasetConfig) -> None:
    """Download what is missing, with a bar for each download and archive."""
    bars: dict[str, StageProgress] = {}
    context = copy_context()

    def tell(what: str, done: int, total: int) -> None:
        if what not in bars:
            bars[what] = StageProgress(what)
        # the threads that download know nothing of this task
        context.copy().run(bars[what], done, total)

    try:
        fetch_dataset(config, progress=tell)
    finally:
        for bar in bars.values():
            bar.close()
