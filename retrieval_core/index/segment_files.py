"""The segments of an inverted file on disk.

A change writes the files of new segments and tombstones beside those that are there, then replaces
`index.json` in one step: a reader, like a crash at any byte, has the old state or the new one.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError, ConcurrentWriteError
from retrieval_core.index.segment import Mask, Saved, Segment
from retrieval_core.index.segment_checks import (
    AsmkDescription,
    Sizes,
    check_arrays,
    check_images,
    check_offsets,
    check_removed,
    require_count,
    require_names,
    segment_sizes,
)
from retrieval_core.index.snapshot import Float64, Snapshot, Weights
from retrieval_core.index.storage import (
    MANIFEST,
    Array,
    Arrays,
    Versions,
    has_array,
    location,
    map_array,
    read_description,
    read_whole,
    require_unchanged,
    sweep,
    verify_array,
    version,
    write_array,
    writing_alone,
)

KIND = "asmk"
SEGMENT_ARRAYS = ("image_ids", "words", "offsets", "images", "codes")


def read_snapshot(
    directory: ArtifactDirectory,
) -> tuple[dict[str, Any], Snapshot, Versions]:
    """Map the segments of an index into memory.

    Posting lists are not read: their lengths are compared, and whether each posting is of an image
    that is there is found when the posting is used, or by `verify_files`.

    Returns:
        What `index.json` says, the segments, and which state this is.

    Raises:
        ArtifactError: there is no index, or a file is missing, truncated or not what it should be;
            names it.
    """

    def read() -> tuple[dict[str, Any], Snapshot]:
        description = read_description(directory, KIND, AsmkDescription)
        return description, _snapshot(directory, description)

    (description, snapshot), state = read_whole(directory, read)
    return description, snapshot, state


def write_snapshot(
    directory: ArtifactDirectory,
    settings: Mapping[str, Any],
    shared: Mapping[str, Array],
    snapshot: Snapshot,
    based_on: Versions,
) -> tuple[Snapshot, Versions]:
    """Write what is not there yet, then the new state.

    Args:
        directory: of the index.
        settings: plain values for `index.json`.
        shared: arrays of the whole index, by name.
        snapshot: to write.
        based_on: as of `require_unchanged`; elsewhere an index that is there is replaced.

    Returns:
        The snapshot, knowing its files, and the new state.

    Raises:
        ConcurrentWriteError: another process writes there, or has since that state.
        StorageError: the disk is full.
    """
    with writing_alone(directory):
        require_unchanged(directory, based_on)
        segments = tuple(_write_segment(directory, s) for s in snapshot.segments)
        snapshot = replace(snapshot, segments=segments)
        files = {name: write_array(directory, name, array) for name, array in shared.items()}
        description = _describe(directory, settings, files, snapshot)
        directory.write_json(MANIFEST, description)
        sweep(directory, _files(description))
        return snapshot, version(directory)


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
    arrays = _mapped(directory, saved.files)
    check_arrays(saved.uri, saved.files, arrays, {})
    return _segment(replace(saved, offset=0), arrays).shifted(saved.offset)


def verify_files(directory: ArtifactDirectory) -> dict[str, Any]:
    """Read every file of an index, compare it with its digest and with the others.

    Returns:
        What `index.json` says.

    Raises:
        ArtifactError: a file is missing, unreadable or altered, or files do not belong together;
            names it.
    """
    description = read_description(directory, KIND, AsmkDescription)
    for file in _files(description):
        verify_array(directory, file)
    for segment in _snapshot(directory, description).segments:
        if segment.saved is not None:
            check_images(directory.uri, segment.saved.files, segment)
    return description


def _write_segment(directory: ArtifactDirectory, segment: Segment) -> Segment:
    arrays = {name: getattr(segment, name) for name in SEGMENT_ARRAYS}
    saved = segment.saved
    # another writer may have merged the segment and deleted its files, which stay mapped
    if (
        saved is not None
        and saved.uri == location(directory)
        and saved.offset == 0
        and all(has_array(directory, saved.files[name], arrays[name]) for name in arrays)
    ):
        return segment
    files = {name: write_array(directory, name, array) for name, array in arrays.items()}
    return replace(segment, saved=Saved(location(directory), files))


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
    uri, files, use_idf = directory.uri, description["files"], description["use_idf"]
    require_names(uri, "files", files, {"idf"} if use_idf else set(), {"centroids"})
    shared, found = _mapped(directory, files), Sizes()
    check_arrays(uri, files, shared, found)
    sizes = segment_sizes(found, binary=description["binary"])
    segments: list[Segment] = []
    alive: list[Mask] = []
    norms: list[Float64] = []
    for entry in description["segments"]:
        segment, living, own_norms = _entry(directory, entry, sizes, use_idf=use_idf)
        segments.append(segment)
        alive.append(living)
        norms.append(own_norms)
    weights = Weights(shared["idf"], tuple(norms)) if use_idf else None
    snapshot = Snapshot(tuple(segments), tuple(alive), use_idf, weights)
    _check_whole(uri, description, snapshot)
    return snapshot


def _entry(
    directory: ArtifactDirectory, entry: Mapping[str, Any], sizes: Sizes, *, use_idf: bool
) -> tuple[Segment, Mask, Float64]:
    """A segment with what belongs to it: which images are alive, and norms, if they are there.

    Args:
        directory: of the index.
        entry: of the segment in `index.json`.
        sizes: of all segments, as of `check_arrays`; what the first says is added.
        use_idf: whether there must be norms.
    """
    uri, files = directory.uri, entry["files"]
    needed = {*SEGMENT_ARRAYS, "norms"} if use_idf else set(SEGMENT_ARRAYS)
    require_names(uri, "a segment", files, needed, {"removed"})
    arrays = _mapped(directory, files)
    own = {**sizes, "images": entry["images"], "postings": entry["postings"]}
    check_arrays(uri, files, arrays, own)
    sizes |= {axis: own[axis] for axis in ("words + 1", "width")}
    saved = Saved(location(directory), {name: files[name] for name in SEGMENT_ARRAYS})
    segment = _segment(saved, {name: arrays[name] for name in SEGMENT_ARRAYS})
    living = np.ones(len(segment), bool)
    if "removed" in arrays:
        check_removed(uri, files["removed"], arrays["removed"], len(segment))
        living[arrays["removed"]] = False
    return segment, living, arrays.get("norms", np.empty(0))


def _segment(saved: Saved, arrays: Arrays) -> Segment:
    check_offsets(saved.uri, saved.files["offsets"], arrays["offsets"], len(arrays["images"]))
    return Segment(**arrays, saved=saved)


def _mapped(directory: ArtifactDirectory, files: Mapping[str, str]) -> Arrays:
    return {name: map_array(directory, file) for name, file in files.items()}


def _check_whole(uri: str, description: Mapping[str, Any], snapshot: Snapshot) -> None:
    """Refuse what `index.json` says of the whole and the segments contradict."""
    postings = sum(len(segment.images) for segment in snapshot.segments)
    require_count(uri, "images", description["images"], len(snapshot))
    require_count(uri, "postings", description["postings"], postings)
    dtype = np.uint64 if description["binary"] else np.float16
    for segment in snapshot.segments:
        if segment.codes.dtype != dtype and segment.saved is not None:
            raise ArtifactError(
                f"{uri}/{segment.saved.files['codes']} holds {segment.codes.dtype}, "
                f"{MANIFEST} says binary: {description['binary']}"
            )
