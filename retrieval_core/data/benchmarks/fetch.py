"""What is missing of a benchmark is downloaded and unpacked."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from retrieval_core.config import BenchmarkConfig
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.benchmarks.readers import read_benchmark
from retrieval_core.data.benchmarks.sources import Source, load_benchmarks
from retrieval_core.data.benchmarks.unpacked import mark_unpacked, unpacked_digest
from retrieval_core.download import Receipt, download_all, unpack
from retrieval_core.errors import DownloadError, MissingListError

Progress = Callable[[str, int, int], None]
"""Called with what is being done ("download oxford", in bytes; "unpack NAME"), done and total."""


def fetch_benchmark(
    config: BenchmarkConfig, *, parallel: int = 4, progress: Progress | None = None
) -> None:
    """Get what is not there: first the lists, then the archives where an image is missing.

    What was interrupted goes on where it stopped; what is there is not looked at again.

    Args:
        config: which benchmark, and where; nothing is done where `config.download` is false.
        parallel: files that are downloaded at the same time.
        progress: told of every download and archive.

    Raises:
        DownloadError: no mirror has a file; says where to put one's own.
        ArchiveError: an archive is damaged or would do harm.
        DatasetError: the ground truth is damaged.
        StorageError: the disk is full.
    """
    if not config.download:
        return
    benchmark = load_benchmarks(config.sources)[config.name]
    places = Places.of(config, benchmark.sources)
    lists = [s for s in benchmark.sources if s.unpack_to is None]
    lists = [s for s in lists if not _is_brought(places, s)]
    _require_addresses(config, lists, places)
    _download(lists, places.root, parallel, progress)
    archives = [s for s in benchmark.sources if s.unpack_to is not None]
    waiting = [s for s in archives if unpacked_digest(places.root, s) is None]
    if waiting and _lacks_images(config):
        _require_addresses(config, waiting, places)
        receipts = _download(waiting, places.root, parallel, progress)
        for source, receipt in zip(waiting, receipts, strict=True):
            _unpack(source, receipt, places.root, progress)


def advice(config: BenchmarkConfig) -> str:
    """What to do where files are damaged or images that the ground truth names are not there."""
    benchmark = load_benchmarks(config.sources)[config.name]
    places = Places.of(config, benchmark.sources)
    if benchmark.bring:
        return f"{benchmark.bring} They are looked for in {places.root}."
    where = " and ".join(map(str, places.folders))
    if places.brought:
        return f"Put the published files below {where}."
    return f"Put the published files below {where}, or delete that and download them anew."


def _is_brought(places: Places, source: Source) -> bool:
    """Whether the file lies elsewhere than a download would."""
    path = places.file(source.folder, source.file.name)
    return path.exists() and path != places.root / source.folder / source.file.name


def _require_addresses(config: BenchmarkConfig, sources: Iterable[Source], places: Places) -> None:
    """What nobody offers for download has to be there, or on a mirror of the user's."""
    closed = [s for s in sources if not s.file.urls]
    absent = [s.file.name for s in closed if not places.file(s.folder, s.file.name).exists()]
    if absent:
        raise DownloadError(f"{', '.join(absent)}: not there. {advice(config)}")


def _lacks_images(config: BenchmarkConfig) -> bool:
    try:
        rows = read_benchmark(config).rows
    except MissingListError:  # it is in an archive, too
        return True
    return not all(Path(row.path).exists() for row in rows)


def _download(
    sources: Sequence[Source], root: Path, parallel: int, progress: Progress | None
) -> list[Receipt]:
    receipts: dict[str, Receipt] = {}
    failures = []
    for folder in dict.fromkeys(source.folder for source in sources):
        files = [source.file for source in sources if source.folder == folder]
        tell = partial(progress, f"download {folder}") if progress else None
        try:
            found = download_all(files, root / folder, parallel=parallel, progress=tell)
        except DownloadError as error:
            failures.append(error)
            continue
        receipts |= {receipt.name: receipt for receipt in found}
    _raise_together(failures)
    return [receipts[source.file.name] for source in sources]


def _raise_together(failures: Iterable[DownloadError]) -> None:
    failures = list(failures)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise DownloadError("\n".join(map(str, failures)))


def _unpack(source: Source, receipt: Receipt, root: Path, progress: Progress | None) -> None:
    folder = root / source.folder
    tell = partial(progress, f"unpack {source.file.name}") if progress else None
    files = unpack(folder / source.file.name, folder / str(source.unpack_to), progress=tell)
    mark_unpacked(root, source, receipt, files)
