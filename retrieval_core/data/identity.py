"""What decides whether a dataset is still the one that was prepared."""

import hashlib
import json
from typing import Any

import fsspec

from retrieval_core.config import DatasetConfig
from retrieval_core.errors import DatasetError


def dataset_identity(config: DatasetConfig) -> dict[str, Any]:
    """Settings of the dataset's kind and, for files of the user's, a digest of their listing.

    Names, sizes and modification times stand for the content: reading a million images to find
    that nothing changed would cost more than most stages.

    Raises:
        DatasetError: the directory or the table does not exist.
    """
    section = getattr(config, config.kind).model_dump(mode="json")
    identity = {"kind": config.kind, config.kind: section}
    if config.kind == "folder":
        places = [p for p in (config.folder.path, config.folder.table) if p]
        identity["listing"] = [_listing_digest(place) for place in places]
    return identity


def _listing_digest(place: str) -> str:
    fs, root = fsspec.core.url_to_fs(place)
    if not fs.exists(root):
        raise DatasetError(f"there is nothing at {place}")
    found = fs.find(root, detail=True)
    listing = [
        (name[len(root) :], info["size"], str(info.get("mtime") or info.get("ETag") or ""))
        for name, info in sorted(found.items())
    ]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
