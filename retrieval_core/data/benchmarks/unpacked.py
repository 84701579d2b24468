"""Which archives were unpacked; an archive itself may be deleted after that."""

from pathlib import Path
from typing import Any

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.data.benchmarks.sources import Source
from retrieval_core.download import Receipt, read_receipt


def mark_unpacked(root: Path, source: Source, receipt: Receipt, files: int) -> None:
    """Note that all of an archive is on disk."""
    content = {"sha256": receipt.sha256, "files": files}
    _folder(root, source).write_json(_marker(source), content)


def unpacked_digest(root: Path, source: Source) -> str | None:
    """SHA-256 of the archive that was unpacked; None where none was, or another came since."""
    directory = _folder(root, source)
    if not directory.exists(_marker(source)):
        return None
    marker: dict[str, Any] = directory.read_json(_marker(source))
    receipt = read_receipt(root / source.folder, source.file.name)
    same = receipt is None or receipt.sha256 == marker["sha256"]
    return str(marker["sha256"]) if same else None


def _folder(root: Path, source: Source) -> ArtifactDirectory:
    # with the content itself: whoever deletes that gets it again
    return ArtifactDirectory(root / source.folder / str(source.unpack_to))


def _marker(source: Source) -> str:
    return f".received-{source.file.name}.json"
