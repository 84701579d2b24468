"""Stage: everything a person wants to see of a run, in one HTML file."""

from collections.abc import Iterator
from typing import Any

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactDirectory, ArtifactRef, Manifest
from retrieval_core.config import PipelineConfig, dump_config
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.visualize.inputs import ReportInputs, ScoredRanking, StageTiming
from retrieval_core.visualize.report import build_report
from tasks.context import RunContext
from tasks.environment import describe_environment
from tasks.learned import learned_of
from tasks.lineage import is_trained, lineage, searched_catalogue
from tasks.protocol import guard, save_remarks, tell_remarks
from tasks.rankings import scored_rankings
from tasks.reporting import report as tell
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 3
# in words
KINDS = {
    "feats": "features",
    "descriptors": "post-processed descriptors",
    "vectors": "vector index",
    "asmk": "inverted file",
}


@task(name="report", tags=["report"], **STAGE_OPTIONS)
def report(
    context: RunContext,
    config: PipelineConfig,
    dataset: ArtifactRef,
    scores: list[ArtifactRef],
    overlap: ArtifactRef,
) -> State[ArtifactRef]:
    """Draw the pictures and the report of a pipeline run."""
    stage = Stage(
        name="report",
        kind="report",
        label=config.name,
        version=VERSION,
        config=config.model_dump(mode="json", exclude={"runtime"}),
        inputs={
            "dataset": dataset,
            "overlap": overlap,
            **{f"scores_{i}": ref for i, ref in enumerate(scores)},
        },
    )

    def build(run: StageRun) -> Outcome:
        inputs = _report_inputs(config, dataset, scores, overlap)
        save_remarks(list(inputs.remarks), run.directory)
        build_report(inputs, run.directory, seed=config.seed)
        _show_in_prefect(inputs.runs)
        return Outcome(counts={"rankings": len(scores)})

    state = run_stage(context, stage, build)
    tell_remarks(ArtifactDirectory(stage.ref(context).uri), context.run)
    return state


def _report_inputs(
    config: PipelineConfig,
    dataset: ArtifactRef,
    scores: list[ArtifactRef],
    overlap: ArtifactRef,
) -> ReportInputs:
    catalogue = Catalogue.load(dataset.uri)
    made_of = lineage(scores)
    return ReportInputs(
        title=config.name,
        config_yaml=dump_config(config),
        confidence=config.evaluation.confidence,
        catalogue=searched_catalogue(catalogue, scores[0]),
        runs=scored_rankings(scores),
        history=_history(made_of),
        stages=[StageTiming(_title(m), m.seconds, False, _amount(m)) for _, m in made_of],
        excluded=list(_excluded(made_of)),
        artifacts=[ref for ref, _ in made_of],
        environment=describe_environment(),
        remarks=guard(config, catalogue, dataset, overlap, made_of),
        learned=learned_of(scores, seed=config.seed),
    )


def _title(manifest: Manifest) -> str:
    return f"{KINDS.get(manifest.kind, manifest.kind)} {manifest.label}"


def _amount(manifest: Manifest) -> str:
    return ", ".join(f"{n:,} {k.replace('_', ' ')}" for k, n in manifest.counts.items() if n)


def _history(made_of: list[tuple[ArtifactRef, Manifest]]) -> list[dict[str, Any]]:
    for ref, manifest in made_of:
        if is_trained(manifest):
            return list(ArtifactDirectory(ref.uri).read_json("history.json")["history"])
    return []


def _excluded(made_of: list[tuple[ArtifactRef, Manifest]]) -> Iterator[dict[str, Any]]:
    for _, manifest in made_of:
        for entry in manifest.excluded:
            yield {"stage": _title(manifest), **entry}


def _show_in_prefect(runs: list[ScoredRanking]) -> None:
    table = [{"ranking": run.name, **run.scores.metrics} for run in runs]
    tell(create_table_artifact, table, key="scores", description="scores in [0, 1]")
