"""The protocol guard: its facts gathered from artifacts, its remarks told to the screens."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from prefect.artifacts import create_markdown_artifact

from retrieval_core.artifacts import ArtifactDirectory, ArtifactRef, Manifest, load_manifest
from retrieval_core.config import PipelineConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.overlap import Overlap
from retrieval_core.evaluation.protocol import Remark, protocol_remarks
from tasks.overlap import OVERLAP
from tasks.reporting import report as tell
from tasks.tracking import TrackedRun
from tasks.train import WARNINGS

REMARKS = "remarks.json"


def guard(
    config: PipelineConfig,
    catalogue: Catalogue,
    dataset: ArtifactRef,
    overlap: ArtifactRef,
    made_of: list[tuple[ArtifactRef, Manifest]],
) -> list[Remark]:
    """Remarks on the scores of an experiment.

    Args:
        config: of the experiment.
        catalogue: that was scored.
        dataset: artifact of the catalogue.
        overlap: artifact of the comparison of training with test images.
        made_of: artifacts behind the scores.
    """
    excluded = {entry["image_id"]: entry for entry in _excluded(dataset, made_of)}
    scores = [manifest for _, manifest in made_of if manifest.kind == "scores"]
    return protocol_remarks(
        config,
        catalogue,
        Overlap.from_dict(ArtifactDirectory(overlap.uri).read_json(OVERLAP)),
        excluded=list(excluded.values()),
        queries_left_out=max(manifest.counts["queries_left_out"] for manifest in scores),
        distractors=max(_distractors(manifest) for manifest in scores),
        ranked=min((m.counts["ranked"], m.counts["searched"]) for m in scores),
        training_warnings="\n".join(m.notes[WARNINGS] for _, m in made_of if WARNINGS in m.notes),
    )


def save_remarks(remarks: list[Remark], directory: ArtifactDirectory) -> None:
    """Keep the remarks, so that a reused report can tell them, too."""
    directory.write_json(REMARKS, [asdict(remark) for remark in remarks])


def tell_remarks(directory: ArtifactDirectory, run: TrackedRun) -> None:
    """Show saved remarks in the Prefect UI, and their titles as tags of the MLflow run."""
    remarks = [Remark(**content) for content in directory.read_json(REMARKS)]
    for level in ("warning", "note"):
        titles = [remark.title for remark in remarks if remark.level == level]
        run.tag(**{f"protocol_{level}s": "; ".join(titles) or "none"})
    sections = [f"### {r.level.capitalize()}: {r.title}\n\n{_lines(r.text)}\n" for r in remarks]
    markdown = "\n".join(["## Protocol", *sections])
    tell(create_markdown_artifact, markdown, key="protocol", description="before you compare")


def _excluded(
    dataset: ArtifactRef, made_of: list[tuple[ArtifactRef, Manifest]]
) -> Iterable[dict[str, Any]]:
    """Test images that the dataset lacks or the extraction could not read."""
    for ref, manifest in made_of:
        if manifest.kind == "feats" and manifest.config["part"] == "test":
            yield from manifest.excluded
        if ref.key == dataset.key:
            # datasets of earlier versions do not say of which split an image is
            yield from (e for e in manifest.excluded if e.get("split", "test") == "test")


def _distractors(scores: Manifest) -> int:
    if "distractors" not in scores.inputs:
        return 0
    return load_manifest(scores.input("distractors").uri).counts["images"]


def _lines(text: str) -> str:
    """Markdown that keeps the line breaks."""
    return text.replace("\n", "  \n")
