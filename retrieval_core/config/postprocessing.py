"""What happens to global descriptors after extraction, and to rankings by them."""

from typing import Literal

from pydantic import Field

from retrieval_core.config.base import Config
from retrieval_core.config.dataset import DatasetConfig

Weighting = Literal["average", "rank", "alpha"]


class WhiteningConfig(Config):
    """A whitening that is fitted to descriptors of training images."""

    kind: Literal["pca", "learned"] = Field(
        "learned",
        description="pca: from the vectors alone; learned: Lw, from pairs of images that match "
        "(arXiv 1711.02512, section 3.3)",
    )
    dimensions: int | None = Field(
        None, ge=1, description="strongest directions that are kept; null: all"
    )
    shrinkage: float = Field(
        0.0,
        ge=0,
        le=1,
        description="of learned, towards equal variance in all directions; 0: as published, which "
        "needs many times more pairs than dimensions",
    )
    images: int = Field(20_000, ge=2, description="training images it is fitted to, at most")
    dataset: DatasetConfig | None = Field(
        None,
        description="whose split train they are of, such as the benchmark sfm30k-whiten; null: "
        "that of the images to learn from",
    )


class NeighboursConfig(Config):
    """A weighted sum of a descriptor and its nearest neighbours in the database."""

    kind: Weighting = Field(
        "alpha",
        description="weight of a neighbour: average: 1; rank: falls evenly from the descriptor's "
        "own 1; alpha: its similarity to the power of alpha (arXiv 1711.02512, section 4.2)",
    )
    neighbours: int = Field(10, ge=1, description="nearest images that are added")
    alpha: float = Field(3.0, ge=0, description="exponent, of kind alpha")


class DiffusionConfig(Config):
    """Diffusion on the graph of mutual neighbours (Iscen et al., CVPR 2017)."""

    neighbours: int = Field(50, ge=1, description="k, nearest images of each database image")
    query_neighbours: int = Field(10, ge=1, description="k_q, nearest images the query starts from")
    exponent: float = Field(3.0, gt=0, description="gamma, of a similarity that becomes a weight")
    alpha: float = Field(0.99, gt=0, lt=1, description="how far it spreads")
    iterations: int = Field(20, ge=1, description="of the conjugate gradient method, at most")


class ReciprocalConfig(Config):
    """k-reciprocal encoding (Zhong et al., CVPR 2017, arXiv 1701.08398)."""

    neighbours: int = Field(20, ge=1, description="k1, that may be reciprocal")
    expansion: int = Field(6, ge=1, description="k2, encodings that are averaged, its own included")
    weight: float = Field(0.3, ge=0, le=1, description="lambda, of the original similarity")


class RerankingConfig(Config):
    """A second look at the head of a ranking, along the neighbours of database images."""

    kind: Literal["diffusion", "k_reciprocal"] = Field("k_reciprocal", description="which method")
    candidates: int = Field(
        1_000, ge=1, description="first images of a ranking that are ordered anew"
    )
    diffusion: DiffusionConfig = Field(DiffusionConfig(), description="used when kind is diffusion")
    k_reciprocal: ReciprocalConfig = Field(
        ReciprocalConfig(), description="used when kind is k_reciprocal"
    )

    @property
    def neighbours(self) -> int:
        """Nearest images of each database image that are needed."""
        if self.kind == "diffusion":
            return self.diffusion.neighbours
        return max(self.k_reciprocal.neighbours, self.k_reciprocal.expansion - 1)


class PostprocessingConfig(Config):
    """Steps between global descriptors and their ranking; what is null is left out.

    Scores are reported with and without them.
    """

    whitening: WhiteningConfig | None = Field(
        None, description="of every descriptor, fitted to those of training images"
    )
    database_augmentation: NeighboursConfig | None = Field(
        None, description="database images become sums with their neighbours"
    )
    query_expansion: NeighboursConfig | None = Field(
        None, description="queries become sums with the images that they found, and search again"
    )
    reranking: RerankingConfig | None = Field(None, description="of the final ranking's head")

    @property
    def is_on(self) -> bool:
        """Whether there is anything to do."""
        return any(step is not None for _, step in self)
