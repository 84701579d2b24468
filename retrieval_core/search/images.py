"""Search a finished index with new photographs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval_core.artifacts import ArtifactRef, read_manifest
from retrieval_core.config import AsmkConfig, FeaturesConfig, VectorConfig
from retrieval_core.data.catalogue import Catalogue, ImageRow
from retrieval_core.data.images import load_image, to_pixels
from retrieval_core.errors import ArtifactMismatchError, ImageError
from retrieval_core.features.rewriting import whiten
from retrieval_core.features.whitening import maker_of, open_whitening
from retrieval_core.index import AsmkIndex
from retrieval_core.models import LocalFeatures, RetrievalModel, load_model
from retrieval_core.models.whitening import Whitening
from retrieval_core.search.opening import KINDS, open_index
from retrieval_core.search.processed import ProcessedIndex, QueryProcessing


@dataclass(frozen=True)
class Hit:
    """One answer: rank from 1, score as the index gives it, and what the catalogue knows."""

    rank: int
    image_id: int
    score: float
    label: str
    path: str


@dataclass(frozen=True)
class Answer:
    """The ranked database images of one query image, or why it could not be searched with."""

    query: str
    hits: tuple[Hit, ...]
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class ImageSearcher:
    """A network and an index that belong together, ready for queries.

    Args:
        index_uri: directory of an "asmk" or "vectors" artifact.
        asmk: query-side settings of an inverted file.
        vector: query-side settings of a vector index.
        processing: query-side settings of a vector index. Its whitening comes with the index.

    Raises:
        ArtifactError: the index, or what it was built from, is not there.
        ArtifactMismatchError: the artifact is no index, or what it needs was made for another.
    """

    def __init__(
        self,
        index_uri: str,
        asmk: AsmkConfig | None = None,
        vector: VectorConfig | None = None,
        processing: QueryProcessing | None = None,
    ) -> None:
        manifest = read_manifest(index_uri)
        if manifest.kind not in KINDS:
            raise ArtifactMismatchError(f"{index_uri} is of kind {manifest.kind}, not an index")
        features = read_manifest(manifest.input("features").uri)
        self.asmk, self.vector = asmk or AsmkConfig(), vector or VectorConfig()
        self.features = FeaturesConfig.model_validate(features.config["features"])
        model = features.input("model")
        self.model: RetrievalModel = load_model(model.uri)
        self._whitening: Whitening | None = None
        if "whitening" in features.inputs:
            self._whitening = open_whitening(features.input("whitening").uri, model)
        index = open_index(index_uri, model=maker_of(features))
        self.index: AsmkIndex | ProcessedIndex = (
            index
            if isinstance(index, AsmkIndex)
            else (processing or QueryProcessing()).open(index, index_uri)
        )
        self._rows = _rows(features.input("dataset"))

    def search(self, paths: Sequence[str], *, top_k: int) -> list[Answer]:
        """The `top_k` best database images of every query image, best first.

        An image that cannot be read gets an answer with `error` and no hits.
        """
        return [self._answer(path, top_k) for path in paths]

    def _answer(self, path: str, top_k: int) -> Answer:
        try:
            image = load_image(path, image_size=self.features.image_size)
        except ImageError as error:
            return Answer(path, (), str(error))
        pixels = self.model.prepare(to_pixels(image))[None].to(self.model.device)
        ids, scores = self._rank(pixels, top_k)
        found = [(int(i), float(s)) for i, s in zip(ids, scores, strict=True) if i >= 0]
        return Answer(path, tuple(self._hit(rank, *hit) for rank, hit in enumerate(found, 1)))

    @torch.inference_mode()
    def _rank(
        self, pixels: torch.Tensor, top_k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        settings = self.features
        if isinstance(self.index, ProcessedIndex):
            found = self.model.extract_global(
                pixels, scales=settings.global_scales, power=settings.global_power
            )
            vectors = found.cpu().numpy()
            if self._whitening:
                vectors = whiten(self._whitening, vectors)
            ids, scores = self.index.search(vectors, top_k, config=self.vector)
            return ids[0], scores[0]
        local: LocalFeatures = self.model.extract_local(
            pixels, scales=settings.scales, max_features=settings.max_features
        )
        ids, scores = self.index.search(
            local.descriptors.cpu().numpy(),
            local.image_index.cpu().numpy(),
            top_k=top_k,
            multiple_assignment=self.asmk.multiple_assignment,
            alpha=self.asmk.alpha,
            threshold=self.asmk.threshold,
            queries=1,
        )
        return ids[0], scores[0]

    def _hit(self, rank: int, image_id: int, score: float) -> Hit:
        row = self._rows[image_id]
        return Hit(rank, image_id, score, row.label, row.path)


def _rows(dataset: ArtifactRef) -> dict[int, ImageRow]:
    return {row.image_id: row for row in Catalogue.load(dataset.uri).rows}
