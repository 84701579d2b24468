"""Make or check the datasets of an experiment."""

from prefect import flow

from flows.result import FlowResult
from flows.steps import prepare_datasets
from flows.surroundings import tracked_run
from retrieval_core.config import PipelineConfig


@flow(name="prepare", flow_run_name="{config.name}")
def prepare(config: PipelineConfig, workdir: str | None = None) -> FlowResult:
    """Prepare the images to score on and the images to learn from."""
    with tracked_run(config, workdir) as context:
        datasets = prepare_datasets(context, config)
        return FlowResult.of(context, test=[datasets.test], train=[datasets.train])
