"""Codebook, inverted file and the query side."""

from collections.abc import Mapping
from typing import Any, Literal

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
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="of the clustering; cuda where the machine that runs the flow has a GPU"
    )


class AsmkConfig(Config):
    """Aggregated selective match kernel (ICCV 2013, as revised in arXiv 2007.13172)."""

    binary: bool = Field(True, description="sign bits; false keeps normalised floats")
    use_idf: bool = Field(False, description="weigh words by ln(N / n_word) squared")
    multiple_assignment: int = Field(5, ge=1, description="words per query descriptor")
    alpha: float = Field(3.0, gt=0, description="exponent of the similarity of a word")
    threshold: float = Field(0.0, ge=-1, le=1, description="similarities below count nothing")


# settings that an index is built with, and that it is searched with, by kind
BUILT_WITH: dict[str, tuple[str, ...]] = {
    "exact": (),
    "scalar": (),
    "hnsw": ("links", "build_effort"),
    "ivf_pq": ("cells", "code_bytes"),
}
SEARCHED_WITH = {"hnsw": ("search_effort",), "ivf_pq": ("probes",)}


class VectorConfig(Config):
    """Vector index of global descriptors."""

    kind: Literal["auto", "exact", "hnsw", "ivf_pq", "scalar"] = Field(
        "exact",
        description="exact compares all; hnsw walks a graph of neighbours (arXiv 1603.09320); "
        "ivf_pq compares product-quantised codes in the nearest cells; scalar compares one byte "
        "per dimension; auto chooses by the number of images and the memory",
    )
    exact_images: int = Field(
        200_000, ge=0, description="auto: up to so many images are searched exactly"
    )
    memory: float = Field(8.0, gt=0, description="auto: that the index may take, gigabytes")
    links: int = Field(32, ge=2, le=512, description="hnsw: neighbours that an image keeps")
    build_effort: int = Field(200, ge=1, description="hnsw: candidates for these neighbours")
    search_effort: int = Field(
        128, ge=1, description="hnsw: candidates of a search; the number of images: all of them"
    )
    cells: int = Field(
        0, ge=0, description="ivf_pq: of the partition; 0: four times the root of the images"
    )
    code_bytes: int = Field(
        64, ge=1, description="ivf_pq: of a code, at most; it is a divisor of the dimensions"
    )
    probes: int = Field(32, ge=1, description="ivf_pq: nearest cells that a search visits")

    def build_settings(self) -> dict[str, Any]:
        """The kind and what an index of it is built with; for auto, all that may matter."""
        return {"kind": self.kind, **self._of(BUILT_WITH, "exact_images", "memory")}

    def search_settings(self) -> dict[str, Any]:
        """What an index of this kind is searched with; for auto, all that may matter."""
        return self._of(SEARCHED_WITH)

    def _of(self, names: Mapping[str, tuple[str, ...]], *for_auto: str) -> dict[str, Any]:
        if self.kind == "auto":
            chosen = {*for_auto, *(name for own in names.values() for name in own)}
        else:
            chosen = set(names.get(self.kind, ()))
        return self.model_dump(include=chosen)
