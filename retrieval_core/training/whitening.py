"""The whitening layer starts as the PCA of what enters it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from retrieval_core.config import TrainingConfig
from retrieval_core.data.catalogue import ImageRow
from retrieval_core.errors import DatasetError
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training.descriptors import batches
from retrieval_core.training.reading import ImageReader

VECTORS_PER_IMAGE = 300
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class WhiteningReport:
    """What the whitening was computed from.

    Attributes:
        images: number of images.
        vectors: number of vectors.
        excluded: image id, path and reason of each unreadable image.
    """

    images: int
    vectors: int
    excluded: list[dict[str, Any]]


def initialise_whitening(
    model: RetrievalModel,
    rows: Sequence[ImageRow],
    config: TrainingConfig,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> WhiteningReport:
    """Set the whitening layer to the PCA of vectors of random training images.

    An image of local features gives its `VECTORS_PER_IMAGE` strongest at most, and fewer where
    the vectors of all images would not fit into `MAX_BYTES`.

    Args:
        model: network; its whitening layer is replaced.
        rows: images; those of split train are drawn from.
        config: number of images and their size.
        seed: of the draw, >= 0.
        progress: called with the number of finished and of all images.

    Raises:
        DatasetError: there is no training image, or they give fewer than two vectors.
        TooManyExclusionsError: more images are unreadable than `config.max_excluded`.
        TypeError: the network has no whitening.
    """
    train = [row for row in rows if row.split == "train"]
    if not train:
        raise DatasetError(f"whitening needs images of split train; none of {len(rows)} is")
    order = np.random.default_rng([seed]).permutation(len(train))[: config.whitening_images]
    drawn = [train[i] for i in order]
    reader = ImageReader(
        model, config.image_size, total=len(drawn), max_excluded=config.max_excluded
    )
    model.eval()
    kept: list[torch.Tensor] = []
    done = 0
    for positions, images in batches(drawn, reader):
        vectors = model.whitening_inputs(images.to(model.device)).cpu()
        limit = max(1, MAX_BYTES // (len(drawn) * vectors.shape[1] * vectors.element_size()))
        per_image = vectors.reshape(len(positions), -1, vectors.shape[1])
        kept.append(per_image[:, : min(limit, VECTORS_PER_IMAGE)].flatten(0, 1).clone())
        done += len(positions)
        if progress:
            progress(done, len(drawn))
    collected = torch.cat(kept) if kept else torch.empty(0)
    if len(collected) < 2:
        raise DatasetError(
            f"whitening needs two vectors at least; {done} readable of {len(drawn)} training "
            f"images gave {len(collected)}"
        )
    model.initialise_whitening(collected)
    return WhiteningReport(done, len(collected), reader.excluded)
