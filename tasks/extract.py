"""Stage: images become descriptors, in shards over Ray workers."""

from typing import Literal

from prefect import task
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.config import FeaturesConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.errors import DatasetError
from retrieval_core.features.shards import Shard, is_done, plan_shards
from retrieval_core.features.store import finish
from tasks.cluster import map_on_workers
from tasks.context import RunContext
from tasks.lineage import training_of
from tasks.sampling import sample
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 1


@task(name="extract", task_run_name="extract {part}", tags=["ray", "features"], **STAGE_OPTIONS)
def extract(
    context: RunContext,
    config: FeaturesConfig,
    model: ArtifactRef,
    dataset: ArtifactRef,
    part: Literal["test", "train"],
    limit: int | None = None,
    seed: int = 0,
) -> State[ArtifactRef]:
    """Extract the test images to be indexed, or a sample of the training images."""
    # a larger share of bad images does not change a descriptor: finished shards are kept
    settings = config.model_dump(mode="json", exclude={"max_excluded"})
    stage = Stage(
        name=f"extract {part} images, {training_of(model)}",
        kind="feats",
        label=f"{load_manifest(model.uri).label}-s{len(config.scales)}-n{config.max_features}",
        version=VERSION,
        config={"features": settings, "part": part, "limit": limit, "seed": seed},
        inputs={"model": model, "dataset": dataset},
    )

    def build(run: StageRun) -> Outcome:
        rows = sample(Catalogue.load(dataset.uri).split(part), limit, seed)
        if not rows:
            raise DatasetError(f"{dataset.uri} has no {part} images: training.dataset names others")
        shards = plan_shards(rows, config.shard_size)
        _extract_missing(context, config, model, shards, run)
        summary = finish(run.directory, shards, config.max_excluded)
        counts = {"images": summary.images, "local_descriptors": summary.local_descriptors}
        return Outcome(counts={**counts, "shards": len(shards)}, excluded=summary.excluded)

    return run_stage(context, stage, build)


def _extract_missing(
    context: RunContext,
    config: FeaturesConfig,
    model: ArtifactRef,
    shards: list[Shard],
    run: StageRun,
) -> None:
    missing = [shard for shard in shards if not is_done(run.directory, shard)]
    done = len(shards) - len(missing)
    run.tracked.tag(shards_resumed=str(done))
    run.progress(done, len(shards))
    for _ in map_on_workers(
        context.runtime.ray,
        lambda worker, shard: worker.extract.remote(model.uri, shard, config, run.directory.uri),
        missing,
    ):
        done += 1
        run.progress(done, len(shards))
