"""Which training images take part in a stage."""

from collections.abc import Sequence

import numpy as np

from retrieval_core.data.catalogue import ImageRow


def sample(rows: Sequence[ImageRow], limit: int | None, seed: int) -> list[ImageRow]:
    """At most `limit` rows drawn without replacement, by ascending image id."""
    if limit is None or len(rows) <= limit:
        return list(rows)
    chosen = np.random.default_rng(seed).choice(len(rows), size=limit, replace=False)
    return [rows[i] for i in sorted(chosen)]
