"""What is missing of a benchmark is downloaded and unpacked; what proves damaged, dropped."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from retrieval_core.config import BenchmarkConfig
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.benchmarks.readers import read_benchmark
from retrieval_core.data.benchmarks.sources import Source, load_benchmarks
from retrieval_core.data.benchmarks.unpacked import mark_unpacked, unpacked_digest
from retrieval_core.data.benchmarks.verify import missing_images
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.download import Receipt, download_all, forget, read_receipt, unpack
from retrieval_core.errors import (
    ArchiveError,
    DatasetError,
    DownloadError,
    MissingListError,
    UnsafePickleError,
)

Progress = Callable[[str, int, int], None]
"""Called with what is being done ("download oxford", in bytes; "unpack NAME"), done and total."""


def fetch_benchmark(
    config: BenchmarkConfig, *, parallel: int = 4, progress: Progress | None = None
) -> None:
    """Get what is not there: first the lists, then the archives where an image is missing.

    What was interrupted goes on where it stopped; what is there is not looked at again. A download
    that cannot be read or unpacked is deleted, unless its publisher's digest says that it is right.

    Args:
        config: which benchmark, and where; nothing is done where `config.download` is false.
        parallel: files that are downloaded at the same time.
        progress: told of every download and archive.

    Raises:
        DownloadError: no mirror has a file; says where to put one's own.
        ArchiveError: an archive is damaged or would do harm.
        DatasetError: the ground truth is damaged.
        UnsafePickleError: the ground truth is not only data.
        StorageError: the disk is full.
    """
    if not config.download:
        return
    benchmark = load_benchmarks(config.sources)[config.name]
    places = Places.of(config, benchmark.sources)
    lists = [s for s in benchmark.sources if s.unpack_to is None]
    lists = [s for s in lists if not _is_brought(places, s)]
    _require_addresses(config, lists, places)
    fresh = [s for s in lists if read_receipt(places.root / s.folder, s.file.name) is None]
    _download(lists, places.root, parallel, progress)
    archives = [s for s in benchmark.sources if s.unpack_to is not None]
    waiting = [s for s in archives if unpacked_digest(places.root, s) is None]
    catalogue = _read(config, lists, places.root) if waiting or fresh else None
    if waiting and (catalogue is None or _lacks_images(catalogue)):
        _require_addresses(config, waiting, places)
        receipts = _download(waiting, places.root, parallel, progress)
        for source, receipt in zip(waiting, receipts, strict=True):
            _unpack(source, receipt, places.root, progress)


def restore_images(config: BenchmarkConfig, *, progress: Progress | None = None) -> tuple[int, int]:
    """Unpack archives that are still here again, one by one, while images of the lists are gone.

    Args:
        config: which benchmark, and where; nothing is downloaded.
        progress: told of every archive.

    Returns:
        How many images are still missing or empty, and how many there should be.

    Raises:
        ArchiveError: an archive is damaged.
        DownloadError: an archive has been altered.
        DatasetError: the ground truth is missing or damaged.
        StorageError: the disk is full.
    """
    benchmark = load_benchmarks(config.sources)[config.name]
    root = Places.of(config, benchmark.sources).root
    for source in benchmark.sources:
        is_here = (root / source.folder / source.file.name).is_file()
        if source.unpack_to is None or not is_here:
            continue
        if not _is_incomplete(config):
            break
        (receipt,) = _download([source], root, 1, progress)
        _unpack(source, receipt, root, progress, again=True)
    images = {row.path for row in read_benchmark(config).rows}
    return len(missing_images(images)), len(images)


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


def _read(config: BenchmarkConfig, lists: Sequence[Source], root: Path) -> Catalogue | None:
    """What the lists name, or None where one is still in its archive."""
    try:
        return read_benchmark(config)
    except MissingListError:
        return None
    except (DatasetError, UnsafePickleError) as error:
        # whichever contradicts another, all come anew: the wrong one may not be the one named
        if dropped := [s.file.name for s in lists if _drop(s, root)]:
            raise type(error)(f"{error}\n{_deleted(dropped)}") from error
        raise


def _lacks_images(catalogue: Catalogue) -> bool:
    return not all(Path(row.path).exists() for row in catalogue.rows)


def _is_incomplete(config: BenchmarkConfig) -> bool:
    try:
        return bool(missing_images({row.path for row in read_benchmark(config).rows}))
    except MissingListError:  # it is in an archive, too
        return True


def _drop(source: Source, root: Path) -> bool:
    """Delete what was downloaded and no publisher's digest vouches for; whether that was so."""
    folder, name = root / source.folder, source.file.name
    receipt = read_receipt(folder, name)
    # a digest in today's settings counts, whatever was known on arrival
    if receipt is None or not receipt.url or source.file.sha256 is not None:
        return False
    forget(folder, name)
    return True


def _deleted(names: Sequence[str]) -> str:
    return (
        f"Deleted: {', '.join(names)}. The same command downloads it again; where that does not "
        "help, name another mirror in the file of `sources`"
    )


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


def _unpack(
    source: Source,
    receipt: Receipt,
    root: Path,
    progress: Progress | None,
    *,
    again: bool = False,
) -> None:
    folder, name = root / source.folder, source.file.name
    tell = partial(progress, f"unpack {name}") if progress else None
    try:
        files = unpack(folder / name, folder / str(source.unpack_to), progress=tell, again=again)
    except ArchiveError as error:
        help_ = _deleted([name]) if _drop(source, root) else f"Delete it and get {name} anew"
        raise ArchiveError(f"{error}\n{help_}") from error
    mark_unpacked(root, source, receipt, files)
