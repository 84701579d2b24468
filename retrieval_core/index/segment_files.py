"""The segments of an inverted file on disk.

A change writes the files of new segments and tombstones beside those that are there, then replaces
`index.json` in one step: a reader, like a crash at any byte, has the old state or the new one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError, ConcurrentWriteError
from retrieval_core.index.segment import Mask, Saved, Segment
from retrieval_core.index.snapshot import Float64, Snapshot, Weights
from retrieval_core.index.storage import (
    MANIFEST,
    Array,
    map_array,
    read_description,
    sweep,
    verify_array,
    write_array,
    writing_alone,
)

KIND = "asmk"
SEGMENT_ARRAYS = ("image_ids", "words", "offsets", "images", "codes")


@dataclass(frozen=True)
class Version:
    """A state of an index on disk, by the digest of its `index.json`."""

    uri: str
    digest: str


def read_snapshot(
    directory: ArtifactDirectory,
) -> tuple[dict[str, Any], Snapshot, Version]:
    """Map the segments of an index into memory.

    Returns:
        What `index.json` says, the segments, and which state this is.

    Raises:
        ArtifactError: there is no index, or a file is missing, truncated or not what it should be.
    """
    while True:
        version = _version(directory)
        try:
            description = read_description(directory, KIND)
            if "segments" not in description:
                raise ArtifactError(f"{directory.uri} is of an older format: build it again")
            return description, _snapshot(directory, description), version
        except ArtifactError:
            # a writer may have replaced the index, and deleted files, since its JSON was read
            if _version(directory) == version:
                raise


def write_snapshot(
    directory: ArtifactDirectory,
    settings: Mapping[str, Any],
    shared: Mapping[str, Array],
    snapshot: Snapshot,
    based_on: Version | None,
) -> tuple[Snapshot, Version]:
    """Write what is not there yet, then the new state.

    Args:
        directory: of the index.
        settings: plain values for `index.json`.
        shared: arrays of the whole index, by name.
        snapshot: to write.
        based_on: state that the snapshot was made from; None replaces whatever is there.

    Returns:
        The snapshot, knowing its files, and the new state.

    Raises:
        ConcurrentWriteError: another process writes there, or has since that state.
    """
    with writing_alone(directory):
        if based_on is not None and based_on.uri == directory.uri:
            _require(based_on, directory)
        segments = tuple(_write_segment(directory, s) for s in snapshot.segments)
        snapshot = replace(snapshot, segments=segments)
        files = {name: write_array(directory, name, array) for name, array in shared.items()}
        description = _describe(directory, settings, files, snapshot)
        directory.write_json(MANIFEST, description)
        sweep(directory, _files(description))
        return snapshot, _version(directory)


def open_segment(saved: Saved) -> Segment:
    """Map the files of a segment into memory, whatever the index has become since.

    Raises:
        ConcurrentWriteError: a file was deleted, as those are that a later state does not name.
        ArtifactError: a file is truncated or not what it should be.
    """
    directory = ArtifactDirectory(saved.uri)
    for file in saved.files.values():
        if not directory.exists(file):
            raise ConcurrentWriteError(
                f"{saved.uri} was changed since it was opened and has no file {file!r} any more; "
                "open it again"
            )
    arrays = {name: map_array(directory, file) for name, file in saved.files.items()}
    segment = Segment(**arrays, saved=replace(saved, offset=0))
    _check(segment)
    return segment.shifted(saved.offset)


def verify_files(directory: ArtifactDirectory) -> None:
    """Read every file of an index and compare it with its digest.

    Raises:
        ArtifactError: a file is missing, unreadable or altered; names it.
    """
    for file in _files(read_description(directory, KIND)):
        verify_array(directory, file)


def _version(directory: ArtifactDirectory) -> Version:
    return Version(directory.uri, hashlib.sha256(directory.read_bytes(MANIFEST)).hexdigest())


def _require(expected: Version, directory: ArtifactDirectory) -> None:
    if not directory.exists(MANIFEST) or _version(directory) != expected:
        raise ConcurrentWriteError(
            f"{directory.uri} was changed by another process since it was opened; open it again "
            "and repeat the change"
        )


def _write_segment(directory: ArtifactDirectory, segment: Segment) -> Segment:
    saved = segment.saved
    if saved is not None and saved.uri == directory.uri and saved.offset == 0:
        return segment
    files = {n: write_array(directory, n, getattr(segment, n)) for n in SEGMENT_ARRAYS}
    return replace(segment, saved=Saved(directory.uri, files))


def _describe(
    directory: ArtifactDirectory,
    settings: Mapping[str, Any],
    shared: Mapping[str, str],
    snapshot: Snapshot,
) -> dict[str, Any]:
    segments = []
    weights = snapshot.weights
    for segment, living, norms in zip(
        snapshot.segments, snapshot.alive, weights.norms, strict=True
    ):
        files = dict(segment.saved.files) if segment.saved else {}
        if not living.all():
            removed = np.flatnonzero(~living).astype(np.int32)
            files["removed"] = write_array(directory, "removed", removed)
        if snapshot.use_idf:
            files["norms"] = write_array(directory, "norms", norms)
        segments.append({"images": len(segment), "postings": len(segment.images), "files": files})
    files = dict(shared)
    if snapshot.use_idf:
        files["idf"] = write_array(directory, "idf", weights.idf)
    return {
        "kind": KIND,
        **settings,
        "use_idf": snapshot.use_idf,
        "images": len(snapshot),
        "postings": sum(len(segment.images) for segment in snapshot.segments),
        "segments": segments,
        "files": files,
    }


def _files(description: Mapping[str, Any]) -> list[str]:
    groups = [description["files"], *(segment["files"] for segment in description["segments"])]
    return [file for group in groups for file in group.values()]


def _snapshot(directory: ArtifactDirectory, description: Mapping[str, Any]) -> Snapshot:
    segments: list[Segment] = []
    alive: list[Mask] = []
    norms: list[Float64] = []
    for entry in description["segments"]:
        arrays = {name: map_array(directory, file) for name, file in entry["files"].items()}
        removed = arrays.pop("removed", np.empty(0, np.int32))
        norms.append(arrays.pop("norms", np.empty(0)))
        files = {name: entry["files"][name] for name in SEGMENT_ARRAYS}
        segment = Segment(**arrays, saved=Saved(directory.uri, files))
        _check(segment)
        living = np.ones(len(segment), bool)
        living[removed] = False
        segments.append(segment)
        alive.append(living)
    weights = None
    if description["use_idf"]:
        weights = Weights(map_array(directory, description["files"]["idf"]), tuple(norms))
    return Snapshot(tuple(segments), tuple(alive), description["use_idf"], weights)


def _check(segment: Segment) -> None:
    """Refuse files that do not belong together: the compiled loops trust them."""
    offsets = segment.offsets
    fits = (
        len(segment.words) == len(segment)
        and len(segment.images) == len(segment.codes) == offsets[-1]
        and offsets[0] == 0
        and (np.diff(offsets) >= 0).all()
    )
    if not fits and segment.saved is not None:
        raise ArtifactError(
            f"{segment.saved.uri}: the files {sorted(segment.saved.files.values())} do not "
            "belong together"
        )
