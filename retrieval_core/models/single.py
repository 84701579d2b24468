"""What the networks with nothing but a global descriptor share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from retrieval_core.models.base import RetrievalModel
from retrieval_core.models.scaling import combine_scales, rescale


class GlobalNetwork(RetrievalModel):
    """Base of the networks without local descriptors; `forward` gives the one of a scale."""

    local_dim = None

    def extract(
        self,
        images: Tensor,
        *,
        scales: Sequence[float],
        max_features: int,
        global_scales: Sequence[float],
        power: float | None = 1.0,
    ) -> tuple[None, Tensor]:
        """No local descriptors, and the global ones; see the base for arguments."""
        return None, self.extract_global(images, scales=global_scales, power=power)

    @torch.inference_mode()
    def extract_global(
        self, images: Tensor, *, scales: Sequence[float], power: float | None = 1.0
    ) -> Tensor:
        """Global descriptors combined over scales (arXiv 1711.02512, section 5.3).

        Power None is the exponent of GeM where nothing follows it, else 1.
        """
        resized = (rescale(images, scale, recompute=False) for scale in scales)
        exponent = self._own_power() if power is None else power
        return combine_scales([self(r) for r in resized], exponent)

    def _own_power(self) -> float:
        return 1.0
