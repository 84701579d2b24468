"""Hard negatives by the current global descriptor."""

import numpy as np
import torch

from retrieval_core.config import TrainingConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.tuples import TrainingTuple, draw_pairs, draw_pool
from retrieval_core.models.base import RetrievalModel
from retrieval_core.training.descriptors import global_descriptors
from retrieval_core.training.neighbours import hardest_negatives
from retrieval_core.training.reading import ImageReader


def mine_tuples(
    model: RetrievalModel,
    catalogue: Catalogue,
    config: TrainingConfig,
    reader: ImageReader,
    rng: np.random.Generator,
) -> list[TrainingTuple]:
    """The tuples of one epoch.

    Args:
        model: its global descriptor tells which negatives are hard.
        catalogue: images and pairs to draw from.
        config: how many queries, negatives and images of the pool.
        reader: decodes images; tuples whose query is unreadable are left out.
        rng: source of all choices.

    Raises:
        DatasetError: there are too few labels or images.
        TooManyExclusionsError: as the reader does.
    """
    pairs = draw_pairs(catalogue, config.queries, rng)
    pool = draw_pool(catalogue, config.mining.pool, rng)
    queries = {query.image_id: query for query, _ in pairs}
    # An image that is both in the pool and a query goes through the network once.
    wanted = list({**{row.image_id: row for row in pool}, **queries}.values())
    readable, vectors = global_descriptors(model, wanted, reader)
    number = {row.image_id: i for i, row in enumerate(readable)}
    pairs = [pair for pair in pairs if pair[0].image_id in number]
    pool = [row for row in pool if row.image_id in number]
    names = {row.label: 0 for row in wanted}
    labels = dict(zip(names, range(len(names)), strict=True))
    on_device = torch.from_numpy(vectors).to(model.device)
    mined = hardest_negatives(
        on_device[[number[query.image_id] for query, _ in pairs]],
        torch.tensor([labels[query.label] for query, _ in pairs], device=model.device),
        on_device[[number[row.image_id] for row in pool]],
        torch.tensor([labels[row.label] for row in pool], device=model.device),
        config.mining.negatives,
    )
    return [
        TrainingTuple(query, positive, tuple(pool[i] for i in negatives))
        for (query, positive), negatives in zip(pairs, mined, strict=True)
    ]
