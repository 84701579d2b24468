"""Stages: the database's descriptors become an inverted file and a vector index."""

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.config import AsmkConfig, VectorConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.features.store import FeatureStore
from retrieval_core.features.whitening import maker_of
from retrieval_core.index import Codebook
from retrieval_core.index.build import Aggregation, save_vectors
from retrieval_core.index.quality import ExactSample
from retrieval_core.index.storage import MANIFEST
from tasks.context import RunContext
from tasks.lineage import require_words_of, training_of
from tasks.partitions import PARTS, finish_missing
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 4
VECTOR_VERSION = 6


@task(name="index local", tags=["index"], **STAGE_OPTIONS)
def index_local(
    context: RunContext, config: AsmkConfig, features: ArtifactRef, codebook: ArtifactRef
) -> State[ArtifactRef]:
    """Build the ASMK inverted file of the database images."""
    stage = Stage(
        name=f"inverted file{_whose(features)}",
        kind="asmk",
        label=f"{_label(features)}-{'binary' if config.binary else 'float'}",
        version=VERSION,
        config={"binary": config.binary, "use_idf": config.use_idf},
        inputs={"features": features, "codebook": codebook},
    )

    def build(run: StageRun) -> Outcome:
        words = Codebook.load(codebook.uri)
        aggregation = _aggregation(config, features, codebook).tuned(words)
        size = context.runtime.ray.images_per_partition
        partitions = FeatureStore(features.uri).partitions(size)
        if len(partitions) == 1:
            index = aggregation.build(words, partitions[0], run.progress)
            index.save(run.directory.uri)
        else:
            parts = _aggregate_parts(context, run, aggregation, codebook, partitions)
            index = aggregation.merge(words, parts, run.directory.uri)
        run.directory.remove(PARTS)
        return Outcome(counts={"images": len(index)})

    return run_stage(context, stage, build)


@task(name="index global", tags=["index"], **STAGE_OPTIONS)
def index_global(
    context: RunContext, config: VectorConfig, features: ArtifactRef
) -> State[ArtifactRef]:
    """Build the vector index of the database images."""
    stage = Stage(
        name=f"vector index{_whose(features)}",
        kind="vectors",
        label=f"{_label(features)}-{config.kind}",
        version=VECTOR_VERSION,
        config=config.build_settings(),
        inputs={"features": features},
    )

    def build(run: StageRun) -> Outcome:
        scratch, database = f"{PARTS}/vectors", _database_ids(features)
        model = maker_of(load_manifest(features.uri))
        index, vectors = save_vectors(
            features.uri, database, run.directory, scratch, config, model=model
        )
        if index.kind != "exact":
            ExactSample.draw(index.image_ids, vectors).save(run.directory)
        run.directory.remove(PARTS)
        return Outcome(
            counts={"images": len(index), "dimensions": index.dim},
            notes={"kind": index.kind},
        )

    return run_stage(context, stage, build)


def _aggregation(config: AsmkConfig, features: ArtifactRef, codebook: ArtifactRef) -> Aggregation:
    """What to index, from descriptors or from what extraction made of them."""
    extracted = load_manifest(features.uri)
    require_words_of(extracted.input("model"), codebook)
    if from_postings := "codebook" in extracted.inputs:
        extracted.require_input("codebook", codebook)
    return Aggregation(
        features.uri,
        _database_ids(features),
        binary=config.binary,
        use_idf=config.use_idf,
        from_postings=from_postings,
    )


def _aggregate_parts(
    context: RunContext,
    run: StageRun,
    aggregation: Aggregation,
    codebook: ArtifactRef,
    partitions: list[tuple[int, ...]],
) -> list[str]:
    """Directories of the partitions' indexes, each of them complete."""

    def name(shards: tuple[int, ...]) -> str:
        # by what it holds: another cut of the same work does not find it
        return f"{PARTS}/{shards[0]:05d}-{shards[-1]:05d}"

    finish_missing(
        context,
        run,
        partitions,
        is_done=lambda shards: run.directory.exists(f"{name(shards)}/{MANIFEST}"),
        call=lambda worker, shards: worker.aggregate.remote(
            aggregation, codebook.uri, shards, f"{run.directory.uri}/{name(shards)}"
        ),
    )
    return [f"{run.directory.uri}/{name(shards)}" for shards in partitions]


def _label(features: ArtifactRef) -> str:
    return load_manifest(features.uri).label


def _whose(features: ArtifactRef) -> str:
    of_distractors = load_manifest(features.uri).config["part"] == "distractor"
    return f"{' of distractors' if of_distractors else ''}, {training_of(features)}"


def _database_ids(features: ArtifactRef) -> NDArray[np.int64]:
    dataset = load_manifest(features.uri).input("dataset")
    return np.array([row.image_id for row in Catalogue.load(dataset.uri).database()], np.int64)
