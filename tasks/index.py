"""Stages: the database's descriptors become an inverted file and a vector index."""

from prefect import task
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.config import AsmkConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.features.store import FeatureStore
from retrieval_core.index import AsmkIndex, Codebook, VectorIndex
from tasks.context import RunContext
from tasks.lineage import training_of
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 1


@task(name="index local", tags=["index"], **STAGE_OPTIONS)
def index_local(
    context: RunContext, config: AsmkConfig, features: ArtifactRef, codebook: ArtifactRef
) -> State[ArtifactRef]:
    """Build the ASMK inverted file of the database images."""
    stage = Stage(
        name=f"inverted file, {training_of(features)}",
        kind="asmk",
        label=f"{_label(features)}-{'binary' if config.binary else 'float'}",
        version=VERSION,
        config={"binary": config.binary, "use_idf": config.use_idf},
        inputs={"features": features, "codebook": codebook},
    )

    def build(run: StageRun) -> Outcome:
        _require_same_model(features, codebook)
        index = AsmkIndex.create(
            Codebook.load(codebook.uri), binary=config.binary, use_idf=config.use_idf
        )
        store = FeatureStore(features.uri)
        database = _database_ids(features)
        for shard in store.local_shards(database):
            index.add(shard.image_ids, shard.descriptors, shard.image_index)
            run.progress(len(index), len(database))
        index.save(run.directory.uri)
        return Outcome(counts={"images": len(index)})

    return run_stage(context, stage, build)


@task(name="index global", tags=["index"], **STAGE_OPTIONS)
def index_global(context: RunContext, features: ArtifactRef) -> State[ArtifactRef]:
    """Build the vector index of the database images."""
    stage = Stage(
        name=f"vector index, {training_of(features)}",
        kind="vectors",
        label=f"{_label(features)}-exact",
        version=VERSION,
        config={},
        inputs={"features": features},
    )

    def build(run: StageRun) -> Outcome:
        ids, vectors = FeatureStore(features.uri).global_descriptors(_database_ids(features))
        index = VectorIndex.create(vectors.shape[1])
        index.add(ids, vectors)
        index.save(run.directory.uri)
        return Outcome(counts={"images": len(ids), "dimensions": vectors.shape[1]})

    return run_stage(context, stage, build)


def _label(features: ArtifactRef) -> str:
    return load_manifest(features.uri).label


def _database_ids(features: ArtifactRef) -> list[int]:
    dataset = load_manifest(features.uri).input("dataset")
    return [row.image_id for row in Catalogue.load(dataset.uri).database()]


def _require_same_model(features: ArtifactRef, codebook: ArtifactRef) -> None:
    model = load_manifest(features.uri).input("model")
    trained_on = load_manifest(codebook.uri).input("features")
    load_manifest(trained_on.uri).require_input("model", model)
