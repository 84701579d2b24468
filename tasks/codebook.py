"""Stage: k-means over local descriptors of training images."""

from prefect import task
from prefect.states import State

from retrieval_core.artifacts import ArtifactRef, read_manifest
from retrieval_core.config import CodebookConfig
from retrieval_core.features.store import FeatureStore
from retrieval_core.index import Codebook
from tasks.context import RunContext
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 1


@task(name="codebook", tags=["index"], **STAGE_OPTIONS)
def build_codebook(
    context: RunContext, config: CodebookConfig, features: ArtifactRef, seed: int
) -> State[ArtifactRef]:
    """Cluster the descriptors into visual words."""
    stage = Stage(
        name="codebook",
        kind="codebook",
        label=f"{config.size}-words",
        version=VERSION,
        config={"size": config.size, "iterations": config.iterations, "seed": seed},
        inputs={"features": features},
    )

    def build(run: StageRun) -> Outcome:
        total = read_manifest(features.uri).counts["local_descriptors"]
        descriptors = FeatureStore(features.uri).sample_local(total, seed)
        codebook = Codebook.train(descriptors, config.size, seed=seed, iterations=config.iterations)
        codebook.save(run.directory)
        return Outcome(counts={"words": config.size, "descriptors": len(descriptors)})

    return run_stage(context, stage, build)
