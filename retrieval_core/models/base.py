"""The contract of every retrieval network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from retrieval_core.config import ModelConfig
from retrieval_core.data.images import normalise
from retrieval_core.models.backbones import feature_map
from retrieval_core.models.inputs import fit_images

_STILL = (nn.modules.batchnorm._BatchNorm, nn.Dropout, DropPath, StochasticDepth)


@dataclass(frozen=True)
class LocalFeatures:
    """Local descriptors of a batch of images, strongest first within an image.

    Attributes:
        descriptors: (n, d) float32, whitened but not normalised: ASMK quantises them as they are.
        strengths: (n,) float32, >= 0; HOW's are relative to the image's strongest.
        locations: (n, 2) float32, x and y in cells of the feature map at the feature's scale;
            super-features, which have no place, carry their template's number as y, and x is 0.
        scales: (n,) float32, factor of the image size the feature was found at.
        image_index: (n,) int64, position of the image in the batch, ascending.
    """

    descriptors: Tensor
    strengths: Tensor
    locations: Tensor
    scales: Tensor
    image_index: Tensor


class RetrievalModel(nn.Module):
    """Base of the networks; `config` alone rebuilds the architecture.

    Attributes:
        config: what the network was built from.
        features: backbone, (B, 3, H, W) images to (B, C, H', W') maps.
        global_dim: D, dimensions of the global descriptor.
        local_dim: d, dimensions of a local descriptor; None where the method has none.
        smallest_side: pixels of the narrowest image that `features` takes; narrower ones are
            enlarged for it.
        input_size: side of the square that every image is brought to, pixels; None: images stay
            as they are.
        needs_whitening: whether a whitening layer still waits for `initialise_whitening`.
    """

    config: ModelConfig
    features: nn.Module
    global_dim: int
    local_dim: int | None
    smallest_side: int = 1
    input_size: int | None = None
    needs_whitening: bool = False

    def prepare(self, pixels: Tensor) -> Tensor:
        """The network's input, the same wherever an image is learnt from or described.

        Args:
            pixels: (3, H, W) uint8, RGB.

        Returns:
            (3, H', W') float32, normalised; filling a square of `input_size` where that is set.

        Raises:
            ModelInputError: as in `feature_maps`.
        """
        image = normalise(pixels, mean=self.config.mean, std=self.config.std).contiguous()
        if self.input_size is None:
            return image
        return fit_images(image[None], self.input_size, self.config.input.fit, enlarge=True)[0]

    def feature_maps(self, images: Tensor) -> Tensor:
        """What `features` makes of images, once they have a size that it takes.

        Where `input_size` is set, an image that a scale has made smaller lies amid more of the
        mean colour (fit "pad") or is only less sharp ("stretch"), and one that a scale has made
        larger than the square is shrunk to it again.

        Args:
            images: (B, 3, H, W) float32, normalised.

        Returns:
            (B, C, H', W') float32.

        Raises:
            ModelInputError: the network takes images of one size, and the configuration says that
                others are refused.
        """
        if self.input_size is not None:
            images = fit_images(images, self.input_size, self.config.input.fit)
        return feature_map(self.features, images, self.smallest_side)

    def forward(self, images: Tensor) -> Tensor:
        """Global descriptors to train on.

        Args:
            images: (B, 3, H, W) float32, normalised.

        Returns:
            (B, D) float32, unit norm, differentiable.
        """
        raise TypeError(f"{type(self).__name__} has no global descriptor")

    def extract_local(
        self, images: Tensor, *, scales: Sequence[float], max_features: int
    ) -> LocalFeatures:
        """The strongest local descriptors over all scales.

        Args:
            images: (B, 3, H, W) float32, normalised.
            scales: factors of the image size, > 0.
            max_features: most descriptors of an image, >= 1.

        Raises:
            TypeError: the method has no local descriptors.
        """
        raise TypeError(f"{type(self).__name__} has no local descriptors")

    def extract_global(
        self, images: Tensor, *, scales: Sequence[float], power: float | None = 1.0
    ) -> Tensor:
        """Global descriptors combined over scales.

        Args:
            images: (B, 3, H, W) float32, normalised.
            scales: factors of the image size, > 0.
            power: exponent of the generalised mean over the scales; None: the network's own.

        Returns:
            (B, D) float32, unit norm.
        """
        raise TypeError(f"{type(self).__name__} has no global descriptor")

    def extract(
        self,
        images: Tensor,
        *,
        scales: Sequence[float],
        max_features: int,
        global_scales: Sequence[float],
        power: float | None = 1.0,
    ) -> tuple[LocalFeatures | None, Tensor]:
        """`extract_local`, where the method has it, and `extract_global` from one pass per scale.

        Args:
            images: (B, 3, H, W) float32, normalised.
            scales: of the local descriptors.
            max_features: most local descriptors of an image, >= 1.
            global_scales: of the global descriptor.
            power: exponent of the generalised mean over `global_scales`; None: the network's own.
        """
        raise TypeError(f"{type(self).__name__} has no global descriptor")

    def whitening_inputs(self, images: Tensor) -> Tensor:
        """(n, d_in) float32 vectors as they enter the whitening layer; strongest first if local."""
        raise TypeError(f"{type(self).__name__} has no whitening")

    def initialise_whitening(self, vectors: Tensor) -> None:
        """Set the whitening layer to the PCA of (n, d_in) vectors from `whitening_inputs`."""
        raise TypeError(f"{type(self).__name__} has no whitening")

    def train(self, mode: bool = True) -> Self:
        """Training mode, but batch-norm keeps its statistics and no unit or block is dropped.

        All recipes here do so, and an image gives the same in every pass.
        """
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _STILL):
                module.eval()
        return self

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device
