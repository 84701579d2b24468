"""How rankings are scored."""

from typing import Annotated

from pydantic import Field

from retrieval_core.config.base import Config

Rank = Annotated[int, Field(ge=1)]


class EvaluationConfig(Config):
    """Protocol numbers and their uncertainty."""

    kappas: Annotated[tuple[Rank, ...], Field(min_length=1)] | None = Field(
        None,
        description="ranks of precision@k and recall@k; null: those that people report of the "
        "dataset, such as 1, 2, 4, 8 of cars196, and 1, 5, 10 of most",
    )
    map_at: int | None = Field(
        None,
        ge=1,
        description="also report mAP@k, the mean average precision of the first k ranks: 100 is "
        "the metric of Google Landmarks v2; null: no",
    )
    bootstrap: int = Field(1_000, ge=0, description="resamplings of the queries; 0 is off")
    confidence: float = Field(
        0.95, gt=0, lt=1, description="share of resamplings inside the interval"
    )
    nmi: bool = Field(
        False,
        description="also cluster the global descriptors of the test images, as many clusters as "
        "labels, and report the normalised mutual information of both",
    )
    top_k: int | None = Field(
        None,
        ge=1,
        description="length of a ranking; null: everything or, where that is too much, what every "
        "score but mAP needs",
    )
