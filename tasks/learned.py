"""The network behind scores, and what was made with it, found by their lineage."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.config import FeaturesConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.features.store import FeatureStore
from retrieval_core.index import AsmkIndex, Codebook
from retrieval_core.models import load_model
from retrieval_core.visualize.inputs import Learned

MAPPED_IMAGES = 500
"""Of the report's map: more would take it longer than all its other pictures."""


def learned_of(scores: Sequence[ArtifactRef], *, seed: int) -> Learned:
    """What the last network was, extracted and indexed; images of the map are drawn by the seed.

    Args:
        scores: artifacts of kind "scores", those of the network in question last.
        seed: of the draw.
    """
    last = {load_manifest(ref.uri).config["descriptor"]: ref for ref in scores}
    features = load_manifest(scores[-1].uri).input("features")
    extracted = load_manifest(features.uri)
    rows = Catalogue.load(extracted.input("dataset").uri).split("test")
    drawn = draw_images([row.image_id for row in rows], MAPPED_IMAGES, seed)
    ids, vectors = FeatureStore(features.uri).global_descriptors(drawn.tolist())
    codebook, counts = _words(last["asmk"]) if "asmk" in last else (None, None)
    return Learned(
        model=load_model(extracted.input("model").uri),
        features=FeaturesConfig.model_validate(extracted.config["features"]),
        image_ids=ids,
        vectors=vectors,
        codebook=codebook,
        images_per_word=counts,
    )


def draw_images(image_ids: Sequence[int], limit: int, seed: int) -> NDArray[np.int64]:
    """At most so many of the images, ascending."""
    known = np.array(image_ids, np.int64)
    count = min(limit, len(known))
    return np.sort(np.random.default_rng(seed).choice(known, count, replace=False))


def _words(scores: ArtifactRef) -> tuple[Codebook, NDArray[np.int64]]:
    index = load_manifest(scores.uri).input("index")
    codebook = Codebook.load(load_manifest(index.uri).input("codebook").uri)
    return codebook, AsmkIndex.open(index.uri, codebook).images_per_word
