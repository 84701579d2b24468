"""Which network turns an image into descriptors."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from retrieval_core.config.base import Config

Method = Literal["how", "fire", "gem", "cgd", "embedding"]
Pooling = Literal["mac", "spoc", "gem", "gemmp", "rmac"]
Combination = Literal[
    "S", "M", "G", "SM", "MS", "SG", "GS", "MG", "GM", "SMG", "SGM", "MSG", "MGS", "GSM", "GMS"
]  # fmt: skip
Fit = Literal["pad", "stretch", "refuse"]
Tokens = Literal["patches", "class"]
LearnedWhitening = Literal["none", "single_scale", "multi_scale"]
Positive = Annotated[float, Field(gt=0)]


class LitConfig(Config):
    """Local feature integration transformer of FIRe (arXiv 2201.13182, section 3)."""

    iterations: int = Field(6, ge=1, le=32, description="T, refinements of the templates")
    templates: int = Field(256, ge=1, le=4096, description="N, super-features per image and scale")
    dim: int = Field(1024, ge=1, description="width of templates, queries, keys and values")


class GlobalConfig(Config):
    """Layers of a global descriptor network (arXiv 1711.02512)."""

    pooling: Pooling = Field("gem", description="how a feature map becomes one vector")
    p: float = Field(3.0, gt=0, le=20, description="initial exponent of gem and gemmp")
    learn_p: bool = Field(True, description="train the exponent of gem and gemmp, or keep p")
    rmac_levels: int = Field(3, ge=1, le=6, description="levels of regions of rmac and regional")
    regional: bool = Field(False, description="pool and whiten regions, then sum")
    local_whitening: bool = Field(False, description="linear layer on every local feature")
    whitening: bool = Field(True, description="final linear layer on the pooled vector")
    learned_whitening: LearnedWhitening = Field(
        "none",
        description="which whitening of a cirtorch checkpoint is applied to the descriptor that "
        "was combined over scales, or none (Lw, arXiv 1711.02512)",
    )


class CgdConfig(Config):
    """Combination of global descriptors (arXiv 1903.10663)."""

    combination: Combination = Field(
        "SG",
        description="branches of the descriptor: S (mean), M (maximum), G (generalised mean); the "
        "first feeds the auxiliary classification",
    )
    p: float = Field(3.0, gt=0, le=20, description="initial exponent of G")
    learn_p: bool = Field(False, description="train the exponent of G, or keep p")


class InputConfig(Config):
    """The size of the images that the backbone sees, in training and ever after."""

    size: int | None = Field(
        None,
        ge=32,
        le=2048,
        description="side of the square that every image is brought to, pixels; a transformer of "
        "one size (SwinV2, ViT) is built for it; null: images stay as they are where the backbone "
        "takes any size, else the side it was pretrained with",
    )
    fit: Fit = Field(
        "pad",
        description="images of another size: 'pad' makes their longest side that of the square and "
        "surrounds them with the mean colour, 'stretch' changes their shape, 'refuse' is an error",
    )


class ModelConfig(Config):
    """A retrieval network: method, backbone and heads."""

    method: Method = Field(
        "how", description="how and fire give local and global descriptors, the others global ones"
    )
    backbone: str = Field("resnet50", description="name of a torchvision or timm network")
    weights: str = Field(
        "none",
        description="'none' (random), 'efficientnet-lite0' (ImageNet, from the installed package), "
        "'hub' (what torchvision or timm publish for the backbone, downloaded on first use; of "
        "several the best, as IMAGENET1K_V2 of resnet50), the name of a published checkpoint "
        "(`retrieval checkpoints list`), or a path or URL of one: a bundle of this project, an "
        "official FIRe, HOW or cirtorch file, or ImageNet weights of the backbone",
    )
    skip_layer: int = Field(0, ge=0, le=4, description="last blocks of the backbone left out")
    keep_resolution: bool = Field(
        False,
        description="leave out the last down-sampling of the backbone, for ResNets that between "
        "stages 3 and 4, as CGD does: twice as many cells a side",
    )
    tokens: Tokens = Field(
        "patches", description="what of a ViT is pooled: its patches, or its class token alone"
    )
    input: InputConfig = Field(InputConfig())
    dim: int | None = Field(
        128,
        ge=2,
        description="dimensions after whitening or projection, of all branches of cgd together; "
        "null: as many as the backbone has channels, and no projection in embedding",
    )
    smoothing: int = Field(3, ge=0, le=9, description="window of HOW's average smoothing; 0 is off")
    lit: LitConfig = Field(LitConfig(), description="used when method is fire")
    pooled: GlobalConfig = Field(
        GlobalConfig(),
        description="used when method is gem; embedding uses its pooling, without the whitening "
        "of local features and of the descriptor",
    )
    cgd: CgdConfig = Field(CgdConfig(), description="used when method is cgd")
    mean: tuple[float, float, float] = Field(
        (0.485, 0.456, 0.406), description="subtracted from RGB in [0, 1]"
    )
    std: tuple[Positive, Positive, Positive] = Field(
        (0.229, 0.224, 0.225), description="divides RGB after the mean is subtracted"
    )

    @model_validator(mode="after")
    def _learned_whitening_comes_with_weights(self) -> "ModelConfig":
        if self.pooled.learned_whitening != "none" and self.weights == "none":
            raise ValueError("pooled.learned_whitening needs the weights of a cirtorch checkpoint")
        return self

    @property
    def has_local(self) -> bool:
        """Whether the method has local descriptors beside the global one."""
        return self.method in ("how", "fire")
