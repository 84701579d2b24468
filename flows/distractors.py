"""Index the distractors of an experiment alone."""

from prefect import flow

from flows.experiment import Experiment
from flows.result import FlowResult
from flows.surroundings import tracked_steps


@flow(name="distractors", flow_run_name="{config.name}")
def distractors(config: Experiment, workdir: str | None = None) -> FlowResult:
    """Index them with the trained network, for every experiment that has the same one."""
    with tracked_steps(config, workdir) as steps:
        images, train = steps.distractor_images(), steps.training_images()
        network = steps.networks(train)[-1]
        words = steps.codebook(train, network)
        features = steps.distractor_features(images, network, words)
        return steps.result(**steps.indexes([features], words))
