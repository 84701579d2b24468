"""Stage: the network before training, its whitening set by PCA of training images."""

import ray
from prefect import task
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactDirectory, ArtifactRef
from retrieval_core.config import ModelConfig, TrainingConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.models import build_model, save_model
from retrieval_core.models.identity import weights_identity
from retrieval_core.models.zoo import starting_state
from retrieval_core.training.whitening import WhiteningReport, initialise_whitening
from tasks.cluster import connect, users_errors
from tasks.context import RunContext
from tasks.lineage import STATE
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 3


@task(name="initialise", tags=["ray", "model"], **STAGE_OPTIONS)
def initialise(
    context: RunContext,
    config: ModelConfig,
    training: TrainingConfig,
    dataset: ArtifactRef,
    seed: int,
) -> State[ArtifactRef]:
    """Build the network from its starting weights."""
    state = starting_state(config.weights)
    stage = Stage(
        name="initialise network",
        kind="model",
        label=f"{config.method}_{config.backbone}-{state}",
        version=VERSION,
        config={
            "model": config,
            "weights": weights_identity(config.weights),
            "whitening_images": training.whitening_images,
            "image_size": training.image_size,
            "seed": seed,
        },
        inputs={"dataset": dataset},
    )

    def build(run: StageRun) -> Outcome:
        connect(context.runtime.ray)
        job = ray.remote(num_cpus=1, max_retries=2)(_initialise)
        with users_errors():
            report = ray.get(job.remote(config, training, dataset.uri, run.directory.uri, seed))
        counts = {"images": report.images, "vectors": report.vectors}
        return Outcome(counts=counts, excluded=report.excluded, notes={STATE: state})

    return run_stage(context, stage, build)


def _initialise(
    config: ModelConfig, training: TrainingConfig, dataset_uri: str, model_uri: str, seed: int
) -> WhiteningReport:
    model = build_model(config, seed=seed)
    report = WhiteningReport(images=0, vectors=0, excluded=[])
    if model.needs_whitening:
        rows = Catalogue.load(dataset_uri).split("train")
        report = initialise_whitening(model, rows, training, seed=seed)
    save_model(model, ArtifactDirectory(model_uri))
    return report
