"""Train the network of an experiment."""

from prefect import flow

from flows.result import FlowResult
from flows.steps import networks, prepare_datasets
from flows.surroundings import tracked_run
from retrieval_core.config import PipelineConfig


@flow(name="train", flow_run_name="{config.name}")
def train(config: PipelineConfig, workdir: str | None = None) -> FlowResult:
    """Initialise and fine-tune the network."""
    with tracked_run(config, workdir) as context:
        datasets = prepare_datasets(context, config)
        return FlowResult.of(context, models=networks(context, config, datasets))
