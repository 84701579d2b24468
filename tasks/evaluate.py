"""Stage: every query is searched and its ranking scored."""

from typing import Any, Literal

from prefect import task
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.config import (
    AsmkConfig,
    EvaluationConfig,
    PostprocessingConfig,
    VectorConfig,
)
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.distractors import first_distractor_id
from retrieval_core.evaluation.clustering import cluster_information
from retrieval_core.evaluation.depth import ranking_length
from retrieval_core.evaluation.report import Scores, evaluate_ranking
from retrieval_core.features.store import FeatureStore
from retrieval_core.index import VectorIndex
from retrieval_core.index.quality import ExactSample, recall_against_exact
from retrieval_core.index.vector_kinds import APPROXIMATE
from retrieval_core.search.processed import QueryProcessing
from retrieval_core.search.querying import Search
from retrieval_core.search.ranking import Ranking, join_rankings
from tasks.context import RunContext
from tasks.distractors import require_fitting
from tasks.lineage import training_of
from tasks.partitions import PARTS, finish_missing
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 7


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
    vector: VectorConfig,
    seed: int,
    descriptor: Literal["asmk", "global", "processed"],
    index: ArtifactRef,
    distractors: ArtifactRef | None = None,
    *,
    postprocessing: PostprocessingConfig | None = None,
    queries: ArtifactRef | None = None,
    neighbours: ArtifactRef | None = None,
) -> State[ArtifactRef]:
    """Score an index by its dataset's protocol, searched together with one of distractors.

    Args:
        context: surroundings of the run.
        config: of the scores.
        asmk: of a search in inverted files.
        vector: of a search in vector indexes.
        seed: of the resampling.
        descriptor: what was indexed; "processed" is the global one with `postprocessing`.
        index: of the database.
        distractors: index of distractors.
        postprocessing: of queries and rankings.
        queries: their descriptors, if they are others than those that were indexed.
        neighbours: of all indexed images, for re-ranking.
    """
    features = queries or load_manifest(index.uri).input("features")
    roles = {"index": index, "distractors": distractors, "neighbours": neighbours}
    inputs = {role: ref for role, ref in roles.items() if ref} | {"features": features}
    ranked_by = {"search": _settings(descriptor, asmk, vector, postprocessing)}
    settings = {"descriptor": descriptor, "evaluation": config, "seed": seed, **ranked_by}
    training = training_of(index)
    label = f"{load_manifest(load_manifest(features.uri).input('model').uri).label}-{descriptor}"
    name = f"evaluate {descriptor}, {training}"
    stage = Stage(name, "scores", label, VERSION, config=settings, inputs=inputs)

    def build(run: StageRun) -> Outcome:
        catalogue = Catalogue.load(load_manifest(features.uri).input("dataset").uri)
        search = Search(
            *_indexes(catalogue, index, distractors),
            features=features.uri,
            asmk=asmk,
            vector=vector,
            top_k=_depth(catalogue, config, index, distractors),
            processing=_processing(postprocessing, neighbours),
        )
        ranking = _rank(context, run, search, [row.image_id for row in catalogue.queries()])
        scores = evaluate_ranking(ranking, catalogue, config, seed=seed)
        if config.nmi and descriptor != "asmk":
            scores.metrics["nmi"] = _clusters(catalogue, FeatureStore(features.uri), seed)
        scores.metrics.update(_recall(index, vector))
        return _save(run, ranking, scores, searched=_images(index, distractors))

    state = run_stage(context, stage, build)
    scores = load_manifest(stage.ref(context).uri).metrics
    # where runs are compared, the run of the whole flow is what one chooses
    context.run.log_metrics({f"{training}/{descriptor}/{k}": v for k, v in scores.items()})
    return state


def _indexes(
    catalogue: Catalogue, index: ArtifactRef, distractors: ArtifactRef | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Directories of what is searched, and what is added to the image ids of each."""
    if distractors is None:
        return (index.uri,), (0,)
    require_fitting(index, distractors)
    return (index.uri, distractors.uri), (0, first_distractor_id(catalogue))


def _depth(
    catalogue: Catalogue, config: EvaluationConfig, *indexes: ArtifactRef | None
) -> int | None:
    kinds = [load_manifest(index.uri).notes.get("kind") for index in indexes if index]
    exact = not any(kind in APPROXIMATE for kind in kinds)
    return ranking_length(catalogue, config, _images(*indexes), exact=exact)


def _images(*indexes: ArtifactRef | None) -> int:
    return sum(load_manifest(index.uri).counts["images"] for index in indexes if index)


def _recall(index: ArtifactRef, vector: VectorConfig) -> dict[str, float]:
    """What an approximate index misses at these settings of the search."""
    if load_manifest(index.uri).notes.get("kind", "exact") == "exact":
        return {}
    opened, sample = VectorIndex.open(index.uri), ExactSample.load(index.uri)
    return recall_against_exact(opened, sample, vector)


def _save(run: StageRun, ranking: Ranking, scores: Scores, *, searched: int) -> Outcome:
    ranking.save(run.directory, "ranking")
    run.directory.write_json("scores.json", scores.to_dict())
    run.directory.remove(PARTS)
    counts = {
        "queries": len(ranking.query_ids),
        "queries_left_out": len(scores.excluded_queries),
        "ranked": ranking.shortest,
        "searched": searched,
    }
    return Outcome(counts=counts, metrics=scores.metrics)


def _settings(
    descriptor: str,
    asmk: AsmkConfig,
    vector: VectorConfig,
    postprocessing: PostprocessingConfig | None,
) -> dict[str, Any]:
    """What of the configuration decides a ranking, once the index is there."""
    if descriptor == "asmk":
        return asmk.model_dump(mode="json")
    if postprocessing is None:
        return vector.search_settings()
    steps = postprocessing.model_dump(mode="json", include={"query_expansion", "reranking"})
    return {**vector.search_settings(), **steps}


def _processing(
    postprocessing: PostprocessingConfig | None, neighbours: ArtifactRef | None
) -> QueryProcessing | None:
    if postprocessing is None:
        return None
    return QueryProcessing(
        postprocessing.query_expansion,
        postprocessing.reranking,
        neighbours.uri if neighbours else "",
    )


def _clusters(catalogue: Catalogue, store: FeatureStore, seed: int) -> float:
    """NMI of the labelled test images; In-shop's queries are clustered with its gallery."""
    label_of = {row.image_id: row.label for row in catalogue.split("test") if row.label}
    ids, vectors = store.global_descriptors(list(label_of))
    return cluster_information(vectors, [label_of[int(i)] for i in ids], seed=seed)


def _rank(context: RunContext, run: StageRun, search: Search, query_ids: list[int]) -> Ranking:
    size = context.runtime.ray.queries_per_partition
    if len(query_ids) <= size:
        return search.rank(search.open(), query_ids)
    starts = range(0, len(query_ids), size)

    def name(start: int) -> str:
        # by what it holds: another cut of the same work does not find it
        return f"{PARTS}/ranking-{start:05d}-{min(start + size, len(query_ids)) - 1:05d}"

    finish_missing(
        context,
        run,
        starts,
        is_done=lambda start: Ranking.is_saved(run.directory, name(start)),
        call=lambda worker, start: worker.search.remote(
            search, query_ids[start : start + size], run.directory.uri, name(start)
        ),
    )
    return join_rankings([Ranking.load(run.directory.uri, name(start)) for start in starts])
