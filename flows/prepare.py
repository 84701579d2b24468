"""Make or check the datasets of an experiment."""

from prefect import flow

from flows.experiment import Experiment
from flows.result import FlowResult
from flows.surroundings import tracked_steps


@flow(name="prepare", flow_run_name="{config.name}")
def prepare(config: Experiment, workdir: str | None = None) -> FlowResult:
    """Prepare the images to score on, to learn from, and those that distract."""
    with tracked_steps(config, workdir, with_network=False) as steps:
        datasets = steps.datasets()
        distractors = [] if datasets.distractors is None else [datasets.distractors]
        return steps.result(test=[datasets.test], train=[datasets.train], distractors=distractors)
