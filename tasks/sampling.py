"""Which training images take part in a stage."""

from collections.abc import Sequence

import numpy as np

from retrieval_core.data.catalogue import Catalogue, ImageRow


def sample(rows: Sequence[ImageRow], limit: int | None, seed: int) -> list[ImageRow]:
    """At most `limit` rows drawn without replacement, by ascending image id."""
    if limit is None or len(rows) <= limit:
        return list(rows)
    chosen = np.random.default_rng(seed).choice(len(rows), size=limit, replace=False)
    return [rows[i] for i in sorted(chosen)]


def sample_matching(catalogue: Catalogue, limit: int, seed: int) -> list[ImageRow]:
    """At most `limit` training rows, by ascending image id, with those that match them.

    Pairs of the catalogue are drawn whole, or, where it has none, all images of a label: of images
    drawn one by one, few would have their match among the others.
    """
    rows = {row.image_id: row for row in catalogue.split("train")}
    if len(rows) <= limit:
        return list(rows.values())
    groups: list[Sequence[int]] = [pair for pair in catalogue.pairs if rows.keys() >= set(pair)]
    if not catalogue.pairs:
        by_label: dict[str, list[int]] = {}
        for row in rows.values():
            if row.label:
                by_label.setdefault(row.label, []).append(row.image_id)
        groups = [group for group in by_label.values() if len(group) > 1]
    chosen: dict[int, ImageRow] = {}
    for number in np.random.default_rng(seed).permutation(len(groups)):
        new = [image for image in groups[number] if image not in chosen]
        chosen |= {image: rows[image] for image in new[: limit - len(chosen)]}
        if len(chosen) == limit:
            break
    return [chosen[image] for image in sorted(chosen)]
