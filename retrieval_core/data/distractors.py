"""Images added to a searched database that answer no query (arXiv 1803.11285)."""

from dataclasses import replace

from retrieval_core.data.catalogue import Catalogue


def first_distractor_id(catalogue: Catalogue) -> int:
    """What is added to distractors' own ids, so that they lie above all of the catalogue's."""
    return 1 + max(row.image_id for row in catalogue.rows)


def with_distractors(catalogue: Catalogue, distractors: Catalogue) -> Catalogue:
    """The catalogue with the database images of another, which nothing is known about."""
    offset = first_distractor_id(catalogue)
    added = tuple(
        replace(row, image_id=row.image_id + offset, label="", role="database")
        for row in distractors.database()
    )
    name = f"{catalogue.name} + {distractors.name}"
    return replace(catalogue, name=name, rows=catalogue.rows + added)
