"""The whole DAG: prepare -> train -> extract -> codebook -> index -> evaluate -> report."""

from prefect import flow

from flows.experiment import Experiment
from flows.result import FlowResult
from flows.surroundings import tracked_steps


@flow(name="pipeline", flow_run_name="{config.name}")
def pipeline(config: Experiment, workdir: str | None = None) -> FlowResult:
    """From photographs to a ranked, scored and tracked index."""
    with tracked_steps(config, workdir) as steps:
        datasets = steps.datasets()
        overlap = steps.overlap(datasets)
        by_network = [steps.scores(datasets, network) for network in steps.networks(datasets)]
        scores = [score for of_network in by_network for score in of_network]
        model = steps.registered(by_network[-1])
        report = steps.report(datasets, scores, overlap)
        return steps.result(scores=scores, report=[report], model=model)
