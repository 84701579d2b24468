"""Build the indexes of an experiment."""

from prefect import flow

from flows.experiment import Experiment
from flows.result import FlowResult
from flows.surroundings import tracked_steps


@flow(name="index", flow_run_name="{config.name}")
def index(config: Experiment, workdir: str | None = None) -> FlowResult:
    """Index the database, and distractors, with the trained network."""
    with tracked_steps(config, workdir) as steps:
        datasets = steps.datasets()
        network = steps.networks(datasets.train)[-1]
        words = steps.codebook(datasets.train, network)
        features = steps.features(datasets, network, words)
        built = steps.indexes(features, words)
        if config.postprocessing.is_on:
            # of the database alone: distractors have an index that others search theirs with
            found = steps.processed(datasets.train, network, features[:1], built["global"][:1])
            built |= found.built
        return steps.result(**built)
