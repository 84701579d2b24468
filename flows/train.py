"""Train the network of an experiment."""

from prefect import flow

from flows.experiment import Experiment
from flows.result import FlowResult
from flows.surroundings import tracked_steps


@flow(name="train", flow_run_name="{config.name}")
def train(config: Experiment, workdir: str | None = None) -> FlowResult:
    """Initialise and fine-tune the network."""
    with tracked_steps(config, workdir) as steps:
        datasets = steps.datasets()
        return steps.result(models=steps.networks(datasets.train))
