"""Indexes as artifacts: each knows its kind and its codebook."""

from collections.abc import Sequence

from retrieval_core.artifacts import load_manifest
from retrieval_core.errors import ArtifactMismatchError
from retrieval_core.index import AsmkIndex, Codebook, VectorIndex

KINDS = ("asmk", "vectors")


def open_index(
    uri: str, *more: str, offsets: Sequence[int] = (), model: str | None = None
) -> AsmkIndex | VectorIndex:
    """Map an index, or the union of several of one kind, into memory.

    Args:
        uri: directory of an "asmk" or "vectors" artifact.
        more: of the same kind.
        offsets: added to the image ids of each; default: 0.
        model: what makes the vectors to search with, as in `VectorIndex`.

    Raises:
        ArtifactError: an index, or the codebook that it was built with, is not there.
        ArtifactMismatchError: one is no index, or of another network or whitening, or they do not
            go together.
        IndexInputError: an image id in two of them.
    """
    uris = (uri, *more)
    kinds = [load_manifest(each).kind for each in uris]
    for place, kind in zip(uris, kinds, strict=True):
        if kind not in KINDS:
            raise ArtifactMismatchError(f"{place} is of kind {kind}, not an index")
        if kind != kinds[0]:
            raise ArtifactMismatchError(f"{place} is of kind {kind}, not of kind {kinds[0]}")
    if kinds[0] == "vectors":
        return VectorIndex.union([VectorIndex.open(each, model=model) for each in uris], offsets)
    return AsmkIndex.union([_open_asmk(each) for each in uris], offsets)


def _open_asmk(uri: str) -> AsmkIndex:
    return AsmkIndex.open(uri, Codebook.load(load_manifest(uri).input("codebook").uri))
