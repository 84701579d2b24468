"""Stage: images become descriptors, in shards over Ray workers."""

from typing import Any, Literal

from prefect import task
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.config import FeaturesConfig
from retrieval_core.data.catalogue import Catalogue, ImageRow
from retrieval_core.errors import DatasetError
from retrieval_core.features.shards import is_done, plan_shards
from retrieval_core.features.store import finish
from tasks.cluster import Words
from tasks.context import RunContext
from tasks.lineage import require_words_of, training_of
from tasks.partitions import finish_missing
from tasks.sampling import sample, sample_matching
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 3
Part = Literal["test", "train", "distractor"]


@task(name="extract", task_run_name="extract {part}", tags=["ray", "features"], **STAGE_OPTIONS)
def extract(
    context: RunContext,
    config: FeaturesConfig,
    model: ArtifactRef,
    dataset: ArtifactRef,
    part: Part,
    limit: int | None = None,
    seed: int = 0,
    codebook: ArtifactRef | None = None,
    binary: bool = True,
    matching: bool = False,
) -> State[ArtifactRef]:
    """Extract the test images, a sample of the training images, or distractors to be indexed.

    Args:
        context: surroundings of the run.
        config: of the extraction.
        model: the network.
        dataset: whose images are extracted.
        part: of the dataset.
        limit: most images, drawn at random; None takes all.
        seed: of the draw.
        codebook: local descriptors are aggregated by its visual words at once, and not kept.
        binary: to signs, else to directions.
        matching: with a limit, training images are drawn together with those that match them.
    """
    settings = _settings(config) | {"part": part, "limit": limit, "seed": seed}
    settings |= {"matching": True} if matching else {}
    inputs = {"model": model, "dataset": dataset}
    words = None
    if codebook:
        settings["binary"], inputs["codebook"] = binary, codebook
        words = Words(codebook.uri, binary)
    stage = Stage(
        name=f"extract {part} images, {training_of(model)}",
        kind="feats",
        label=f"{load_manifest(model.uri).label}-s{len(config.scales)}-n{config.max_features}",
        version=VERSION,
        config=settings,
        inputs=inputs,
    )

    def build(run: StageRun) -> Outcome:
        if codebook:
            require_words_of(model, codebook)
        rows = _drawn(dataset, part, limit, seed, matching=matching)
        shards = plan_shards(rows, config.shard_size)
        finish_missing(
            context,
            run,
            shards,
            is_done=lambda shard: is_done(run.directory, shard),
            call=lambda worker, shard: worker.extract.remote(
                model.uri, shard, config, run.directory.uri, words
            ),
        )
        summary = finish(run.directory, shards, config.max_excluded)
        counts = {"images": summary.images, "local_descriptors": summary.local_descriptors}
        return Outcome(counts={**counts, "shards": len(shards)}, excluded=summary.excluded)

    return run_stage(context, stage, build)


def _settings(config: FeaturesConfig) -> dict[str, Any]:
    # a larger share of bad images does not change a descriptor: finished shards are kept
    return {"features": config.model_dump(mode="json", exclude={"max_excluded"})}


def _drawn(
    dataset: ArtifactRef, part: Part, limit: int | None, seed: int, *, matching: bool
) -> list[ImageRow]:
    catalogue = Catalogue.load(dataset.uri)
    rows = catalogue.database() if part == "distractor" else catalogue.split(part)
    if not rows:
        raise DatasetError(f"{dataset.uri} has no {part} images: training.dataset names others")
    if matching and limit is not None:
        return sample_matching(catalogue, limit, seed)
    return sample(rows, limit, seed)
