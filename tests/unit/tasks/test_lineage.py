"""What is known of a network by the artifacts behind it."""

from pathlib import Path

import pytest

from retrieval_core.artifacts import ArtifactDirectory, ArtifactRef, Manifest, commit
from tasks.lineage import STATE, training_of


def artifact(folder: Path, kind: str, notes: dict[str, str], **inputs: ArtifactRef) -> ArtifactRef:
    key = f"{kind}-{len(list(folder.iterdir()))}"
    ref = ArtifactRef(kind, key, str(folder / key))
    commit(
        ArtifactDirectory(ref.uri),
        Manifest(
            kind=kind,
            key=ref.key,
            label=kind,
            version=1,
            config={},
            inputs={name: vars(value) for name, value in inputs.items()},
            notes=notes,
        ),
    )
    return ref


@pytest.mark.parametrize("state", ["untrained", "published", "given"])
def test_a_network_is_what_it_came_as_until_it_is_trained(tmp_path: Path, state: str) -> None:
    dataset = artifact(tmp_path, "dataset", {"name": "demo"})
    initial = artifact(tmp_path, "model", {STATE: state}, dataset=dataset)
    trained = artifact(tmp_path, "model", {}, dataset=dataset, initial=initial)
    for model, expected in ((initial, state), (trained, "trained")):
        features = artifact(tmp_path, "feats", {}, model=model, dataset=dataset)
        assert training_of(model) == training_of(features) == expected


def test_an_earlier_version_said_nothing(tmp_path: Path) -> None:
    assert training_of(artifact(tmp_path, "model", {})) == "untrained"
