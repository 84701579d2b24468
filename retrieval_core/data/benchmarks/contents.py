"""What a file of a benchmark has to look like before it is kept: few have published digests."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from retrieval_core.data.benchmarks.pickles import read_pickle
from retrieval_core.download import check_archive
from retrieval_core.errors import DatasetError

_START = 1 << 16
_TEXTS = {".csv", ".txt"}


def content_check(name: str, *, is_archive: bool) -> Callable[[Path], object] | None:
    """What refuses another content than the name promises; None where any may be right.

    Args:
        name: of the file.
        is_archive: whether it is unpacked, rather than read as it is.
    """
    suffix = PurePosixPath(name).suffix
    if is_archive:
        return check_archive
    if suffix == ".pkl":
        return read_pickle
    return _check_text if suffix in _TEXTS else None


def _check_text(path: Path) -> None:
    """Refuse what no list is; its lines are looked at by whoever reads them.

    Raises:
        DatasetError: the first bytes are no text.
    """
    with path.open("rb") as stream:
        if b"\0" in stream.read(_START):
            raise DatasetError(f"{path} is no text")
