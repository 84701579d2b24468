"""Stage: the rows of a study become one table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from prefect import task
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactDirectory, ArtifactRef, load_manifest
from retrieval_core.config import PipelineConfig
from retrieval_core.evaluation.report import Scores
from retrieval_core.evaluation.review import UNCOMPARED, setting_differences
from retrieval_core.evaluation.study import ScoredRow, StudyTable, score_lines
from retrieval_core.visualize.study import build_study
from tasks.context import RunContext
from tasks.lineage import is_trained, lineage
from tasks.rankings import dataset_digest, final_scores
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage
from tasks.tracking import TrackedRun

VERSION = 1


@dataclass(frozen=True)
class FinishedRow:
    """What became of a row.

    Attributes:
        config: of its experiment.
        scores: of all its networks; none where it failed.
        run: its MLflow run, None where it failed.
        error: why it failed.
    """

    config: PipelineConfig
    scores: Sequence[ArtifactRef] = ()
    run: TrackedRun | None = None
    error: str = ""


@task(name="tabulate", tags=["report"], **STAGE_OPTIONS)
def tabulate(context: RunContext, name: str, rows: Mapping[str, FinishedRow]) -> State[ArtifactRef]:
    """Put the final scores of a study's rows side by side, and in MLflow under the study's run."""
    finals = {row: final_scores(finished.scores) for row, finished in rows.items()}
    errors = {row: finished.error for row, finished in rows.items() if finished.error}
    first = next(iter(rows.values())).config
    settings = [row.config.model_dump(mode="json", exclude=UNCOMPARED) for row in rows.values()]
    differences = setting_differences(settings)
    confidence = first.evaluation.confidence
    stage = Stage(
        name="study",
        kind="study",
        label=name,
        version=VERSION,
        config={
            "rows": list(rows),
            "settings": differences,
            "errors": errors,
            "confidence": confidence,
            "seed": first.seed,
        },
        inputs={
            f"{row}/{descriptor}": ref
            for row, of_row in finals.items()
            for descriptor, ref in of_row.items()
        },
    )

    def build(run: StageRun) -> Outcome:
        scored = [
            _scored(row, descriptor, ref)
            for row, of_row in finals.items()
            for descriptor, ref in of_row.items()
        ]
        lines = score_lines(scored, confidence=confidence, seed=first.seed)
        table = StudyTable(name, list(rows), differences, lines, errors, confidence)
        build_study(table, run.directory)
        return Outcome(counts={"rows": len(rows), "failed": len(errors)})

    state = run_stage(context, stage, build)
    for role, ref in stage.inputs.items():
        metrics = load_manifest(ref.uri).metrics
        context.run.log_metrics({f"{role}/{name}": value for name, value in metrics.items()})
    directory = ArtifactDirectory(stage.ref(context).uri)
    context.run.log_files(directory, directory.names())
    _link(context.run, {name: row.run for name, row in rows.items() if row.run})
    return state


def _link(study: TrackedRun, rows: Mapping[str, TrackedRun]) -> None:
    """Tags that lead from a study's run to those of its rows and back, and to their comparison."""
    for name, run in rows.items():
        study.tag(**{f"row.{name}": run.run_id})
        run.tag(**{"study": study.run_id, "study.row": name})
    runs = quote(json.dumps([run.run_id for run in rows.values()]))
    experiments = quote(json.dumps(sorted({run.experiment_id for run in rows.values()})))
    address = f"#/compare-runs?runs={runs}&experiments={experiments}"
    study.tag(**{MLFLOW_RUN_NOTE: f"[Compare the rows]({address})"})


def _scored(row: str, descriptor: str, ref: ArtifactRef) -> ScoredRow:
    made_of = lineage([ref])
    trained = [manifest for _, manifest in made_of if is_trained(manifest)]
    networks = [manifest for _, manifest in made_of if manifest.kind == "model"]
    index = load_manifest(load_manifest(ref.uri).input("index").uri)
    return ScoredRow(
        row=row,
        descriptor=descriptor,
        scores=Scores.from_dict(ArtifactDirectory(ref.uri).read_json("scores.json")),
        dimensions=index.counts.get("dimensions"),
        training_seconds=sum(manifest.seconds for manifest in trained),
        keys={"dataset": dataset_digest(ref), "network": networks[-1].key, "scores": ref.key},
    )
