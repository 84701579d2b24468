"""Which queries a picture of rankings shows, and what stands beside them."""

from collections.abc import Sequence

from flows.references import find_scores
from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.errors import PictureError
from retrieval_core.visualize.average_precision import (
    changed_queries,
    extreme_queries,
    known_precisions,
)
from retrieval_core.visualize.inputs import ScoredRanking
from retrieval_core.visualize.ranking_grid import GridRow, grid_rows
from tasks.lineage import training_of
from tasks.rankings import dataset_digest, scored_catalogue, scored_rankings

UNTRAINED = "untrained"


def ranked_rows(
    run: str,
    against: str | None,
    *,
    descriptor: str | None,
    queries: Sequence[int],
    best: int,
    worst: int,
    top_k: int,
    workdir: str,
) -> tuple[list[GridRow], str]:
    """Rows of queries and a caption; of two runs, each query has a row by either.

    Args:
        run: reference of a finished run.
        against: of the run that it is measured against, or "untrained": its own network before
            training; None: of no other.
        descriptor: "asmk", "global" or "processed"; None: ASMK where there is one, else global.
        queries: their ids; empty: those of highest and lowest precision or, of two runs, those
            that gained and lost most.
        best: most queries of the first kind, >= 0.
        worst: most queries of the second kind, >= 0.
        top_k: results of a row, >= 1.
        workdir: where runs are.

    Raises:
        RetrievalError: a run, descriptor or query is not there, or the datasets differ.
    """
    final = _choose(find_scores(run, workdir), descriptor)
    refs = [final] if against is None else [_other(run, against, final, workdir), final]
    catalogue, runs = scored_catalogue(final), scored_rankings(refs)
    chosen = _known_queries(queries, catalogue) or _telling(runs, best, worst)
    if not chosen:
        none = "no query was scored" if against is None else "no query changed"
        raise PictureError(f"{none}, or none was asked for: give --queries, --best or --worst")
    names = ("before", "after") if against == UNTRAINED else ("A", "B")
    prefixes = [f"{name}   " for name in names] if against else [""]
    rows = [
        grid_rows(catalogue, scored.ranking, _notes(scored, chosen, prefix), top_k=top_k)
        for scored, prefix in zip(runs, prefixes, strict=True)
    ]
    compared = f": A {against}, B {run}" if against not in (None, UNTRAINED) else ""
    number = f"{len(chosen)} {'query' if len(chosen) == 1 else 'queries'}"
    caption = f"{number} by {load_manifest(final.uri).config['descriptor']}{compared}"
    return [row for same in zip(*rows, strict=True) for row in same], caption


def _other(run: str, against: str, final: ArtifactRef, workdir: str) -> ArtifactRef:
    """The scores to compare with, of the same descriptor and dataset."""
    descriptor = load_manifest(final.uri).config["descriptor"]
    scores = find_scores(run if against == UNTRAINED else against, workdir)
    if against == UNTRAINED:
        scores = [ref for ref in scores if training_of(ref) != "trained" and ref != final]
        if not scores:
            raise PictureError(f"{run} has no scores of before its training")
    other = _choose(scores, descriptor)
    if dataset_digest(other) != dataset_digest(final):
        raise PictureError(f"{run} and {against} searched different datasets")
    return other


def _choose(scores: Sequence[ArtifactRef], descriptor: str | None) -> ArtifactRef:
    """The last scores of a descriptor; by default ASMK's before the global one's."""
    last = {load_manifest(ref.uri).config["descriptor"]: ref for ref in scores}
    name = descriptor or ("asmk" if "asmk" in last else "global")
    if name not in last:
        raise PictureError(f"no scores by {name!r}: there are those by {', '.join(sorted(last))}")
    return last[name]


def _known_queries(queries: Sequence[int], catalogue: Catalogue) -> list[int]:
    known = {truth.query for truth in catalogue.truth}
    if unknown := sorted(set(queries) - known):
        raise PictureError(
            f"{catalogue.name} has no query {', '.join(map(str, unknown))}; its {len(known):,} "
            f"queries have image ids from {min(known)} to {max(known)}"
        )
    return list(dict.fromkeys(queries))


def _telling(runs: Sequence[ScoredRanking], best: int, worst: int) -> list[int]:
    """Of one ranking its best and worst queries, of two those that changed most."""
    if len(runs) == 1:
        (only,) = runs
        lowest = extreme_queries(only.scores, worst, best=False)
        chosen = [*extreme_queries(only.scores, best, best=True), *reversed(lowest)]
    else:
        before, after = (run.scores for run in runs)
        fallen = changed_queries(before, after, worst, up=False)
        chosen = [*changed_queries(before, after, best, up=True), *reversed(fallen)]
    return list(dict.fromkeys(chosen))


def _notes(scored: ScoredRanking, queries: Sequence[int], prefix: str) -> list[tuple[int, str]]:
    known = known_precisions(scored.scores)
    return [
        (q, f"{prefix}AP {100 * known[q]:.1f}" if q in known else f"{prefix}not scored")
        for q in queries
    ]
