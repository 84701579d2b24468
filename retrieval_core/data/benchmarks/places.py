"""Where the files of a benchmark are: in the work directory, or wherever a user keeps them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from retrieval_core.config import BenchmarkConfig
from retrieval_core.data.benchmarks.sources import Source
from retrieval_core.data.folder_table import IMAGE_SUFFIXES
from retrieval_core.errors import MissingListError

WORKDIR = "RETRIEVAL_WORKDIR"
# such as data/test/roxford5k/gnd_roxford5k.pkl for the root data
DEPTHS = ("", "*/", "*/*/")


@dataclass(frozen=True)
class Places:
    """The folders of one benchmark.

    Attributes:
        root: that downloads go below, at `Source.folder`.
        folders: that images are looked for in, with all their subfolders.
        brought: whether the root is the user's own, whose layout may be another.
    """

    root: Path
    folders: tuple[Path, ...]
    brought: bool

    @staticmethod
    def of(config: BenchmarkConfig, sources: tuple[Source, ...]) -> "Places":
        """The places that the settings mean."""
        if config.root:
            root = Path(config.root).expanduser().absolute()
            return Places(root, (root,), brought=True)
        root = Path(os.environ.get(WORKDIR) or "workdir").absolute() / "datasets"
        folders = dict.fromkeys(root / source.folder for source in sources)
        return Places(root, tuple(folders), brought=False)

    def file(self, folder: str, name: str) -> Path:
        """A file or folder of a benchmark: where it is, else where it would be downloaded to."""
        expected = self.root / folder / name
        if expected.exists() or not self.brought:
            return expected
        found = (path for depth in DEPTHS for path in sorted(self.root.glob(depth + name)))
        return next(found, expected)

    def listed(self, name: str) -> Path:
        """A list that an archive holds, wherever that was unpacked; the first of its name.

        Raises:
            MissingListError: there is none, at most two folders deep.
        """
        for folder in self.folders:
            for depth in DEPTHS:
                found = sorted(folder.glob(depth + name))
                # hidden folders hold what is being unpacked
                shown = (p for p in found if "/." not in str(p)[len(str(folder)) :])
                if path := next(shown, None):
                    return path
        where = " or ".join(map(str, self.folders))
        raise MissingListError(f"{name} is nowhere below {where}")

    def image(self, name: str) -> Path:
        """An image by its name, or the end of its path, relative to wherever it was unpacked.

        Where several have the name, the one in the folders that `name` gives; else the first.
        """
        candidates = self._images.get(name.rpartition("/")[2], [])
        ending = "/" + name
        right = (path for path in candidates if path.endswith(ending))
        missing = str(self.folders[0] / "jpg" / name)
        return Path(next(right, candidates[0] if candidates else missing))

    def listing(self) -> Iterator[tuple[str, int, int]]:
        """Path, size in bytes and time of modification of every image in the folders."""
        for folder in self.folders:
            for path in _image_files(folder):
                found = Path(path).stat()
                yield path, found.st_size, found.st_mtime_ns

    @cached_property
    def _images(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for folder in self.folders:
            for path in _image_files(folder):
                found.setdefault(path.rpartition("/")[2], []).append(path)
        return {name: sorted(paths) for name, paths in found.items()}


def _image_files(folder: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        # hidden ones hold what is being unpacked
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(IMAGE_SUFFIXES):
                yield f"{parent}/{name}"
