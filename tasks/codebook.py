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

VERSION = 1


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
        config={"size": config.size, "iterations": config.iterations, "seed": seed},
        inputs={"features": features},
    )

    def build(run: StageRun) -> Outcome:
        total = of_features.counts["local_descriptors"]
        descriptors = FeatureStore(features.uri).sample_local(total, seed)
        codebook = Codebook.train(descriptors, config.size, seed=seed, iterations=config.iterations)
        codebook.save(run.directory)
        return Outcome(counts={"words": config.size, "descriptors": len(descriptors)})

    return run_stage(context, stage, build)
