"""What is to be fetched, and what was received."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import DownloadError

SCHEMES = ("http", "https", "file")
_RECEIPT = ".receipt.json"


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be had from several places.

    Attributes:
        name: that it gets in its folder; a plain file name.
        urls: mirrors in the order they are tried; http, https or file.
        sha256: of the content as its publisher gives it, in hexadecimal digits.
        size: in bytes as its publisher gives it.
        check: called with the path of the whole file before it is kept; raises a `RetrievalError`
            where that is another content than the wanted. What no digest tells, this has to.

    Raises:
        DownloadError: the name leaves its folder, or a mirror's protocol is not known.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None
    size: int | None = None
    check: Callable[[Path], object] | None = None

    def __post_init__(self) -> None:
        is_plain = self.name and self.name == Path(self.name).name and "\\" not in self.name
        # a leading dot is kept for parts and locks
        if not is_plain or self.name.startswith("."):
            raise DownloadError(f"{self.name!r} is no plain file name")
        for url in self.urls:
            if urlsplit(url).scheme not in SCHEMES:
                raise DownloadError(f"{self.name}: mirror {url!r} is none of {', '.join(SCHEMES)}")


@dataclass(frozen=True)
class Receipt:
    """What was received; kept beside the file, so that later changes of it are noticed.

    Attributes:
        name: of the file in its folder.
        size: in bytes.
        sha256: of the content, in hexadecimal digits.
        url: the mirror that gave it, or "" for a file that somebody put there.
        published: whether the digest is also the one that the publisher gives.
    """

    name: str
    size: int
    sha256: str
    url: str
    published: bool


def read_receipt(folder: Path, name: str) -> Receipt | None:
    """The receipt of a file, or None where there is none or it cannot be read."""
    try:
        return Receipt(**json.loads((folder / f"{name}{_RECEIPT}").read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def write_receipt(folder: Path, receipt: Receipt) -> None:
    """Keep a receipt beside its file."""
    ArtifactDirectory(folder).write_json(f"{receipt.name}{_RECEIPT}", asdict(receipt))


def forget(folder: Path, name: str) -> None:
    """Delete a file and its receipt, so that it is downloaded again."""
    directory = ArtifactDirectory(folder)
    # the file first: a receipt alone means nothing
    directory.remove(name)
    directory.remove(f"{name}{_RECEIPT}")
