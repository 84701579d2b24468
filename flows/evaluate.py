"""Score the trained network of an experiment."""

from prefect import flow

from flows.result import FlowResult
from flows.steps import networks, prepare_datasets, scores
from flows.surroundings import tracked_run
from retrieval_core.config import PipelineConfig


@flow(name="evaluate", flow_run_name="{config.name}")
def evaluate(config: PipelineConfig, workdir: str | None = None) -> FlowResult:
    """Evaluate every index of the trained network by the dataset's protocol."""
    with tracked_run(config, workdir) as context:
        datasets = prepare_datasets(context, config)
        model = networks(context, config, datasets)[-1]
        return FlowResult.of(context, scores=scores(context, config, datasets, model))
