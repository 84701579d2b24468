"""Score the trained network of an experiment."""

from prefect import flow

from flows.experiment import Experiment
from flows.result import FlowResult
from flows.surroundings import tracked_steps


@flow(name="evaluate", flow_run_name="{config.name}")
def evaluate(config: Experiment, workdir: str | None = None) -> FlowResult:
    """Evaluate every index of the trained network by the dataset's protocol."""
    with tracked_steps(config, workdir) as steps:
        datasets = steps.datasets()
        network = steps.networks(datasets.train)[-1]
        return steps.result(scores=steps.scores(datasets, network))
