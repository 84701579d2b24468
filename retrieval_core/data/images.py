"""From the address of an image file to pixels of the wanted size."""

import io
from collections.abc import Sequence

import fsspec
import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from retrieval_core.data.catalogue import Box
from retrieval_core.errors import ImageError

Colour = tuple[int, int, int]
"""Red, green and blue in 0 to 255."""

MAX_PIXELS = 178_956_970
"""Pillow itself refuses larger images as decompression bombs."""

MIN_SIDE = 8
"""Pixels; a narrower image has no cell left at the small scales of a feature pyramid."""

DRAFT_MARGIN = 2
"""A JPEG is decoded at no less than this multiple of the wanted size, to keep its quality."""


def load_image(
    path: str,
    *,
    image_size: int,
    box: Box | None = None,
    bars: Colour | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Read an image upright, in RGB, shrunk as the benchmarks do.

    The factor is the one that brings the longest side of the whole image to `image_size`; the
    box is cut out first and scaled by that same factor. Nothing is enlarged, but for squares.

    Args:
        path: local path or fsspec URL.
        image_size: longest side of the whole image after scaling, pixels, >= 1.
        box: part to keep, (left, top, right, bottom) in pixels of the upright image; what
            protrudes from the image is left out.
        bars: makes what is kept `image_size` long instead, and a square by `pad_to_square`; None
            leaves its shape.
        max_pixels: largest width x height that is decoded, <= 178,956,970.

    Raises:
        ImageError: its reason is "missing", "empty", "truncated", "unreadable", "too_large",
            "too_small" or "bad_box".
    """
    return decode_image(
        _read(path), path, image_size=image_size, box=box, bars=bars, max_pixels=max_pixels
    )


def decode_image(
    content: bytes,
    name: str,
    *,
    image_size: int,
    box: Box | None = None,
    bars: Colour | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """`load_image` from the bytes of a file.

    Args:
        content: of an image file.
        name: that errors call it by.
        image_size: as in `load_image`, like the rest.
        box: part to keep.
        bars: colour around it.
        max_pixels: largest width x height that is decoded.

    Raises:
        ImageError: as in `load_image`, but for "missing".
    """
    if not content:
        raise ImageError(name, "empty")
    file = _open(name, content)
    if file.width * file.height > max_pixels:
        raise ImageError(name, "too_large", f"{file.width} x {file.height} pixels")
    longest = max(file.size)
    wanted = min(image_size, longest)
    # of a square, it is the box that gets as long
    part = max(box[2] - box[0], box[3] - box[1], 1) if box and bars else longest
    image = _decode(name, file, round(DRAFT_MARGIN * wanted * longest / min(part, longest)))
    decoded = max(image.size)
    if box is not None:
        image = _crop(name, image, box, decoded / longest)
    if bars:
        image = ImageOps.contain(image, (image_size, image_size), Image.Resampling.LANCZOS)
    else:
        side = max(1, round(wanted * max(image.size) / decoded))
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if min(image.size) < MIN_SIDE:
        raise ImageError(name, "too_small", f"{image.width} x {image.height} pixels")
    return pad_to_square(image, image_size, bars) if bars else image


def pad_to_square(image: Image.Image, side: int, bars: Colour) -> Image.Image:
    """An image in the middle of a square, as large as fits.

    Args:
        image: RGB; enlarged or shrunk until its longest side is that of the square.
        side: of the square, pixels, >= 1.
        bars: colour of what it leaves free.
    """
    return ImageOps.pad(image, (side, side), Image.Resampling.LANCZOS, color=bars)


def mean_colour(mean: tuple[float, float, float]) -> Colour:
    """The colour that normalisation makes 0.

    Args:
        mean: one value per channel in [0, 1].
    """
    red, green, blue = (round(255 * value) for value in mean)
    return red, green, blue


def to_tensor(image: Image.Image, *, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """A normalised image tensor.

    Args:
        image: RGB.
        mean: one value per channel in [0, 1], subtracted.
        std: one value per channel > 0, divided by.

    Returns:
        (3, H, W) float32.
    """
    return normalise(to_pixels(image), mean=mean, std=std).contiguous()


def to_pixels(image: Image.Image) -> torch.Tensor:
    """The values of an RGB image: (3, H, W) uint8, channels last in memory."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def normalise(pixels: torch.Tensor, *, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Pixels as networks take them (mean and std as in `to_tensor`).

    Args:
        pixels: (..., 3, H, W) uint8.
        mean: subtracted.
        std: divided by.

    Returns:
        (..., 3, H, W) float32, on the device and in the memory layout of the pixels.
    """
    shift, scale = torch.tensor([list(mean), list(std)], device=pixels.device)[:, :, None, None]
    normalised: torch.Tensor = (pixels.float() / 255 - shift) / scale
    return normalised


def _read(path: str) -> bytes:
    try:
        with fsspec.open(path, "rb") as stream:
            content: bytes = stream.read()
    except FileNotFoundError:
        raise ImageError(path, "missing") from None
    except Exception as error:  # unknown protocols, missing drivers and servers' refusals, too
        raise ImageError(path, "unreadable", str(error)) from error
    return content


def _open(path: str, content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise ImageError(path, "unreadable", "of no known image format") from None
    except Exception as error:  # format plugins raise nearly anything on damaged files
        raise _decoding_error(path, error) from error


def _decode(path: str, file: Image.Image, draft_size: int) -> Image.Image:
    try:
        file.draft(None, (draft_size, draft_size))
        file.load()
        return _to_rgb(ImageOps.exif_transpose(file))
    except Exception as error:  # format plugins raise nearly anything on damaged files
        raise _decoding_error(path, error) from error


def _decoding_error(path: str, error: Exception) -> ImageError:
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(path, "too_large", str(error))
    truncated = isinstance(error, EOFError) or "truncated" in str(error).lower()
    detail = f"{type(error).__name__}: {error}"
    return ImageError(path, "truncated" if truncated else "unreadable", detail)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # conversion to 8 bits would clip, and show nearly everything in white
        pixels = np.asarray(image).astype(np.float32) / 257
        return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _crop(path: str, image: Image.Image, box: Box, ratio: float) -> Image.Image:
    left, top, right, bottom = (round(side * ratio) for side in box)
    visible = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    if visible[0] >= visible[2] or visible[1] >= visible[3]:
        size = f"{round(image.width / ratio)} x {round(image.height / ratio)}"
        raise ImageError(path, "bad_box", f"{list(box)} in an image of {size} pixels")
    return image.crop(visible)
