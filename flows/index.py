"""Build the indexes of an experiment."""

from prefect import flow

from flows.result import FlowResult
from flows.steps import indexes, networks, prepare_datasets
from flows.surroundings import tracked_run
from retrieval_core.config import PipelineConfig


@flow(name="index", flow_run_name="{config.name}")
def index(config: PipelineConfig, workdir: str | None = None) -> FlowResult:
    """Index the database with the trained network."""
    with tracked_run(config, workdir) as context:
        datasets = prepare_datasets(context, config)
        model = networks(context, config, datasets)[-1]
        built = indexes(context, config, datasets, model)
        return FlowResult.of(context, **{name: [future] for name, future in built.items()})
