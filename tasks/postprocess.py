"""Stages: global descriptors are whitened and augmented; whom re-ranking walks to is found."""

from prefect import task
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactRef, Manifest, load_manifest
from retrieval_core.config import (
    NeighboursConfig,
    RerankingConfig,
    VectorConfig,
    WhiteningConfig,
)
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.distractors import first_distractor_id
from retrieval_core.errors import ArtifactMismatchError
from retrieval_core.features.rewriting import whiten_features
from retrieval_core.features.store import FeatureStore
from retrieval_core.features.whitening import fit_whitening, open_whitening
from retrieval_core.index import VectorIndex
from retrieval_core.search.database_augmentation import augment_features
from retrieval_core.search.neighbours import find_neighbours
from retrieval_core.search.opening import open_index
from tasks.context import RunContext
from tasks.lineage import training_of
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 1


@task(name="fit whitening", tags=["postprocessing"], **STAGE_OPTIONS)
def fit(
    context: RunContext, config: WhiteningConfig, features: ArtifactRef, seed: int
) -> State[ArtifactRef]:
    """Fit a whitening to the global descriptors of training images.

    Raises:
        ArtifactMismatchError: they are those of other images.
    """
    extracted = load_manifest(features.uri)
    if extracted.config["part"] != "train":
        raise ArtifactMismatchError(
            f"a whitening is fitted to training images only: feats {features.key} are "
            f"{extracted.config['part']} images"
        )
    stage = Stage(
        name=f"fit whitening, {training_of(features)}",
        kind="whitening",
        label=f"{extracted.label}-{config.kind}-{config.dimensions or 'all'}",
        version=VERSION,
        # what images were drawn is the features' own
        config={**config.model_dump(mode="json", exclude={"images", "dataset"}), "seed": seed},
        inputs={"features": features, **_origin(extracted)},
    )

    def build(run: StageRun) -> Outcome:
        catalogue = Catalogue.load(extracted.input("dataset").uri)
        fitted = fit_whitening(config, FeatureStore(features.uri), catalogue, seed=seed)
        fitted.save(run.directory)
        return Outcome(counts={"dimensions": len(fitted.projection)})

    return run_stage(context, stage, build)


@task(name="whiten", tags=["postprocessing"], **STAGE_OPTIONS)
def whiten(
    context: RunContext, features: ArtifactRef, whitening: ArtifactRef
) -> State[ArtifactRef]:
    """Whiten extracted global descriptors.

    Raises:
        ArtifactMismatchError: the whitening was fitted to another network's; names both keys.
    """
    extracted = load_manifest(features.uri)
    fitted = load_manifest(whitening.uri)
    stage = Stage(
        name=f"whiten {extracted.config['part']} images, {training_of(features)}",
        kind="descriptors",
        label=fitted.label,
        version=VERSION,
        config=extracted.config,
        inputs={"features": features, "whitening": whitening, **_origin(extracted)},
    )

    def build(run: StageRun) -> Outcome:
        opened = open_whitening(whitening.uri, extracted.input("model"))
        return Outcome(counts={"images": whiten_features(opened, features.uri, run.directory)})

    return run_stage(context, stage, build)


@task(name="augment", tags=["postprocessing"], **STAGE_OPTIONS)
def augment(
    context: RunContext,
    config: NeighboursConfig,
    vector: VectorConfig,
    searched: list[ArtifactRef],
    number: int,
) -> State[ArtifactRef]:
    """Add to the descriptors of indexed images those of their neighbours.

    Args:
        context: surroundings of the run.
        config: how many neighbours, and what they count.
        vector: of the search for them.
        searched: the index of the database and, if there are any, that of the distractors.
        number: of the one whose images are augmented.
    """
    index = searched[number]
    effort = vector.search_settings()
    described = load_manifest(load_manifest(index.uri).input("features").uri)
    stage = Stage(
        name=f"augment {described.config['part']} images, {training_of(index)}",
        kind="descriptors",
        label=f"{described.label}-augmented",
        version=VERSION,
        config={**described.config, "database_augmentation": config, "number": number, **effort},
        inputs={**_named(searched), **_origin(described)},
    )

    def build(run: StageRun) -> Outcome:
        offset = _offsets(searched)[number]
        own = VectorIndex.open(index.uri).image_ids
        joined = _open(searched)
        augment_features(
            joined, own, config, run.directory, offset=offset, vector=vector, progress=run.progress
        )
        return Outcome(counts={"images": len(own), "dimensions": joined.dim})

    return run_stage(context, stage, build)


@task(name="find neighbours", tags=["postprocessing"], **STAGE_OPTIONS)
def neighbours(
    context: RunContext, config: RerankingConfig, vector: VectorConfig, searched: list[ArtifactRef]
) -> State[ArtifactRef]:
    """Find the nearest neighbours of all indexed images among each other.

    Args:
        context: surroundings of the run.
        config: says how many are needed.
        vector: of the search for them.
        searched: the index of the database and, if there are any, that of the distractors.
    """
    stage = Stage(
        name=f"find neighbours, {training_of(searched[0])}",
        kind="neighbours",
        label=f"{load_manifest(searched[0].uri).label}-{config.neighbours}",
        version=VERSION,
        config={"neighbours": config.neighbours, **vector.search_settings()},
        inputs=_named(searched),
    )

    def build(run: StageRun) -> Outcome:
        found = find_neighbours(_open(searched), config.neighbours, vector, run.progress)
        found.save(run.directory)
        return Outcome(counts={"images": len(found), "neighbours": config.neighbours})

    return run_stage(context, stage, build)


def _origin(described: Manifest) -> dict[str, ArtifactRef]:
    """Whose descriptors they are, and by which network and whitening."""
    known = [name for name in ("model", "dataset", "whitening") if name in described.inputs]
    return {name: described.input(name) for name in known}


def _named(searched: list[ArtifactRef]) -> dict[str, ArtifactRef]:
    return dict(zip(("index", "distractors"), searched, strict=False))


def _offsets(searched: list[ArtifactRef]) -> tuple[int, ...]:
    described = load_manifest(searched[0].uri).input("features")
    dataset = load_manifest(described.uri).input("dataset")
    return (0, first_distractor_id(Catalogue.load(dataset.uri)))[: len(searched)]


def _open(searched: list[ArtifactRef]) -> VectorIndex:
    index = open_index(*(ref.uri for ref in searched), offsets=_offsets(searched))
    if not isinstance(index, VectorIndex):
        raise ArtifactMismatchError(f"{searched[0].uri} is no vector index")
    return index
