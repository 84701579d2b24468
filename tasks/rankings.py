"""Scored rankings as the pictures take them, from artifacts."""

from collections.abc import Sequence

from retrieval_core.artifacts import ArtifactDirectory, ArtifactRef, load_manifest
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.evaluation.report import Scores
from retrieval_core.search.ranking import Ranking
from retrieval_core.visualize.inputs import Phase, ScoredRanking
from tasks.lineage import searched_catalogue, training_of


def scored_rankings(scores: Sequence[ArtifactRef]) -> list[ScoredRanking]:
    """Rankings with their scores; of before and after training where any network was trained."""
    trained = [training_of(ref) == "trained" for ref in scores]
    phases: list[Phase] = ["after" if own else "before" for own in trained]
    if not any(trained):
        phases = ["only"] * len(scores)
    return [_scored(ref, phase) for ref, phase in zip(scores, phases, strict=True)]


def final_scores(scores: Sequence[ArtifactRef]) -> dict[str, ArtifactRef]:
    """Per descriptor the scores of the trained network, of the initial one if nothing was."""
    ordered = sorted(scores, key=lambda ref: training_of(ref) == "trained")
    last = {load_manifest(ref.uri).config["descriptor"]: ref for ref in ordered}
    return dict(sorted(last.items()))


def scored_catalogue(scores: ArtifactRef) -> Catalogue:
    """The dataset that was ranked, with its distractors."""
    return searched_catalogue(Catalogue.load(_datasets(scores)[0].uri), scores)


def dataset_digest(scores: ArtifactRef) -> str:
    """What tells datasets apart: equal where the same images were ranked."""
    return " + ".join(load_manifest(ref.uri).notes["digest"] for ref in _datasets(scores))


def _datasets(scores: ArtifactRef) -> list[ArtifactRef]:
    """What was searched: the dataset and, if there were any, the distractors."""
    manifest = load_manifest(scores.uri)
    indexes = [manifest.input(n) for n in ("index", "distractors") if n in manifest.inputs]
    features = [load_manifest(index.uri).input("features") for index in indexes]
    return [load_manifest(ref.uri).input("dataset") for ref in features]


def _scored(ref: ArtifactRef, phase: Phase) -> ScoredRanking:
    manifest = load_manifest(ref.uri)
    return ScoredRanking(
        name=manifest.label,
        phase=phase,
        descriptor=manifest.config["descriptor"],
        scores=Scores.from_dict(ArtifactDirectory(ref.uri).read_json("scores.json")),
        ranking=Ranking.load(ref.uri, "ranking"),
    )
