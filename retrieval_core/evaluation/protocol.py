"""Remarks on how scores came about, for whoever compares them with others."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from retrieval_core.config import PipelineConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.overlap import Overlap
from retrieval_core.models.zoo import starting_state

LISTED = 20
RELEASED_FIRE = {"fire", "fire.pth"}
"""Checkpoint and file that the published code of the super-feature loss has trained."""


@dataclass(frozen=True)
class Remark:
    """Something to know before scores are compared.

    Attributes:
        level: a warning where scores may be too good or do not compare with published ones.
        title: a few words.
        text: sentences; lists have a line per entry.
    """

    level: Literal["note", "warning"]
    title: str
    text: str


def protocol_remarks(
    config: PipelineConfig,
    catalogue: Catalogue,
    overlap: Overlap | None,
    *,
    excluded: Sequence[Mapping[str, Any]] = (),
    queries_left_out: int = 0,
    distractors: int = 0,
    ranked: tuple[int, int] | None = None,
    training_warnings: str = "",
) -> list[Remark]:
    """All that a reader of the scores should know, warnings first.

    Args:
        config: of the experiment.
        catalogue: dataset that was scored.
        overlap: of training and test images; None where there are no training images.
        excluded: test images that could not be used: image_id, path and reason.
        queries_left_out: queries without right answers.
        distractors: images added to the database of the dataset.
        ranked: images in the shortest ranking, and images that were searched; None where rankings
            are complete.
        training_warnings: what was wrong with epochs of the training, a line each.
    """
    remarks = [
        *_crops(catalogue),
        *(_shared_labels(overlap) if overlap else []),
        *(_shared_images(overlap) if overlap else []),
        *_unknown_training(config, overlap),
        *_training(training_warnings),
        *_exclusions(catalogue, excluded),
        *_ratio_test(config),
        *(_truncation(catalogue, *ranked) if ranked else []),
        *_distractors(catalogue, distractors),
        *_left_out(queries_left_out, len(catalogue.truth)),
    ]
    return sorted(remarks, key=lambda remark: remark.level, reverse=True)


def _training(warnings: str) -> list[Remark]:
    return [Remark("warning", "The training gave warnings", warnings)] if warnings else []


def _crops(catalogue: Catalogue) -> list[Remark]:
    queries = catalogue.queries()
    count, boxed = len(queries), sum(query.box is not None for query in queries)
    if boxed < count and (_benchmark(catalogue) or (catalogue.revisited and not boxed)):
        text = (
            f"{count - boxed} of {count} queries have no box. The protocol cuts the landmark out "
            "of every query; whole photographs score differently, mostly higher. Don't compare "
            "these scores with published ones."
        )
        return [Remark("warning", "Queries were not cropped", text)]
    if not boxed:
        return []
    text = (
        f"{boxed} of {count} queries are cut to their box, then scaled by the factor of the whole "
        "photograph."
    )
    return [Remark("note", "Queries are cropped", text)]


def _shared_labels(overlap: Overlap) -> list[Remark]:
    if not overlap.labels:
        return []
    text = (
        f"{len(overlap.labels)} landmarks of the test images are also in the training images, so "
        "the scores say little about unknown landmarks:\n" + _listed(overlap.labels)
    )
    return [Remark("warning", "Training and test landmarks overlap", text)]


def _shared_images(overlap: Overlap) -> list[Remark]:
    if overlap.images is None:
        text = "protocol.near_duplicates is off: nobody looked for test images in the training set."
        return [Remark("note", "Near-duplicates were not looked for", text)]
    if not overlap.train_images:
        return []
    sample = ", a sample of all" if overlap.sampled else ""
    compared = (
        f"{overlap.test_images:,} test images were compared with {overlap.train_images:,} "
        f"training and validation images{sample}."
    )
    if not overlap.images:
        return [Remark("note", "No near-duplicates between training and test", compared)]
    pairs = _listed([f"{i.test} ~ {i.train} ({i.distance} of 256)" for i in overlap.images])
    text = (
        f"{compared} {len(overlap.images):,} of the test images are there, too, perhaps in another "
        f"size, compression or crop (in brackets: differing bits of their hashes):\n{pairs}"
    )
    return [Remark("warning", "Test images are also training images", text)]


def _unknown_training(config: PipelineConfig, overlap: Overlap | None) -> list[Remark]:
    trained_here = config.training.epochs or (overlap and overlap.train_images)
    if trained_here or starting_state(config.model.weights) == "untrained":
        return []
    text = (
        "The network is used as it came, and no training dataset is named: whether test landmarks "
        "are among the images that it learned from was not looked for."
    )
    return [Remark("note", "The network's training images are not known", text)]


def _exclusions(catalogue: Catalogue, excluded: Sequence[Mapping[str, Any]]) -> list[Remark]:
    if not excluded:
        return []
    gone = {entry["image_id"] for entry in excluded}
    queries = gone & {row.image_id for row in catalogue.queries()}
    database = gone & {row.image_id for row in catalogue.database()}
    absent = len(gone - queries - database)
    parts = [
        (len(queries), "of the queries could not be read; each scores 0."),
        (len(database), "of the database could not be read; as right answers they are not found."),
        (absent, "were not there; the ground truth is taken without them."),
    ]
    sentences = " ".join(f"{count} {what}" for count, what in parts if count)
    lines = _listed([f"{entry['path']}: {entry['reason']}" for entry in excluded])
    text = f"{sentences} The scores are not those of the complete dataset:\n{lines}"
    return [Remark("warning", "Images are missing from the evaluation", text)]


def _ratio_test(config: PipelineConfig) -> list[Remark]:
    before = _starting_ratio_test(config) if config.model.method == "fire" else []
    loss = config.training.loss
    if not config.training.epochs or loss.kind != "super_feature":
        return before
    meaning = {
        "paper": "The smallest distance is divided by the second smallest, as in the paper. "
        "The published code divides by an index instead: its scores may differ.",
        "released": "The smallest distance is divided by the index of the second smallest, as "
        "in the published code, which all but disables the test.",
    }
    text = f"{meaning[loss.ratio_test]} Accepted up to {loss.ratio:g}."
    return [*before, Remark("note", f"Trained with the ratio test '{loss.ratio_test}'", text)]


def _starting_ratio_test(config: PipelineConfig) -> list[Remark]:
    """What is known of the test that trained FIRe's weights before they came here."""
    weights = config.model.weights
    if PurePosixPath(weights).name in RELEASED_FIRE:
        text = (
            "The starting weights were trained with the published code of FIRe, whose ratio test "
            "divides by the index of the second nearest super-feature, not by its distance."
        )
        return [Remark("note", "Weights from the released ratio test", text)]
    if config.training.epochs or starting_state(weights) == "untrained":
        return []
    text = (
        f"Weights: {weights}. Which of its two forms trained them, that of the paper or that "
        "of the published code, is not recorded with them."
    )
    return [Remark("note", "The ratio test of the weights is not known", text)]


def _truncation(catalogue: Catalogue, ranked: int, searched: int) -> list[Remark]:
    if ranked >= searched:
        return []
    text = (
        f"The shortest ranking holds {ranked:,} of {searched:,} images. Right answers that are not "
        "in a ranking count as behind everything, so mAP is a lower bound of that of whole ones."
    )
    # R-precision and MAP@R look at as many ranks as there are right answers
    short = sum(len(truth.easy) + len(truth.junk) > ranked for truth in catalogue.truth)
    if short and not catalogue.revisited:
        text += (
            f" So are R-precision and MAP@R: {short:,} of {len(catalogue.truth):,} queries have "
            "more right answers than a ranking holds."
        )
    return [Remark("note", "Rankings are truncated", text)]


def _distractors(catalogue: Catalogue, distractors: int) -> list[Remark]:
    if distractors:
        text = (
            f"{distractors:,} images that are never right were added to the database of "
            f"{len(catalogue.database()):,}. Compare with published scores that have as many."
        )
        return [Remark("note", "With distractors", text)]
    if not _benchmark(catalogue):
        return []
    text = "Compare with published scores without the million distractors."
    return [Remark("note", "Without distractors", text)]


def _left_out(queries: int, count: int) -> list[Remark]:
    if not queries:
        return []
    text = f"{queries} of {count} queries have no right answer and are left out of every mean."
    return [Remark("note", "Queries without right answers", text)]


def _benchmark(catalogue: Catalogue) -> bool:
    """Whether the name is that of Oxford5k, Paris6k or their revisited versions."""
    name = re.sub(r"[^a-z0-9]", "", catalogue.name.lower())
    return "oxford5k" in name or "paris6k" in name


def _listed(lines: Sequence[str]) -> str:
    rest = [f"and {len(lines) - LISTED:,} more"] if len(lines) > LISTED else []
    return "\n".join([*lines[:LISTED], *rest])
