"""Artifacts by what people call them: a directory, an experiment, a run, a checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from retrieval_core.artifacts import MANIFEST, ArtifactRef, Manifest, load_manifest
from retrieval_core.config import FeaturesConfig
from retrieval_core.errors import ArtifactError, PictureError
from retrieval_core.models import RetrievalModel, load_model
from retrieval_core.models.zoo import checkpoints
from tasks.lineage import lineage, training_of

YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Network:
    """A network and how its descriptors were or would be extracted."""

    model: RetrievalModel
    features: FeaturesConfig


def find_artifacts(reference: str, workdir: str) -> list[ArtifactRef]:
    """What a reference stands for: one artifact, or the scores of a run, of trained networks last.

    Args:
        reference: directory of an artifact; or YAML file of an experiment, name of a run or start
            of its id in MLflow: the newest finished run.
        workdir: where MLflow's database is.

    Raises:
        RetrievalError: there is no such artifact or run.
    """
    directory = Path(reference)
    if directory.is_dir():
        manifest = load_manifest(directory)
        if manifest.kind != "report":
            return [ArtifactRef(manifest.kind, manifest.key, str(directory.resolve()))]
    from tasks.finding import find_run  # MLflow takes seconds to import

    scores = find_run(reference, workdir).scores
    return sorted(scores, key=lambda ref: training_of(ref) == "trained")


def find_artifact(reference: str, kind: str, workdir: str) -> tuple[ArtifactRef, Manifest]:
    """The last artifact of a kind among those that a reference is made of, itself included.

    Those of distractors are what is meant only where there is no other.

    Raises:
        ArtifactError: there is none.
    """
    made_of = lineage(find_artifacts(reference, workdir))
    found = [(ref, manifest) for ref, manifest in made_of if manifest.kind == kind]
    if found:
        return next((f for f in reversed(found) if not _distracts(f[1])), found[-1])
    kinds = ", ".join(dict.fromkeys(manifest.kind for _, manifest in made_of))
    raise ArtifactError(f"{reference} has no {kind} among what it is made of: {kinds}")


def find_network(reference: str, workdir: str) -> Network:
    """A trained network by its artifact, its run, its checkpoint's name or its file.

    Raises:
        RetrievalError: it is not there or cannot be loaded.
    """
    if _is_checkpoint(reference):
        return Network(load_model(reference), FeaturesConfig())
    ref, _ = find_artifact(reference, "model", workdir)
    return Network(load_model(ref.uri), _extraction(reference, workdir))


def find_index(reference: str, workdir: str) -> ArtifactRef:
    """The inverted file of a run, or the one that a directory holds.

    Raises:
        PictureError: a run without one.
    """
    try:
        return find_artifact(reference, "asmk", workdir)[0]
    except ArtifactError as error:
        raise PictureError(
            f"{error}; the inverted file and its visual words come with local descriptors, which "
            "networks of the methods how and fire have"
        ) from None


def find_scores(reference: str, workdir: str) -> list[ArtifactRef]:
    """The scores of a run, or those that a directory holds.

    Raises:
        PictureError: the directory holds another artifact.
    """
    found = find_artifacts(reference, workdir)
    if wrong := [ref.kind for ref in found if ref.kind != "scores"]:
        raise PictureError(f"{reference} is of kind {wrong[0]!r}: give a run, or its scores")
    return found


def _distracts(manifest: Manifest) -> bool:
    """Whether it is the features or an index of distractors."""
    features = manifest
    if "features" in manifest.inputs:
        features = load_manifest(manifest.input("features").uri)
    return features.config.get("part") == "distractor"


def _is_checkpoint(reference: str) -> bool:
    path = Path(reference)
    if reference in checkpoints() or "://" in reference:
        return True
    if path.is_dir():
        return not (path / MANIFEST).exists()
    return path.is_file() and path.suffix not in YAML


def _extraction(reference: str, workdir: str) -> FeaturesConfig:
    """As the images that were searched were extracted; defaults where only a network is known."""
    for _, manifest in reversed(lineage(find_artifacts(reference, workdir))):
        if manifest.kind == "feats" and manifest.config["part"] == "test":
            return FeaturesConfig.model_validate(manifest.config["features"])
    return FeaturesConfig()
