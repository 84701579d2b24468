"""What decides whether starting weights are still the same."""

import hashlib
from pathlib import Path

from retrieval_core.errors import CheckpointError
from retrieval_core.models.bundle import DESCRIPTION, TENSORS
from retrieval_core.models.zoo import UNNAMED, find_checkpoint


def weights_identity(weights: str) -> str:
    """A name with its digest, a URL as it is, a digest of the content of a local file or bundle.

    Args:
        weights: as in `ModelConfig.weights`.

    Raises:
        ConfigError: it is neither a published name nor a file.
        CheckpointError: the file does not exist.
    """
    if checkpoint := find_checkpoint(weights):
        return checkpoint.identity
    if weights in UNNAMED or "://" in weights:
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
