"""Extract the descriptors of an experiment's test images."""

from prefect import flow

from flows.result import FlowResult
from flows.steps import networks, prepare_datasets, test_features
from flows.surroundings import tracked_run
from retrieval_core.config import PipelineConfig


@flow(name="extract", flow_run_name="{config.name}")
def extract(config: PipelineConfig, workdir: str | None = None) -> FlowResult:
    """Extract with the trained network."""
    with tracked_run(config, workdir) as context:
        datasets = prepare_datasets(context, config)
        model = networks(context, config, datasets)[-1]
        features = test_features(context, config, datasets, model)
        return FlowResult.of(context, features=[features])
