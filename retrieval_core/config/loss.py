"""Settings of the losses that learn from labelled batches."""

from typing import Literal

from pydantic import Field

from retrieval_core.config.base import Config

Argument = bool | int | float | str | list[float]


class PointToSetConfig(Config):
    """Hard-aware point-to-set loss (arXiv 1807.11206)."""

    weighting: Literal["exponential", "polynomial"] = Field(
        "exponential", description="how the weight of a sample grows with its hardness"
    )
    sigma: float = Field(0.5, gt=0, description="scale of exponential weights")
    alpha: float = Field(10.0, gt=0, description="power of polynomial weights")


class LibraryLossConfig(Config):
    """A loss of pytorch-metric-learning, with one of its miners and a memory of past batches."""

    name: str = Field("MultiSimilarityLoss", description="class in its module losses")
    arguments: dict[str, Argument] = Field(
        {}, description="of the loss; the numbers of classes and dimensions are filled in"
    )
    miner: str | None = Field(None, description="class in its module miners; null compares all")
    miner_arguments: dict[str, Argument] = Field(
        {}, description="arguments of the miner, by their names in the library"
    )
    memory: int = Field(
        0,
        ge=0,
        description="latest embeddings that a batch is compared with as well (arXiv 1912.06798), "
        "at least a batch; 0 is off",
    )


class AuxiliaryConfig(Config):
    """Classification beside the ranking loss, on the first branch of CGD (arXiv 1903.10663)."""

    weight: float = Field(0.0, ge=0, description="of the classification; 0 is off, 1 in the paper")
    temperature: float = Field(0.5, gt=0, description="divides the logits")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="mass spread over all classes")
