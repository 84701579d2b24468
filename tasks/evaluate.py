"""Stage: every query is searched and its ranking scored."""

from typing import Literal

from prefect import task
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.config import AsmkConfig, EvaluationConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.errors import ConfigError
from retrieval_core.evaluation.report import evaluate_ranking
from retrieval_core.features.store import FeatureStore
from retrieval_core.index import AsmkIndex, Codebook, VectorIndex
from retrieval_core.search.local import rank_local
from retrieval_core.search.ranking import Ranking
from retrieval_core.search.vector import rank_global
from tasks.context import RunContext
from tasks.lineage import training_of
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 1
# ids and scores, 12 bytes each
LARGEST_RANKING = 500_000_000


@task(
    name="evaluate",
    task_run_name="evaluate {descriptor}",
    tags=["evaluation"],
    **STAGE_OPTIONS,
)
def evaluate(
    context: RunContext,
    config: EvaluationConfig,
    asmk: AsmkConfig,
    index: ArtifactRef,
    seed: int,
    descriptor: Literal["asmk", "global"],
) -> State[ArtifactRef]:
    """Score an index by its dataset's protocol."""
    manifest = load_manifest(index.uri)
    features = manifest.input("features")
    model = load_manifest(load_manifest(features.uri).input("model").uri).label
    stage = Stage(
        name=f"evaluate {descriptor}, {training_of(index)}",
        kind="scores",
        label=f"{model}-{descriptor}",
        version=VERSION,
        config={
            "descriptor": descriptor,
            "evaluation": config,
            "search": asmk if descriptor == "asmk" else {},
            "seed": seed,
        },
        inputs={"index": index, "features": features},
    )

    def build(run: StageRun) -> Outcome:
        dataset = load_manifest(features.uri).input("dataset")
        catalogue = Catalogue.load(dataset.uri)
        query_ids = [row.image_id for row in catalogue.queries()]
        _require_room(len(query_ids), len(catalogue.database()), config.top_k)
        store = FeatureStore(features.uri)
        ranking = _rank(descriptor, index, store, query_ids, asmk, config.top_k)
        scores = evaluate_ranking(ranking, catalogue, config, seed=seed)
        ranking.save(run.directory, "ranking")
        run.directory.write_json("scores.json", scores.to_dict())
        counts = {"queries": len(query_ids), "queries_left_out": len(scores.excluded_queries)}
        return Outcome(counts=counts, metrics=scores.metrics)

    return run_stage(context, stage, build)


def _require_room(queries: int, database: int, top_k: int | None) -> None:
    if top_k is None and queries * database > LARGEST_RANKING:
        raise ConfigError(
            f"evaluation.top_k: {queries:,} queries against {database:,} images would be ranked "
            "completely; give the length of a ranking, such as 1000"
        )


def _rank(
    descriptor: str,
    index: ArtifactRef,
    store: FeatureStore,
    query_ids: list[int],
    asmk: AsmkConfig,
    top_k: int | None,
) -> Ranking:
    if descriptor == "global":
        return rank_global(VectorIndex.open(index.uri), store, query_ids, top_k)
    codebook = Codebook.load(load_manifest(index.uri).input("codebook").uri)
    return rank_local(AsmkIndex.open(index.uri, codebook), store, query_ids, asmk, top_k)
