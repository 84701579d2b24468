"""FIRe's super-features of one photograph, with the places they look at."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from retrieval_core.errors import PictureError
from retrieval_core.models import RetrievalModel
from retrieval_core.models.fire import FireNetwork
from retrieval_core.visualize.photograph import Photograph

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SuperFeatures:
    """Super-features at scale 1, one per template.

    Attributes:
        descriptors: (N, d) float32, unit norm.
        attention: (N, H', W') float32, sums to 1 over a map.
        strengths: (N,) float32.
    """

    descriptors: Tensor
    attention: Float32
    strengths: Float32

    def strongest(self, count: int) -> list[int]:
        """Templates by falling strength."""
        return [int(i) for i in np.argsort(-self.strengths, kind="stable")[:count]]

    def places(self, width: int, height: int) -> Float32:
        """(N, 2) float32 x and y of each peak of attention, in pixels of an image of this size.

        The peak is the centre of gravity of the highest cell and those around it, so that
        super-features that peak in one cell do not all lie on one spot.
        """
        rows, columns = self.attention.shape[1:]
        centres = np.array([_peak(attention) for attention in self.attention], np.float32)
        return (centres + 0.5) * np.array([width / columns, height / rows], np.float32)


@torch.inference_mode()
def super_features(model: RetrievalModel, photograph: Photograph) -> SuperFeatures:
    """The super-features of a photograph.

    Raises:
        PictureError: the network has none.
    """
    if not isinstance(model, FireNetwork):
        raise PictureError(f"a {model.config.method} network has no super-features; fire has")
    descriptors, maps, strengths = model.attention_maps(photograph.pixels)
    return SuperFeatures(descriptors[0].cpu(), maps[0].cpu().numpy(), strengths[0].cpu().numpy())


def _peak(attention: Float32) -> tuple[float, float]:
    """Column and row, in cells."""
    row, column = np.unravel_index(int(attention.argmax()), attention.shape)
    top, left = max(int(row) - 1, 0), max(int(column) - 1, 0)
    around = attention[top : int(row) + 2, left : int(column) + 2].astype(np.float64)
    shares = around / around.sum()
    x = left + float(shares.sum(0) @ np.arange(around.shape[1]))
    y = top + float(shares.sum(1) @ np.arange(around.shape[0]))
    return x, y
