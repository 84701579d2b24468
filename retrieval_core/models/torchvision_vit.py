"""Torchvision's vision transformers as feature maps."""

import math
from collections import OrderedDict
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from retrieval_core.config import ModelConfig
from retrieval_core.errors import ConfigError
from retrieval_core.models.sized import SizedBackbone

_SIDE = 224


class TorchvisionVit(SizedBackbone):
    """The patches as a map, or the class token as a map of one cell.

    Args:
        config: its `backbone`, `tokens` and `input.size`, 224 pixels where that is not given.

    Raises:
        ConfigError: the size is no multiple of the patches', or blocks are to be left out.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        name, self.side = config.backbone, config.input.size or _SIDE
        if config.skip_layer:
            raise ConfigError(f"model.skip_layer: {name} is taken as a whole")
        self.is_class = config.tokens == "class"
        try:
            self.network: Any = torchvision.models.get_model(
                name, weights=None, image_size=self.side
            )
        except AssertionError as error:
            raise ConfigError(f"model.input.size: {self.side} for {name}: {error}") from error
        self.network.heads = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, side, side) images to (B, C, H', W') feature maps."""
        network = self.network
        patches = network.conv_proj(images).flatten(2).transpose(1, 2)
        token = network.class_token.expand(len(images), -1, -1)
        tokens: Tensor = network.encoder(torch.cat([token, patches], dim=1))
        if self.is_class:
            return tokens[:, 0, :, None, None]
        cells = math.isqrt(patches.shape[1])
        return tokens[:, 1:].transpose(1, 2).reshape(len(images), -1, cells, cells)

    def own_form(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Positions fitted to the size of the images; see the base for arguments."""
        if "encoder.pos_embedding" not in tensors:
            return tensors
        patch = self.network.patch_size
        return dict(interpolate_embeddings(self.network.image_size, patch, OrderedDict(tensors)))
