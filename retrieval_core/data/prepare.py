"""The first stage: a dataset's images on disk, checked, with its ground truth."""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from typing import Any, Literal

import fsspec

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import DatasetConfig
from retrieval_core.data.benchmarks.boxes import check_boxes
from retrieval_core.data.benchmarks.fetch import advice, fetch_benchmark
from retrieval_core.data.benchmarks.readers import read_benchmark
from retrieval_core.data.catalogue import Catalogue, QueryTruth, Split
from retrieval_core.data.demo import make_demo
from retrieval_core.data.folder import read_folder
from retrieval_core.errors import DatasetError, TooManyExclusionsError

Progress = Callable[[int, int], None] | None
Need = Split | Literal["database"]

KINDS: dict[str, Callable[[DatasetConfig, ArtifactDirectory, Progress], Catalogue]] = {
    "demo": lambda config, directory, progress: make_demo(
        config.demo, directory, progress=progress
    ),
    "folder": lambda config, directory, progress: read_folder(config.folder),
    "benchmark": lambda config, directory, progress: read_benchmark(config.benchmark),
}
"""Per `DatasetConfig.kind`, what makes its catalogue; a new kind of dataset is one more entry."""

STAT_THREADS = 16


@dataclass(frozen=True)
class PreparedDataset:
    """A dataset that is ready to use.

    Attributes:
        catalogue: images that exist, and ground truth over them.
        excluded: images that do not: {"image_id", "path", "split", "reason"}, the reason
            "missing", "empty" or "unreadable".
        digest: SHA-256 of the rows, the files' sizes and the ground truth.
    """

    catalogue: Catalogue
    excluded: list[dict[str, Any]]
    digest: str


def prepare_dataset(
    config: DatasetConfig,
    directory: ArtifactDirectory,
    *,
    progress: Progress = None,
    needs: Sequence[Need] = ("test",),
) -> PreparedDataset:
    """Make or find the images, check that they are there, and save the catalogue.

    Args:
        config: which dataset.
        directory: gets the catalogue, and whatever image files are made.
        progress: called with (images done, images in all).
        needs: splits that may not be empty; "test" asks for queries, too, "database" only for
            test images to be searched.

    Raises:
        DatasetError: the dataset is empty, contradicts itself, or lacks what is needed.
        TooManyExclusionsError: more files are missing or empty than `config.max_excluded`.
    """
    fetch_dataset(config)
    found = KINDS[config.kind](config, directory, progress)
    sizes = _file_sizes([row.path for row in found.rows])
    reasons = {
        row.image_id: size
        for row, size in zip(found.rows, sizes, strict=True)
        if isinstance(size, str)
    }
    catalogue = _without(found, reasons.keys())
    advised = _advice(config, found, reasons.keys())
    lost = f" ({len(reasons)} missing or empty files were left out){advised}" if reasons else ""
    _check(catalogue, needs, lost)
    excluded = [
        {
            "image_id": row.image_id,
            "path": row.path,
            "split": row.split,
            "reason": reasons[row.image_id],
        }
        for row in found.rows
        if row.image_id in reasons
    ]
    if len(excluded) > config.max_excluded * len(found.rows):
        setting, allowed = "dataset.max_excluded", config.max_excluded
        error = TooManyExclusionsError.of(excluded, len(found.rows), setting, allowed)
        raise TooManyExclusionsError(f"{error}{advised}")
    check_boxes(catalogue.queries())
    catalogue.save(directory)
    kept = [size for size in sizes if isinstance(size, int)]
    return PreparedDataset(catalogue, excluded, _digest(catalogue, kept, directory.path("")))


def fetch_dataset(
    config: DatasetConfig, *, progress: Callable[[str, int, int], None] | None = None
) -> None:
    """Download and unpack what is missing of a benchmark; other kinds have nothing to fetch.

    Args:
        config: which dataset.
        progress: called with what is being done, and how much of it is done and to be done.

    Raises:
        RetrievalError: as `fetch_benchmark`.
    """
    if config.kind == "benchmark":
        fetch_benchmark(config.benchmark, progress=progress)


def _advice(config: DatasetConfig, catalogue: Catalogue, gone: Any) -> str:
    """What to do about missing images of a benchmark, and how many of its queries they are."""
    if config.kind != "benchmark":
        return ""
    lost = sum(row.image_id in gone for row in catalogue.queries())
    queries = f"\n{lost} of them are queries, without which no score is comparable" if lost else ""
    look = f"See what is missing with `retrieval datasets verify {config.benchmark.name}`."
    return f"{queries}\n{advice(config.benchmark)}\n{look}"


def _file_sizes(paths: Sequence[str]) -> list[int | str]:
    with ThreadPoolExecutor(STAT_THREADS) as pool:
        return list(pool.map(_file_size, paths, chunksize=64))


def _file_size(path: str) -> int | str:
    """Bytes, -1 where a server does not tell; or why the file cannot be used."""
    try:
        fs, address = fsspec.core.url_to_fs(path)
        size = fs.info(address)["size"]
    except FileNotFoundError:
        return "missing"
    except Exception:  # one address among a million: no permission, no such protocol, no answer
        return "unreadable"
    return "empty" if size == 0 else -1 if size is None else int(size)


def _without(catalogue: Catalogue, gone: Any) -> Catalogue:
    rows = tuple(row for row in catalogue.rows if row.image_id not in gone)
    truth = tuple(_truth_without(t, gone) for t in catalogue.truth if t.query not in gone)
    val_truth = tuple(_truth_without(t, gone) for t in catalogue.val_truth if t.query not in gone)
    pairs = tuple(p for p in catalogue.pairs if p[0] not in gone and p[1] not in gone)
    return replace(catalogue, rows=rows, truth=truth, pairs=pairs, val_truth=val_truth)


def _truth_without(truth: QueryTruth, gone: Any) -> QueryTruth:
    easy, hard, junk = (
        tuple(i for i in ids if i not in gone) for ids in (truth.easy, truth.hard, truth.junk)
    )
    return QueryTruth(truth.query, easy, hard, junk)


def _check(catalogue: Catalogue, needs: Sequence[Need], lost: str) -> None:
    for split in needs:
        if split != "database" and not catalogue.split(split):
            raise DatasetError(f"{catalogue.name} has no {split} images{lost}")
    if "test" in needs and not catalogue.queries():
        raise DatasetError(
            f"{catalogue.name} has no queries: no test image is marked as one or shares its "
            f"label with another test image{lost}"
        )
    if {"test", "database"} & set(needs) and not catalogue.database():
        raise DatasetError(f"{catalogue.name} has no database images in its test split{lost}")
    if "test" in needs and not any(truth.easy or truth.hard for truth in catalogue.truth):
        raise DatasetError(
            f"{catalogue.name}: none of {len(catalogue.queries())} queries has a right answer "
            f"among its {len(catalogue.database())} database images{lost}"
        )


def _digest(catalogue: Catalogue, sizes: Sequence[int], root: str) -> str:
    digest = hashlib.sha256()
    for row, size in zip(catalogue.rows, sizes, strict=True):
        # images made into the artifact count by their name in it: it may lie anywhere
        path = row.path.removeprefix(root)
        content = [path, row.label, row.split, row.role, row.box, size]
        digest.update(json.dumps(content).encode() + b"\n")
    for truth in (*catalogue.truth, *catalogue.val_truth):
        digest.update(json.dumps(astuple(truth)).encode() + b"\n")
    digest.update(json.dumps(catalogue.pairs).encode())
    return digest.hexdigest()
