"""How rankings are scored."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from retrieval_core.config.base import Config

Rank = Annotated[int, Field(ge=1)]


class EvaluationConfig(Config):
    """Protocol numbers and their uncertainty."""

    kappas: Annotated[tuple[Rank, ...], Field(min_length=1)] | None = Field(
        None,
        description="ranks of precision@k and recall@k; null: those that people report of the "
        "dataset, such as 1, 2, 4, 8 of cars196, and 1, 5, 10 of most, up to top_k",
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
        description="length of a ranking, junk not counted; null: everything or, where that is too "
        "much, what every score but mAP needs",
    )

    @model_validator(mode="after")
    def _rankings_reach_their_ranks(self) -> Self:
        for name, last in (("kappas", max(self.kappas or [1])), ("map_at", self.map_at or 1)):
            if self.top_k is not None and self.top_k < last:
                raise ValueError(
                    f"top_k {self.top_k} ends rankings before rank {last} of {name}: the scores "
                    "would be too low"
                )
        return self
