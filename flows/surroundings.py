"""What every flow does first and last: where things live, and the MLflow run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from retrieval_core.config import PipelineConfig
from tasks.cluster import disconnect
from tasks.context import RunContext
from tasks.environment import prepare_environment
from tasks.tracking import start_run


@contextmanager
def tracked_run(config: PipelineConfig, workdir: str | None) -> Iterator[RunContext]:
    """The surroundings of one flow run; its MLflow run ends FINISHED, FAILED or KILLED.

    Args:
        config: of the experiment; logged in full.
        workdir: default `$RETRIEVAL_WORKDIR`, else `./workdir`.
    """
    root = prepare_environment(workdir or os.environ.get("RETRIEVAL_WORKDIR", "workdir"))
    run = start_run(str(root), config.runtime.experiment, config.name)
    run.log_config(config)
    run.log_environment()
    status = "FAILED"
    try:
        yield RunContext(str(root), run, config.runtime)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.finish(status)
        disconnect()
