"""Stage: k-means over local descriptors of training images."""

from prefect import task
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.config import CodebookConfig
from retrieval_core.features.store import FeatureStore
from retrieval_core.index import Codebook
from tasks.context import RunContext
from tasks.lineage import training_of
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 3
# what extraction does not take
OWN = {"size", "iterations", "exact", "descriptors_per_word"}


@task(name="codebook", tags=["index"], **STAGE_OPTIONS)
def build_codebook(
    context: RunContext, config: CodebookConfig, features: ArtifactRef, seed: int
) -> State[ArtifactRef]:
    """Cluster the descriptors into visual words."""
    of_features = load_manifest(features.uri)
    stage = Stage(
        name=f"codebook, {training_of(features)}",
        kind="codebook",
        label=f"{of_features.label}-k{config.size}",
        version=VERSION,
        config={**config.model_dump(include=OWN), "seed": seed},
        inputs={"features": features},
    )

    def build(run: StageRun) -> Outcome:
        limit = config.size * config.descriptors_per_word
        descriptors = FeatureStore(features.uri).sample_local(limit, seed)
        codebook = Codebook.train(
            descriptors,
            config.size,
            seed=seed,
            iterations=config.iterations,
            exact=config.exact,
            device=config.device,
            progress=run.progress,
        )
        codebook.save(run.directory)
        quality = codebook.quality(descriptors)
        return Outcome(
            counts={"words": config.size, "descriptors": len(descriptors)},
            metrics={"quantisation_error": quality.error, "words_used": quality.used},
        )

    return run_stage(context, stage, build)
