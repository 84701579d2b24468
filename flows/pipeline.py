"""The whole DAG: prepare -> train -> extract -> codebook -> index -> evaluate -> report."""

from prefect import flow

from flows.result import FlowResult
from flows.surroundings import tracked_steps
from retrieval_core.config import PipelineConfig


@flow(name="pipeline", flow_run_name="{config.name}")
def pipeline(config: PipelineConfig, workdir: str | None = None) -> FlowResult:
    """From photographs to a ranked, scored and tracked index."""
    with tracked_steps(config, workdir) as steps:
        datasets = steps.datasets()
        scores = [
            score
            for network in steps.networks(datasets)
            for score in steps.scores(datasets, network)
        ]
        report = steps.report(datasets, scores)
        return steps.result(scores=scores, report=[report])
