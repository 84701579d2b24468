"""Artifacts and what they were made of."""

from collections.abc import Iterable

from retrieval_core.artifacts import ArtifactRef, Manifest, load_manifest
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.distractors import with_distractors

STATE = "network"
"""Note of an initial network: "untrained", "published" or "given", as the user's own file."""


def lineage(refs: Iterable[ArtifactRef]) -> list[tuple[ArtifactRef, Manifest]]:
    """Artifacts and all that went into them, each once, inputs first."""
    found: dict[str, tuple[ArtifactRef, Manifest]] = {}
    for ref in refs:
        _visit(ref, found)
    return list(found.values())


def training_of(ref: ArtifactRef) -> str:
    """What a network, or the network behind an artifact, is: "trained" here, or as it was got."""
    state = "untrained"
    for _, manifest in lineage([ref]):
        if is_trained(manifest):
            return "trained"
        state = manifest.notes.get(STATE, state)
    return state


def is_trained(manifest: Manifest) -> bool:
    """Whether an artifact is a network that training made from an initial one."""
    return manifest.kind == "model" and "initial" in manifest.inputs


def require_words_of(model: ArtifactRef, codebook: ArtifactRef) -> None:
    """Refuse a codebook of another network's descriptors.

    Raises:
        ArtifactMismatchError: the message names both networks' keys.
    """
    clustered = load_manifest(codebook.uri).input("features")
    load_manifest(clustered.uri).require_input("model", model)


def searched_catalogue(catalogue: Catalogue, scores: ArtifactRef) -> Catalogue:
    """The catalogue that was scored, with the distractors that were searched with it, if any."""
    manifest = load_manifest(scores.uri)
    if "distractors" not in manifest.inputs:
        return catalogue
    features = load_manifest(manifest.input("distractors").uri).input("features")
    dataset = load_manifest(features.uri).input("dataset")
    return with_distractors(catalogue, Catalogue.load(dataset.uri))


def _visit(ref: ArtifactRef, found: dict[str, tuple[ArtifactRef, Manifest]]) -> None:
    if ref.uri in found:
        return
    manifest = load_manifest(ref.uri)
    for name in manifest.inputs:
        _visit(manifest.input(name), found)
    found[ref.uri] = (ref, manifest)
