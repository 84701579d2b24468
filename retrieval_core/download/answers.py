"""One answer of one mirror, and what can be wrong with it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import urllib3

# stays in the processor's cache between the network, the file and the digest
BLOCK = 1 << 18
_PAGES = {".html", ".htm", ".xhtml"}
_TEXTS = {*_PAGES, ".csv", ".tsv", ".txt", ".md", ".xml", ".json", ".yaml", ".yml"}
_PAGE_TYPES = {"text/html", "application/xhtml+xml"}
_PAGE_START = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html|head|script)\b", re.IGNORECASE)
_PAGE = "answers with a web page instead of the file"


class MirrorError(Exception):
    """A mirror failed; never leaves this package.

    Args:
        reason: in words for people.
        again: whether another attempt at the same mirror may help.
        wait: seconds that the mirror asks to wait before, or None.
    """

    def __init__(self, reason: str, *, again: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.again = again
        self.wait = wait


class RangeError(MirrorError):
    """The mirror has nothing that continues the part at hand: it begins anew, at once."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, again=True, wait=0.0)


class WrongBytesError(MirrorError):
    """The file is whole, and another one than was published.

    Args:
        received: its digest.
        published: the digest that it should have.
        again: whether bytes from elsewhere were part of it.
    """

    def __init__(self, received: str, published: str, *, again: bool) -> None:
        super().__init__(
            f"sends wrong bytes: their SHA-256 is {received}, published is {published}",
            again=again,
            wait=0.0,
        )


class WrongContentError(MirrorError):
    """The file is whole, and not what its name says.

    Args:
        reason: in words for people.
        again: whether bytes from elsewhere were part of it.
    """

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(f"sends something else: {reason}", again=again, wait=0.0)


@dataclass(frozen=True)
class Patience:
    """How long a mirror may take before it is given up.

    Attributes:
        attempts: in a row that bring nothing new, before the next mirror is tried.
        connect: seconds to wait for a connection.
        read: seconds to wait for the next bytes.
        slowest: bytes per second, averaged over each window; a mirror that sends less stalls.
        window: seconds.
        first_wait: seconds before the second attempt; doubled for each one after it.
        longest_wait: seconds between two attempts at most, whatever the mirror asks for.
    """

    attempts: int = 5
    connect: float = 15.0
    read: float = 30.0
    slowest: float = 1000.0
    window: float = 60.0
    first_wait: float = 0.5
    longest_wait: float = 30.0


PATIENCE = Patience()


@dataclass(frozen=True)
class Answer:
    """The start of a mirror's answer, its bytes still to be read.

    Attributes:
        start: position of the first byte in the whole file.
        total: bytes of the whole file, or None when the mirror does not say.
        validator: changes with the file's content (ETag or date), or None.
        read: up to so many bytes as soon as there are some; none at the end.
        close: the connection.
    """

    start: int
    total: int | None
    validator: str | None
    read: Callable[[int], bytes]
    close: Callable[[], None]

    def blocks(self) -> Iterator[bytes]:
        """The bytes as they come.

        Raises:
            MirrorError: the connection stalled or broke.
        """
        while block := self._next():
            yield block

    def _next(self) -> bytes:
        try:
            return self.read(BLOCK)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise MirrorError(in_words(error), again=True) from error


def check_type(kind: str, name: str) -> None:
    """Refuse a web page where another file is wanted, by what the mirror calls it.

    Args:
        kind: the Content-Type header.
        name: of the wanted file.

    Raises:
        MirrorError: it is a web page.
    """
    is_page = kind.partition(";")[0].strip().lower() in _PAGE_TYPES
    if is_page and PurePosixPath(name).suffix.lower() not in _TEXTS:
        raise MirrorError(_PAGE)


def check_start(block: bytes, name: str) -> None:
    """Refuse a web page where another file is wanted, by its first bytes.

    Args:
        block: the file's first bytes.
        name: of the wanted file.

    Raises:
        MirrorError: it is a web page.
    """
    if PurePosixPath(name).suffix.lower() not in _PAGES and _PAGE_START.match(block):
        raise MirrorError(_PAGE)


def in_words(error: Exception) -> str:
    """What a failed connection means, for people."""
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return f"no connection: {str(error).rpartition(': ')[2]}"
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "does not answer"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError):
        return "stalls: sent nothing for too long"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "cuts the connection"
    return str(error)
