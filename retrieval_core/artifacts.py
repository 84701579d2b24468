"""Content-addressed directories on any fsspec URL.

An artifact's key is the hash of all that determines its content. Files are written under a
temporary name and renamed; `manifest.json` comes last. Without a manifest there is no artifact,
only the finished shards of an interrupted one, which the next attempt finds and keeps.
"""

import hashlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import fsspec
from pydantic import BaseModel

from retrieval_core.durability import flush
from retrieval_core.errors import ArtifactError, ArtifactMismatchError, StorageError
from retrieval_core.storage_faults import UNUSABLE, is_full

MANIFEST = "manifest.json"
TEMPORARY = ".tmp-"


@dataclass(frozen=True)
class ArtifactRef:
    """A small reference that tasks pass instead of data."""

    kind: str
    key: str
    uri: str


@dataclass(frozen=True)
class Manifest:
    """What an artifact is made of; the last file written into it.

    Attributes:
        kind: of the artifact, such as "feats".
        key: hash of all that determines the content.
        label: tells people what is inside.
        version: of the stage's code.
        config: settings that determined the content.
        inputs: an `ArtifactRef` as a dict, by role.
        files: size in bytes and SHA-256, by name.
        counts: of images, descriptors, words ...
        metrics: scores and losses.
        notes: facts in words, such as the digest of a dataset's content.
        excluded: one entry per input that could not be used, with its reason.
        seconds: that the stage took.
    """

    kind: str
    key: str
    label: str
    version: int
    config: dict[str, Any]
    inputs: dict[str, dict[str, str]]
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    excluded: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def input(self, name: str) -> ArtifactRef:
        """The reference of one input.

        Raises:
            ArtifactError: there is no input of that name.
        """
        if name not in self.inputs:
            raise ArtifactError(
                f"{self.kind} {self.key} has no input {name!r}: {list(self.inputs)}"
            )
        return ArtifactRef(**self.inputs[name])

    def require_input(self, name: str, expected: ArtifactRef) -> None:
        """Refuse an artifact that was built from another input than the one at hand.

        Raises:
            ArtifactMismatchError: the keys differ; the message names both.
        """
        actual = self.input(name)
        if actual.key != expected.key:
            raise ArtifactMismatchError(
                f"{self.kind} {self.key} was built with {name} {actual.key}, "
                f"not with {name} {expected.key}"
            )


class ArtifactDirectory:
    """Files of one artifact, finished or in the making, on local disk or elsewhere.

    Args:
        uri: directory, as a path or fsspec URL; created on the first write.
    """

    def __init__(self, uri: str | Path) -> None:
        self.uri = str(uri)
        self._fs, root = fsspec.core.url_to_fs(self.uri)
        self._root = str(root).rstrip("/")
        self._is_local = "file" in _protocols(self._fs)

    def path(self, name: str) -> str:
        """Address of a file on the directory's file system."""
        return f"{self._root}/{name}"

    def exists(self, name: str) -> bool:
        """Whether a file was completely written."""
        return bool(self._fs.exists(self.path(name)))

    def size(self, name: str) -> int:
        """Bytes of a finished file."""
        return int(self._fs.size(self.path(name)))

    def names(self) -> list[str]:
        """Finished files but the manifest, sorted, relative to the directory."""
        if not self._fs.exists(self._root):
            return []
        found = (str(p)[len(self._root) + 1 :] for p in self._fs.find(self._root))
        return sorted(n for n in found if n != MANIFEST and TEMPORARY not in n)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A local path to write; the file appears under `name` when the block ends well.

        Nothing appears when the block raises, and a crash leaves only a temporary file.

        Raises:
            StorageError: the disk is full, or the directory cannot be made or written.
        """
        try:
            with self._temporary(name) as path:
                yield path
        except StorageError:
            raise
        except UNUSABLE as error:
            raise StorageError(f"cannot write {self.path(name)}: {error}") from error
        except Exception as error:
            if not is_full(error):
                raise
            raise StorageError(
                f"cannot write {self.path(name)}: {error}; make room and run again, what is "
                "finished is kept"
            ) from error

    @contextmanager
    def _temporary(self, name: str) -> Iterator[Path]:
        if self._is_local:
            target = Path(self.path(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex}-{target.name}")
            try:
                yield temporary
                flush(temporary)
                temporary.replace(target)
                # a file's name is the folder's content: without this a power cut may lose it
                flush(target.parent)
            finally:
                temporary.unlink(missing_ok=True)
            return
        with tempfile.TemporaryDirectory() as scratch:
            temporary = Path(scratch) / Path(name).name
            yield temporary
            self._fs.makedirs(self.path(name).rpartition("/")[0], exist_ok=True)
            self._fs.put_file(str(temporary), self.path(name))

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a whole file at once, all of it or nothing."""
        with self.writing(name) as path:
            path.write_bytes(content)

    def write_json(self, name: str, content: Any) -> None:
        """Write plain values as JSON, all of it or nothing."""
        self.write_bytes(name, json.dumps(content, indent=1, sort_keys=True).encode())

    def read_bytes(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            ArtifactError: the file does not exist, or cannot be read.
        """
        try:
            return bytes(self._fs.cat_file(self.path(name)))
        except FileNotFoundError:
            raise ArtifactError(f"{self.uri} has no file {name!r}") from None
        except UNUSABLE as error:
            raise ArtifactError(f"{self.uri}/{name} cannot be read: {error}") from None

    def read_json(self, name: str) -> Any:
        """Parsed content of a JSON file.

        Raises:
            ArtifactError: the file does not exist or is not JSON.
        """
        try:
            return json.loads(self.read_bytes(name))
        except ValueError as error:
            raise ArtifactError(f"{self.uri}/{name} is not JSON: {error}") from None

    def local(self, name: str) -> Path:
        """A local path of a finished file; a remote one is copied once into a cache directory.

        Raises:
            ArtifactError: the file does not exist.
        """
        if not self.exists(name):
            raise ArtifactError(f"{self.uri} has no file {name!r}")
        if self._is_local:
            return Path(self.path(name))
        address = hashlib.sha256(self._fs.ukey(self.path(name)).encode()).hexdigest()[:16]
        cache = ArtifactDirectory(Path(tempfile.gettempdir()) / "retrieval-cache" / address)
        if not cache.exists(name):
            with cache.writing(name) as path:
                self._fs.get_file(self.path(name), str(path))
        return cache.local(name)

    def local_folder(self) -> Path | None:
        """The directory itself, created where it is absent; None off the local disk.

        Raises:
            StorageError: it cannot be made.
        """
        if not self._is_local:
            return None
        folder = Path(self._root)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except UNUSABLE as error:
            raise StorageError(f"{folder} cannot be made: {error}") from error
        return folder

    def describe(self, name: str) -> dict[str, Any]:
        """Size in bytes and SHA-256 of a finished file."""
        digest, size = hashlib.sha256(), 0
        with self._fs.open(self.path(name), "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
                size += len(block)
        return {"size": size, "sha256": digest.hexdigest()}

    def remove(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it; what is absent stays absent."""
        if self._fs.exists(self.path(name)):
            self._fs.rm(self.path(name), recursive=True)

    def remove_temporary(self, *, below: bool = True) -> None:
        """Delete what crashed writers left behind, in the folders below, too."""
        if self._is_local and self._fs.exists(self._root):
            folder, pattern = Path(self._root), f"{TEMPORARY}*"
            for leftover in folder.rglob(pattern) if below else folder.glob(pattern):
                leftover.unlink(missing_ok=True)


class ArtifactStore:
    """All artifacts below one URL.

    Args:
        uri: root directory, as a path or fsspec URL.
    """

    def __init__(self, uri: str | Path) -> None:
        self.uri = str(uri).rstrip("/")

    def ref(
        self,
        kind: str,
        label: str,
        *,
        config: BaseModel | Mapping[str, Any],
        inputs: Mapping[str, ArtifactRef],
        version: int,
    ) -> ArtifactRef:
        """Where the artifact of these settings, inputs and code version lives, built or not."""
        key = artifact_key(kind, config=config, inputs=inputs, version=version)
        return ArtifactRef(kind, key, self._uri(kind, label, key))

    def address(self, manifest: Manifest) -> ArtifactRef:
        """Where the artifact of this manifest lives."""
        kind, key = manifest.kind, manifest.key
        return ArtifactRef(kind, key, self._uri(kind, manifest.label, key))

    @staticmethod
    def exists(ref: ArtifactRef) -> bool:
        """Whether the artifact is complete."""
        return ArtifactDirectory(ref.uri).exists(MANIFEST)

    def list(self, kind: str = "*") -> list[Manifest]:
        """Manifests of every complete artifact, or those of a kind, sorted by kind and label."""
        fs, root = fsspec.core.url_to_fs(self.uri)
        found = fs.glob(f"{str(root).rstrip('/')}/{kind}-*/{MANIFEST}")
        manifests = [Manifest(**json.loads(fs.cat_file(path))) for path in found]
        return sorted(manifests, key=lambda m: (m.kind, m.label, m.key))

    def _uri(self, kind: str, label: str, key: str) -> str:
        return f"{self.uri}/{kind}-{label}-{key}"

    def remove(self, ref: ArtifactRef) -> None:
        """Delete an artifact, manifest first, so that it is never seen half deleted."""
        directory = ArtifactDirectory(ref.uri)
        fs, root = fsspec.core.url_to_fs(ref.uri)
        if directory.exists(MANIFEST):
            fs.rm_file(directory.path(MANIFEST))
        if "file" in _protocols(fs):
            shutil.rmtree(root, ignore_errors=True)
        elif fs.exists(root):
            fs.rm(root, recursive=True)


def artifact_key(
    kind: str,
    *,
    config: BaseModel | Mapping[str, Any],
    inputs: Mapping[str, ArtifactRef],
    version: int,
) -> str:
    """Sixteen hexadecimal digits that change whenever the content would."""
    identity = {
        "kind": kind,
        "version": version,
        "config": plain(config),
        "inputs": {name: ref.key for name, ref in inputs.items()},
    }
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def commit(directory: ArtifactDirectory, manifest: Manifest) -> Manifest:
    """Declare the artifact complete: list and hash its files, write the manifest last."""
    directory.remove_temporary()
    files = {name: directory.describe(name) for name in directory.names()}
    complete = Manifest(**{**asdict(manifest), "files": files})
    directory.write_json(MANIFEST, asdict(complete))
    return complete


def read_manifest(uri: str | Path, *, verify: bool = False) -> Manifest:
    """Manifest of a complete artifact.

    Args:
        uri: directory of the artifact.
        verify: also compare every file's SHA-256, not only its presence and size.

    Raises:
        ArtifactError: there is no artifact, or a file is missing or altered.
    """
    manifest, directory = load_manifest(uri), ArtifactDirectory(uri)
    for name, expected in manifest.files.items():
        _check_file(directory, name, expected, verify=verify)
    return manifest


def load_manifest(uri: str | Path) -> Manifest:
    """Manifest of a complete artifact whose files are not looked at.

    Raises:
        ArtifactError: there is no artifact.
    """
    directory = ArtifactDirectory(uri)
    if not directory.exists(MANIFEST):
        raise ArtifactError(f"no artifact at {uri}: it has no {MANIFEST}")
    try:
        return Manifest(**directory.read_json(MANIFEST))
    except TypeError as error:
        raise ArtifactError(f"{uri}/{MANIFEST} is not a manifest: {error}") from None


def plain(config: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON values."""
    if isinstance(config, BaseModel):
        return config.model_dump(mode="json")
    return {k: plain(v) if isinstance(v, BaseModel) else v for k, v in config.items()}


def _check_file(
    directory: ArtifactDirectory, name: str, expected: dict[str, Any], *, verify: bool
) -> None:
    if not directory.exists(name):
        raise ArtifactError(f"{directory.uri}: {name} is missing")
    size = directory.size(name)
    if size != expected["size"]:
        raise ArtifactError(
            f"{directory.uri}/{name} has {size} bytes, its manifest says {expected['size']}"
        )
    if verify and directory.describe(name)["sha256"] != expected["sha256"]:
        raise ArtifactError(f"{directory.uri}/{name} was altered: its SHA-256 differs")


def _protocols(fs: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
