"""Make or check the datasets of an experiment."""

from prefect import flow

from flows.result import FlowResult
from flows.surroundings import tracked_steps
from retrieval_core.config import PipelineConfig


@flow(name="prepare", flow_run_name="{config.name}")
def prepare(config: PipelineConfig, workdir: str | None = None) -> FlowResult:
    """Prepare the images to score on and the images to learn from."""
    with tracked_steps(config, workdir) as steps:
        datasets = steps.datasets()
        return steps.result(test=[datasets.test], train=[datasets.train])
