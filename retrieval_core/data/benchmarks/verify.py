"""Whether a benchmark on disk is whole: its files against digests, its images against the lists."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from retrieval_core.config import BenchmarkConfig
from retrieval_core.data.benchmarks.boxes import check_boxes
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.benchmarks.readers import read_benchmark
from retrieval_core.data.benchmarks.sources import Source, load_benchmarks
from retrieval_core.data.benchmarks.unpacked import unpacked_digest
from retrieval_core.download import read_receipt, verify
from retrieval_core.errors import DownloadError, RetrievalError

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        checked: per file that was read, its name and what it was compared with.
        images: that the ground truth names, each file once.
        missing: those of them that are not there or empty, by path.
        problems: what is wrong with the files and the lists, in words.
    """

    checked: tuple[tuple[str, str], ...]
    images: int
    missing: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong or missing."""
        return not self.missing and not self.problems


def verify_benchmark(config: BenchmarkConfig, *, progress: Progress | None = None) -> Verification:
    """Read every file of a benchmark again, and look for every image that its lists name.

    Args:
        config: which benchmark, and where; nothing is downloaded.
        progress: called with the file that is read, and its bytes done and to be done.

    Raises:
        ConfigError: `config.sources` cannot be used.
    """
    benchmark = load_benchmarks(config.sources)[config.name]
    places = Places.of(config, benchmark.sources)
    checked, problems = [], []
    for source in benchmark.sources:
        try:
            checked.append((source.file.name, _check(source, places, progress)))
        except RetrievalError as error:
            problems.append(str(error))
    try:
        catalogue = read_benchmark(config)
    except RetrievalError as error:
        return Verification(tuple(checked), 0, (), (*problems, str(error)))
    try:
        check_boxes(catalogue.queries())
    except RetrievalError as error:
        problems.append(str(error))
    images = sorted({row.path for row in catalogue.rows})
    missing = missing_images(images)
    return Verification(tuple(checked), len(images), missing, tuple(problems))


def missing_images(paths: Iterable[str]) -> tuple[str, ...]:
    """Those of the images that are not there or empty."""
    return tuple(path for path in paths if not _is_there(Path(path)))


def _check(source: Source, places: Places, progress: Progress | None) -> str:
    """What the file was compared with."""
    path = places.file(source.folder, source.file.name)
    if not path.exists():
        if source.unpack_to is None:
            raise DownloadError(f"{path} is missing")
        if unpacked_digest(places.root, source) is None:
            return "not there: the images are brought, or `retrieval datasets download` gets it"
        return "unpacked; the archive itself was deleted"
    if source.file.sha256 is None and read_receipt(path.parent, path.name) is None:
        return "there, compared with nothing: no SHA-256 is published, and it was not downloaded"
    tell = partial(progress, source.file.name) if progress else None
    receipt = verify(source.file, path.parent, progress=tell)
    return "published SHA-256" if receipt.published else "SHA-256 on arrival"


def _is_there(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
