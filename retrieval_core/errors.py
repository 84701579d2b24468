"""The typed errors that users see; every message names the offending value and what would do."""

from collections.abc import Mapping, Sequence
from typing import Any

LISTED_EXCLUSIONS = 20


class RetrievalError(Exception):
    """Base of every error that a user can cause or mend."""


class ConfigError(RetrievalError):
    """A configuration is unknown, mistyped or impossible; raised before any work starts."""


class DatasetError(RetrievalError):
    """A dataset is missing, empty or contradicts itself."""


class MissingListError(DatasetError):
    """The list of a dataset's images is not there; an archive may hold it."""


class DownloadError(RetrievalError):
    """A file cannot be had from any mirror; names what was tried and where to put one's own."""


class ChecksumError(DownloadError):
    """A file's content is not what was published or received; names both digests."""


class ArchiveError(RetrievalError):
    """An archive is damaged, or would write outside its folder or more than it may."""


class ServiceError(RetrievalError):
    """A service cannot start (its port is taken, its work directory served), or does not answer."""


class PictureError(RetrievalError):
    """A picture cannot be drawn of this network, artifact or dataset; says what can."""


class ImageError(RetrievalError):
    """One image cannot be used; `reason` is a short stable word such as "truncated"."""

    def __init__(self, path: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{path}: {reason}" + (f" ({detail})" if detail else ""))
        self.path = path
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str, str]]:
        return type(self), (self.path, self.reason, self.detail)


class TooManyExclusionsError(RetrievalError):
    """More inputs were unusable than the configured share allows; lists the first 20."""

    @classmethod
    def of(
        cls, excluded: Sequence[Mapping[str, Any]], total: int, setting: str, allowed: float
    ) -> "TooManyExclusionsError":
        """The error for these entries of path and reason, naming the setting that forbids them."""
        lines = [f"  {e['path']}: {e['reason']}" for e in excluded[:LISTED_EXCLUSIONS]]
        if len(excluded) > LISTED_EXCLUSIONS:
            lines.append(f"  and {len(excluded) - LISTED_EXCLUSIONS} more")
        head = (
            f"{len(excluded)} of {total} images cannot be used, more than "
            f"{setting} = {allowed:g} allows:"
        )
        return cls("\n".join([head, *lines]))


class CheckpointError(RetrievalError):
    """A checkpoint cannot be read, or belongs to another method or architecture."""


class ArtifactError(RetrievalError):
    """An artifact is missing, incomplete or altered."""


class ArtifactMismatchError(ArtifactError):
    """An artifact was built from other inputs than those it is used with; names both keys."""


class ConcurrentWriteError(ArtifactError):
    """Another process is changing an index, or has changed it since it was opened."""


class StorageError(RetrievalError, OSError):
    """The disk is full or read-only; what was finished is kept, and nothing is half written."""


class IndexInputError(RetrievalError):
    """Descriptors, ids or settings that an index or a whitening cannot take."""


class ModelInputError(RetrievalError):
    """Images that a network cannot take; names their size and the network's."""


class LossInputError(RetrievalError):
    """Tensors that a loss cannot take: shapes that do not fit, or roles that are no tuples."""


class RankingError(RetrievalError):
    """A ranking cannot be scored: its shape or its queries do not fit the ground truth."""


class DivergenceError(RetrievalError):
    """Training has produced a loss or a descriptor that is not a number."""


class UnsafePickleError(RetrievalError):
    """A pickle asks for something else than numbers, strings, containers and arrays."""
