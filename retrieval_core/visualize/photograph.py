"""A photograph as the network gets it, kept beside its picture."""

from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from retrieval_core.data.catalogue import Box
from retrieval_core.data.images import load_image, to_pixels
from retrieval_core.errors import PictureError
from retrieval_core.models import RetrievalModel


@dataclass(frozen=True)
class Photograph:
    """One image.

    Attributes:
        image: RGB, W x H pixels.
        pixels: (1, 3, H, W) float32, normalised, on the network's device.
    """

    image: Image.Image
    pixels: Tensor


def read_photograph(
    model: RetrievalModel,
    path: str,
    *,
    image_size: int,
    box: Box | None = None,
) -> Photograph:
    """Read an image as extraction does.

    Args:
        model: that gets it.
        path: as in `load_image`, like the next two.
        image_size: longest side.
        box: part to keep.

    Raises:
        ImageError: it cannot be read.
        PictureError: the network sees a square, in which a place is not one of the photograph.
    """
    if model.input_size is not None:
        raise PictureError(
            f"a network that brings images to {model.input_size} x {model.input_size} pixels has "
            "no places to show in a photograph; one that takes any size has"
        )
    image = load_image(path, image_size=image_size, box=box)
    return Photograph(image, model.prepare(to_pixels(image))[None].to(model.device))
