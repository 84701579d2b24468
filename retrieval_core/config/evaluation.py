"""How rankings are scored."""

from typing import Annotated

from pydantic import Field

from retrieval_core.config.base import Config


class EvaluationConfig(Config):
    """Protocol numbers and their uncertainty."""

    kappas: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 5, 10), min_length=1, description="ranks of precision@k and recall@k"
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
    top_k: int | None = Field(None, ge=1, description="length of a ranking; null: everything")
