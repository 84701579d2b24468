"""Work without a stage: finished runs side by side."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from retrieval_core.artifacts import ArtifactDirectory, ArtifactRef, Manifest
from retrieval_core.evaluation.report import Scores
from retrieval_core.evaluation.review import (
    UNCOMPARED,
    Review,
    ReviewedRun,
    ScoredDescriptor,
    review_runs,
)
from retrieval_core.search.ranking import Ranking
from retrieval_core.visualize.comparison import build_comparison
from tasks.finding import FoundRun, find_run
from tasks.lineage import lineage
from tasks.rankings import dataset_digest, final_scores, scored_catalogue

CONFIDENCE = 0.95
# of a directory, well below what file systems allow
LONGEST_NAME = 150


def compare_runs(
    references: Sequence[str], workdir: str, output: str | None, queries: int
) -> tuple[Review, str]:
    """Pair runs with the first one, write the page and its pictures, and log them to MLflow.

    Args:
        references: two or more, each as `find_run` takes it.
        workdir: of the runs.
        output: directory to write to; None: one below the work directory.
        queries: gains, and losses, that are shown as photographs.

    Returns:
        The comparison, and the directory it was written to.

    Raises:
        ConfigError: a run cannot be found.
        RankingError: the runs are not comparable.
    """
    found = [find_run(reference, workdir) for reference in references]
    finals = [final_scores(run.scores) for run in found]
    runs = [_reviewed(run, final) for run, final in zip(_distinct(found), finals, strict=True)]
    evaluation = found[0].settings.get("evaluation", {})
    review = review_runs(runs, confidence=evaluation.get("confidence", CONFIDENCE))
    title = "-vs-".join(run.name for run in runs)[:LONGEST_NAME]
    directory = ArtifactDirectory(
        Path(output).absolute() if output else f"{workdir}/comparisons/{title}"
    )
    catalogue = scored_catalogue(next(iter(finals[0].values())))
    names = build_comparison(review, catalogue, directory, queries=queries)
    _log(found, title, directory, names)
    return review, directory.uri


def _reviewed(run: FoundRun, finals: dict[str, ArtifactRef]) -> ReviewedRun:
    (digest,) = {dataset_digest(ref) for ref in finals.values()}
    settings = run.settings or _settings(finals)
    return ReviewedRun(
        name=run.name,
        source=run.source,
        digest=digest,
        settings={name: value for name, value in settings.items() if name not in UNCOMPARED},
        descriptors={name: _scored(ref) for name, ref in finals.items()},
    )


def _scored(ref: ArtifactRef) -> ScoredDescriptor:
    content = ArtifactDirectory(ref.uri).read_json("scores.json")
    return ScoredDescriptor(Scores.from_dict(content), Ranking.load(ref.uri, "ranking"))


def _settings(finals: dict[str, ArtifactRef]) -> dict[str, Any]:
    """Settings as far as the artifacts behind scores know them."""
    settings: dict[str, Any] = {}
    for _, manifest in lineage(finals.values()):
        for name, value in _sections(manifest).items():
            settings[name] = {**settings.get(name, {}), **value}
    return settings


def _sections(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Settings of one artifact under the names that the whole experiment has for them."""
    config = manifest.config
    if manifest.kind == "scores":
        sections = {"asmk": "asmk", "global": "vector", "processed": "postprocessing"}
        searched = sections[config["descriptor"]]
        return {"evaluation": config["evaluation"], searched: config["search"]}
    if manifest.kind == "vectors":
        return {"vector": config}
    if manifest.kind == "feats" and config["part"] == "test":
        return {"features": config["features"]}
    if manifest.kind == "model":
        return {name: config[name] for name in ("model", "training") if name in config}
    if manifest.kind == "codebook":
        return {"codebook": {name: config[name] for name in ("size", "iterations")}}
    return {}


def _distinct(found: Sequence[FoundRun]) -> list[FoundRun]:
    """Runs of one name get the end of their address, too."""
    counts = Counter(run.name for run in found)
    return [
        replace(run, name=f"{run.name}-{_suffix(run)}") if counts[run.name] > 1 else run
        for run in found
    ]


def _suffix(run: FoundRun) -> str:
    return run.source[:8] if run.tracked else run.source[-8:]


def _log(
    found: Sequence[FoundRun], title: str, directory: ArtifactDirectory, names: list[str]
) -> None:
    """Keep the comparison beside the runs, if MLflow knows the first of them."""
    if (first := found[0].tracked) is None:
        return
    tags = {f"compared.{number}": run.source for number, run in enumerate(found)}
    run = first.beside(f"compare-{title}", tags)
    run.log_files(directory, names)
    run.finish("FINISHED")
