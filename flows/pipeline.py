"""The whole DAG: prepare -> train -> extract -> codebook -> index -> evaluate -> report."""

from prefect import flow

from flows.experiment import Experiment
from flows.result import FlowResult
from flows.surroundings import tracked_steps
from retrieval_core.config import PipelineConfig
from retrieval_core.errors import ConfigError


@flow(name="pipeline", flow_run_name="{config.name}")
def pipeline(config: Experiment, workdir: str | None = None) -> FlowResult:
    """From photographs to a ranked, scored and tracked index."""
    _require_one_network(config)
    with tracked_steps(config, workdir) as steps:
        datasets = steps.datasets()
        overlap = steps.overlap(datasets)
        by_network = [steps.scores(datasets, network) for network in steps.networks(datasets.train)]
        scores = [score for of_network in by_network for score in of_network]
        model = steps.registered(by_network[-1])
        report = steps.report(datasets, scores, overlap)
        return steps.result(scores=scores, report=[report], model=model)


def _require_one_network(config: PipelineConfig) -> None:
    """Refuse an index of distractors where it could fit only one of two networks."""
    epochs = config.training.epochs
    if isinstance(config.distractors, str) and epochs:
        raise ConfigError(
            f"distractors: the index {config.distractors!r} is of one network, but with "
            f"training.epochs = {epochs} two are scored; `retrieval evaluate` scores the trained "
            "one alone, and a dataset as distractors is indexed for both"
        )
