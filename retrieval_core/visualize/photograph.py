"""A photograph as the network gets it, kept beside its picture."""

from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from retrieval_core.data.catalogue import Box
from retrieval_core.data.images import load_image, mean_colour, to_tensor
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
    square: bool = False,
) -> Photograph:
    """Read an image as extraction does.

    Args:
        model: that gets it.
        path: as in `load_image`, like the next two.
        image_size: longest side.
        box: part to keep.
        square: whether it becomes a square, of the model's mean colour.

    Raises:
        ImageError: it cannot be read.
        PictureError: the network sees a square, in which a place is not one of the photograph.
    """
    if model.input_size is not None:
        raise PictureError(
            f"a network that brings images to {model.input_size} x {model.input_size} pixels has "
            "no places to show in a photograph; one that takes any size has"
        )
    bars = mean_colour(model.config.mean) if square else None
    image = load_image(path, image_size=image_size, box=box, bars=bars)
    pixels = to_tensor(image, mean=model.config.mean, std=model.config.std)
    return Photograph(image, pixels[None].to(model.device))
