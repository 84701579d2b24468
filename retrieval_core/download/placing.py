"""Where the entries of an archive may lie: below its own folder, nowhere else."""

import os
import posixpath
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from retrieval_core.download.members import Member
from retrieval_core.errors import ArchiveError

_DEEPEST = 64
_ABSOLUTE = re.compile(r"[\\/]|[A-Za-z]:")
_BLOCK = 1 << 20


class Placing:
    """Writes entries below an empty folder.

    Links become hard links to the file they mean once all files are there: no link ever lies in
    the folder, so none can be followed out of it.

    Args:
        root: the folder; nobody else writes to it.
        written: called with the bytes of each write.
    """

    def __init__(self, root: Path, written: Callable[[int], None]) -> None:
        self._root, self._written = root, written
        self._folders = {root}
        self._links: dict[Path, Path] = {}

    def place(self, member: Member) -> None:
        """Write one entry; a later one of the same name replaces it.

        Raises:
            ArchiveError: it would lie, or point, outside the folder, or is a device.
        """
        path = self._root / safe_name(member.name)
        if member.kind == "folder":
            self._make(path)
        elif member.kind == "file":
            self._make(path.parent)
            self._links.pop(path, None)
            self._write(member, path)
        elif member.kind == "other":
            raise ArchiveError(f"has {member.name!r}, which is no file: a device or a pipe")
        else:
            self._links[path] = self._root / _safe_target(member)

    def finish(self) -> None:
        """Make the links.

        Raises:
            ArchiveError: one points to something that is no file of the archive.
        """
        while self._links:
            ready = {p: t for p, t in self._links.items() if t.is_file() and t not in self._links}
            if not ready:
                path, target = next(iter(self._links.items()))
                raise ArchiveError(
                    f"has a link {self._name(path)!r} to {self._name(target)!r}, which is no file"
                )
            for path, target in ready.items():
                self._make(path.parent)
                self._link(target, path)
                del self._links[path]

    def _write(self, member: Member, path: Path) -> None:
        # a new file, not the old one's content: it may have got a second name
        path.unlink(missing_ok=True)
        with member.open() as content, path.open("xb") as file:
            while block := content.read(_BLOCK):
                self._written(len(block))
                file.write(block)

    def _link(self, target: Path, path: Path) -> None:
        path.unlink(missing_ok=True)
        try:
            os.link(target, path)
        except OSError:
            # some file systems have no links
            self._written(target.stat().st_size)
            shutil.copyfile(target, path)

    def _make(self, folder: Path) -> None:
        if folder not in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._root))


def safe_name(name: str) -> str:
    """An entry's name as a path below the folder.

    Args:
        name: as the archive gives it.

    Raises:
        ArchiveError: it is absolute, climbs out of the folder, or is no name at all.
    """
    parts = [part for part in re.split(r"[\\/]", name) if part not in {"", "."}]
    if _ABSOLUTE.match(name) or ".." in parts:
        raise ArchiveError(f"would write outside its folder, to {name!r}")
    if "\0" in name or "\\" in name or len(parts) > _DEEPEST:
        raise ArchiveError(f"has an impossible name: {name[:100]!r}")
    return "/".join(parts)


def _safe_target(member: Member) -> str:
    base = "" if member.kind == "hard link" else posixpath.dirname(member.name)
    target = posixpath.normpath(posixpath.join(base, member.target))
    if _ABSOLUTE.match(member.target) or target.split("/")[0] == "..":
        raise ArchiveError(f"has a link {member.name!r} out of its folder, to {member.target!r}")
    return safe_name(target)


def merge(source: Path, target: Path) -> None:
    """Move all that is in a folder into another one; files there of the same name are replaced.

    Args:
        source: folder on the same disk; what is left of it are empty folders.
        target: folder that exists.
    """
    for entry in list(source.iterdir()):
        place = target / entry.name
        if not (entry.is_dir() and place.is_dir()):
            try:
                entry.replace(place)
                continue
            except OSError:
                # another archive may just have made the same folder
                if not (entry.is_dir() and place.is_dir()):
                    raise
        merge(entry, place)
