"""The packaged list of benchmarks, and a user's own mirrors, sizes and checksums over it."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from retrieval_core.config.base import Config
from retrieval_core.data.benchmarks.contents import content_check
from retrieval_core.download import RemoteFile
from retrieval_core.errors import ConfigError


@dataclass(frozen=True)
class Source:
    """A file of a benchmark.

    Attributes:
        file: its name, mirrors, size, checksum and what its content is checked by.
        folder: that it is kept in, below the datasets' root.
        unpack_to: for an archive, the folder beside it that gets its content.
    """

    file: RemoteFile
    folder: str
    unpack_to: str | None


@dataclass(frozen=True)
class Benchmark:
    """A published dataset.

    Attributes:
        name: by which configurations know it.
        title: what it is, for people.
        images: how many images it names; None where that is not published.
        gigabytes: of its downloads, roughly; None where that is not known.
        licence: in words.
        restricted: whether the licence forbids more than it takes to give credit.
        bring: what the user has to bring, "" if nothing.
        sources: its files.
        lists: names of lists that archives hold, or their users bring.
    """

    name: str
    title: str
    images: int | None
    gigabytes: float | None
    licence: str
    restricted: bool
    bring: str
    sources: tuple[Source, ...]
    lists: tuple[str, ...]


class _Refined(Config):
    urls: tuple[str, ...] = ()
    size: int | None = Field(None, ge=0)
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$")


class _Refinement(Config):
    mirrors: tuple[str, ...] = ()
    files: dict[str, _Refined] = Field(default_factory=dict)


def load_benchmarks(refinement: str | Path = "") -> dict[str, Benchmark]:
    """Every benchmark by name.

    Args:
        refinement: YAML file with `mirrors`, a list of addresses below which every file lies at
            FOLDER/NAME as in the packaged list, and `files`, which gives `urls`, `size` and
            `sha256` of files by name. Own mirrors are tried before the packaged ones; "" for none.

    Raises:
        ConfigError: the refinement is missing or no such YAML, or names an unknown file.
    """
    refined = _read_refinement(Path(refinement)) if refinement else _Refinement()
    found = {name: _benchmark(name, entry, refined) for name, entry in _packaged().items()}
    known = {s.file.name for benchmark in found.values() for s in benchmark.sources}
    _refuse_unknown(refined.files, known, refinement)
    return found


def _packaged() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(
        (files(__package__) / "sources.yaml").read_text("utf-8")
    )
    return content


def _read_refinement(path: Path) -> _Refinement:
    try:
        return _Refinement.model_validate(yaml.safe_load(path.read_text("utf-8")) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the list of sources {path} cannot be read: {error}") from None
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"{path}: {'; '.join(faults)}") from None


def _refuse_unknown(names: Iterable[str], known: set[str], refinement: str | Path) -> None:
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=3)
            hint = f"; there is {', '.join(close)}" if close else ""
            raise ConfigError(f"{refinement}: no benchmark has a file {name!r}{hint}")


def _benchmark(name: str, entry: Mapping[str, Any], refined: _Refinement) -> Benchmark:
    sources = (s for file in entry["files"] for s in _numbered(file))
    return Benchmark(
        name=name,
        title=entry["title"],
        images=entry["images"],
        gigabytes=entry["gigabytes"],
        licence=entry["licence"],
        restricted=entry["restricted"],
        bring=entry.get("bring", ""),
        sources=tuple(_refine(source, refined) for source in sources),
        lists=tuple(entry.get("lists", ())),
    )


def _numbered(file: Mapping[str, Any]) -> list[Source]:
    numbers = range(1, file["count"] + 1) if "count" in file else [""]
    return [
        Source(
            RemoteFile(
                file["name"].format(number),
                tuple(url.format(number) for url in file["urls"]),
                file["sha256"],
                file["size"],
                content_check(file["name"], is_archive="unpack_to" in file),
            ),
            file["folder"],
            file.get("unpack_to"),
        )
        for number in numbers
    ]


def _refine(source: Source, refined: _Refinement) -> Source:
    file, own = source.file, refined.files.get(source.file.name, _Refined())
    mirrors = tuple(f"{m.rstrip('/')}/{source.folder}/{file.name}" for m in refined.mirrors)
    changed = replace(
        file,
        urls=(*own.urls, *mirrors, *file.urls),
        sha256=own.sha256 or file.sha256,
        size=file.size if own.size is None else own.size,
    )
    return replace(source, file=changed)
