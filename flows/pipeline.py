"""The whole DAG: prepare -> train -> extract -> codebook -> index -> evaluate -> report."""

from prefect import flow

from flows.result import FlowResult
from flows.steps import networks, prepare_datasets, scores, submit
from flows.surroundings import tracked_run
from retrieval_core.config import PipelineConfig
from tasks.report import report


@flow(name="pipeline", flow_run_name="{config.name}", validate_parameters=True)
def pipeline(config: PipelineConfig, workdir: str | None = None) -> FlowResult:
    """From photographs to a ranked, scored and tracked index."""
    with tracked_run(config, workdir) as context:
        datasets = prepare_datasets(context, config)
        scored = [
            score
            for model in networks(context, config, datasets)
            for score in scores(context, config, datasets, model)
        ]
        summary = submit(report, context, config, datasets.test, scored)
        return FlowResult.of(context, scores=scored, report=[summary])
