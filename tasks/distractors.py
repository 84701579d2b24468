"""Distractors that an earlier run indexed, opened beside the database."""

from pathlib import Path
from typing import Any

from retrieval_core.artifacts import (
    MANIFEST,
    ArtifactDirectory,
    ArtifactRef,
    ArtifactStore,
    Manifest,
    load_manifest,
)
from retrieval_core.config import DatasetConfig, PipelineConfig
from retrieval_core.errors import ArtifactError, ArtifactMismatchError, ConfigError
from tasks.lineage import lineage

KINDS = {"global": "vectors", "asmk": "asmk"}
"""Of the index, by descriptor."""

# what of an extraction decides nothing but its pace
PACE = {"batch_size", "shard_size"}


def find_distractors(config: PipelineConfig, workdir: str) -> dict[str, list[ArtifactRef]]:
    """The index of distractors that an experiment refers to, by descriptor.

    One of its two indexes is named; the other one, of the same features, lies beside it.

    Args:
        config: of the experiment.
        workdir: whose artifacts may be named without their folder.

    Returns:
        One index for every descriptor that the network gives; nothing where the experiment has no
        distractors, or a dataset of them.

    Raises:
        ConfigError: one is not there, or is no index.
    """
    if config.distractors is None or isinstance(config.distractors, DatasetConfig):
        return {}
    named = _named(config.distractors, workdir)
    wanted = ["global", "asmk"] if config.model.has_local else ["global"]
    return {name: [_of_kind(KINDS[name], named, config)] for name in wanted}


def require_fitting(index: ArtifactRef, distractors: ArtifactRef) -> None:
    """Refuse an index of distractors that cannot be searched together with the database's.

    Raises:
        ArtifactMismatchError: it is of the same images, or of another network, whitening,
            codebook, extraction or other settings; names both keys.
    """
    own, added = load_manifest(index.uri), load_manifest(distractors.uri)
    extracted, other = (load_manifest(m.input("features").uri) for m in (own, added))
    other.require_input("model", extracted.input("model"))
    if "whitening" in extracted.inputs:
        other.require_input("whitening", extracted.input("whitening"))
    if "codebook" in own.inputs:
        added.require_input("codebook", own.input("codebook"))
    both = f"{index.kind} {index.key} and distractors {distractors.key}"
    if _content(extracted) == _content(other):
        raise ArtifactMismatchError(f"{both} are of the same images: right answers would be wrong")
    settings = [(own.config, added.config), (_extraction(extracted), _extraction(other))]
    for expected, found in settings:
        if different := sorted(n for n in expected if expected[n] != found.get(n)):
            values = [{n: each.get(n) for n in different} for each in (expected, found)]
            raise ArtifactMismatchError(f"{both} have other settings: {values[0]}, {values[1]}")


def _named(reference: str, workdir: str) -> ArtifactRef:
    place = reference if "://" in reference else str(Path(reference).expanduser().resolve())
    places = (place, f"{workdir}/artifacts/{reference}")
    found = next((uri for uri in places if _is_artifact(uri)), None)
    if found is None:
        raise ConfigError(
            f"distractors: there is no index at {places[0]}, nor at {places[1]}; "
            "`retrieval distractors` builds one"
        )
    manifest = load_manifest(found)
    if manifest.kind not in KINDS.values():
        raise ConfigError(f"distractors: {found} is of kind {manifest.kind!r}, not an index")
    return ArtifactRef(manifest.kind, manifest.key, found.rstrip("/"))


def _is_artifact(uri: str) -> bool:
    try:
        return ArtifactDirectory(uri).exists(MANIFEST)
    except (ValueError, ImportError, OSError) as error:  # no such protocol, no answer
        raise ConfigError(f"distractors: {uri} cannot be looked at: {error}") from None


def _of_kind(kind: str, named: ArtifactRef, config: PipelineConfig) -> ArtifactRef:
    """The named index, or the one of this kind that was built from the same features."""
    try:
        index = named if named.kind == kind else _beside(kind, named, config)
        lineage([index])
    except ArtifactError as error:
        raise ConfigError(f"distractors: {named.uri} cannot be searched: {error}") from None
    return index


def _beside(kind: str, named: ArtifactRef, config: PipelineConfig) -> ArtifactRef:
    store = ArtifactStore(named.uri.rpartition("/")[0])
    features = load_manifest(named.uri).input("features")
    found = [m for m in store.list(kind) if m.input("features").key == features.key]
    if not found:
        raise ArtifactError(f"{store.uri} has no {kind} of the same features, {features.key}")
    of_words = config.asmk.model_dump(include={"binary", "use_idf"})
    wanted = of_words if kind == "asmk" else config.vector.build_settings()
    return store.address(max(found, key=lambda m: (m.config == wanted, m.version)))


def _content(features: Manifest) -> str:
    """Digest of the dataset that was extracted."""
    return load_manifest(features.input("dataset").uri).notes["digest"]


def _extraction(features: Manifest) -> dict[str, Any]:
    """What of the settings decides descriptors, of the extraction and behind it."""
    settings = features.config.get("features", {})
    added = {"database_augmentation": features.config.get("database_augmentation")}
    return {name: value for name, value in settings.items() if name not in PACE} | added
