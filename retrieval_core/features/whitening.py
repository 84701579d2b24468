"""Whitenings that are fitted to the global descriptors of training images."""

import numpy as np
from numpy.typing import NDArray

from retrieval_core.artifacts import ArtifactRef, Manifest, load_manifest
from retrieval_core.config import WhiteningConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.errors import ArtifactMismatchError, ConfigError, DatasetError
from retrieval_core.features.store import FeatureStore
from retrieval_core.models.whitening import (
    Whitening,
    fit_learned_whitening,
    fit_pca_whitening,
)


def fit_whitening(
    config: WhiteningConfig, store: FeatureStore, catalogue: Catalogue, *, seed: int
) -> Whitening:
    """Fit a whitening to extracted images of the split train.

    Args:
        config: PCA, or learned from pairs of images that match.
        store: their global descriptors.
        catalogue: says which match: its own pairs, else two images of a label each.
        seed: of the choice among the images of a label.

    Returns:
        The first `config.dimensions` directions.

    Raises:
        ConfigError: more dimensions are asked for than there are.
        DatasetError: no two images match, or all descriptors are one.
    """
    ids, vectors = store.global_descriptors()
    width = vectors.shape[1]
    if config.dimensions is not None and config.dimensions > width:
        raise ConfigError(
            f"postprocessing.whitening.dimensions: {config.dimensions} is more than the {width} "
            "dimensions of a descriptor"
        )
    if len(vectors) < 2 or (vectors == vectors[0]).all():
        raise DatasetError(
            f"{catalogue.name}: a whitening needs training images that differ; the "
            f"{len(vectors)} descriptors are the same"
        )
    if config.kind == "pca":
        fitted = fit_pca_whitening(vectors)
    else:
        pairs = matching_rows(catalogue, ids, seed=seed)
        fitted = fit_learned_whitening(vectors, *pairs, shrinkage=config.shrinkage)
    return Whitening(fitted.mean, fitted.projection[: config.dimensions])


def matching_rows(
    catalogue: Catalogue, image_ids: NDArray[np.int64], *, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of images that match.

    Args:
        catalogue: of the images.
        image_ids: (n,) those to pair, ascending.
        seed: of the order in which each image of a label is paired with the next.

    Returns:
        Positions in `image_ids` of the pairs' queries and of their positives, (m,) each.

    Raises:
        DatasetError: no two of them match.
    """
    row_of = {int(image): row for row, image in enumerate(image_ids)}
    pairs = [(row_of[q], row_of[p]) for q, p in catalogue.pairs if q in row_of and p in row_of]
    if not catalogue.pairs:
        rng = np.random.default_rng(seed)
        groups: dict[str, list[int]] = {}
        for image in catalogue.split("train"):
            if image.label and image.image_id in row_of:
                groups.setdefault(image.label, []).append(row_of[image.image_id])
        orders = [rng.permutation(group) for group in groups.values() if len(group) > 1]
        pairs = [pair for order in orders for pair in zip(order, np.roll(order, 1), strict=True)]
    if not pairs:
        raise DatasetError(
            f"{catalogue.name}: learned whitening needs pairs of images that match; among the "
            f"{len(image_ids)} training images there is none"
        )
    queries, positives = np.array(pairs, np.int64).T
    return queries, positives


def maker_of(features: Manifest) -> str:
    """What made global descriptors, as a `VectorIndex` knows it: a network, perhaps a whitening."""
    steps = [name for name in ("model", "whitening") if name in features.inputs]
    return " whitened by ".join(features.input(name).key for name in steps)


def open_whitening(uri: str, model: ArtifactRef) -> Whitening:
    """A fitted whitening, for descriptors of this network.

    Raises:
        ArtifactError: it is not there, or unreadable.
        ArtifactMismatchError: it is none, or was fitted to another network; names both keys.
    """
    manifest = load_manifest(uri)
    if manifest.kind != "whitening":
        raise ArtifactMismatchError(f"{uri} is of kind {manifest.kind}, not a whitening")
    manifest.require_input("model", model)
    return Whitening.load(uri)
