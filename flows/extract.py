"""Extract the descriptors of an experiment's test images."""

from prefect import flow

from flows.experiment import Experiment
from flows.result import FlowResult
from flows.surroundings import tracked_steps


@flow(name="extract", flow_run_name="{config.name}")
def extract(config: Experiment, workdir: str | None = None) -> FlowResult:
    """Extract with the trained network."""
    with tracked_steps(config, workdir) as steps:
        datasets = steps.datasets()
        network = steps.networks(datasets.train)[-1]
        # distractors are aggregated at once, which takes visual words
        words = steps.codebook(datasets.train, network) if datasets.distractors else None
        return steps.result(features=steps.features(datasets, network, words))
