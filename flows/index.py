"""Build the indexes of an experiment."""

from prefect import flow

from flows.result import FlowResult
from flows.surroundings import tracked_steps
from retrieval_core.config import PipelineConfig


@flow(name="index", flow_run_name="{config.name}")
def index(config: PipelineConfig, workdir: str | None = None) -> FlowResult:
    """Index the database with the trained network."""
    with tracked_steps(config, workdir) as steps:
        datasets = steps.datasets()
        network = steps.networks(datasets)[-1]
        indexes = steps.indexes(datasets, network)
        return steps.result(**{name: [index] for name, index in indexes.items()})
