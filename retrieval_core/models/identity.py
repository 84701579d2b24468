"""What decides whether starting weights are still the same."""

import hashlib
from pathlib import Path

from retrieval_core.errors import CheckpointError
from retrieval_core.models.bundle import DESCRIPTION, TENSORS

NAMED = ("none", "efficientnet-lite0")


def weights_identity(weights: str) -> str:
    """A name or URL as it is; a digest of the content of a local file or bundle.

    Args:
        weights: as in `ModelConfig.weights`.

    Raises:
        CheckpointError: the file does not exist.
    """
    if weights in NAMED or "://" in weights:
        return weights
    path = Path(weights)
    files = [path / DESCRIPTION, path / TENSORS] if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        if not file.is_file():
            raise CheckpointError(f"there is no checkpoint at {file}")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
