"""Codebook, inverted file and the query side."""

from pydantic import Field

from retrieval_core.config.base import Config
from retrieval_core.config.features import Scale


class CodebookConfig(Config):
    """Visual words: k-means over local descriptors of training images."""

    size: int = Field(65_536, ge=2, description="number of visual words")
    iterations: int = Field(10, ge=1, le=1000, description="rounds of k-means")
    exact: bool = Field(
        False,
        description="compare descriptors with every visual word; false: of 16,384 words or more "
        "only with those nearby, which finds the nearest for 99 % of descriptors like these",
    )
    images: int = Field(20_000, ge=1, description="training images whose descriptors are clustered")
    scales: tuple[Scale, ...] = Field(
        (1.0,), min_length=1, description="of those descriptors; factors of image_size"
    )
    max_features: int = Field(1_000, ge=1, description="strongest descriptors of each")
    descriptors_per_word: int = Field(
        256,
        ge=1,
        description="of these descriptors, clustered per visual word at most; drawn at random",
    )


class AsmkConfig(Config):
    """Aggregated selective match kernel (ICCV 2013, as revised in arXiv 2007.13172)."""

    binary: bool = Field(True, description="sign bits; false keeps normalised floats")
    use_idf: bool = Field(False, description="weigh words by ln(N / n_word) squared")
    multiple_assignment: int = Field(5, ge=1, description="words per query descriptor")
    alpha: float = Field(3.0, gt=0, description="exponent of the similarity of a word")
    threshold: float = Field(0.0, ge=-1, le=1, description="similarities below count nothing")
