"""From the address of an image file to pixels of the wanted size."""

import io
from collections.abc import Sequence

import fsspec
import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from retrieval_core.data.catalogue import Box
from retrieval_core.errors import ImageError

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
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Read an image upright, in RGB, shrunk as the benchmarks do.

    The factor is the one that brings the longest side of the whole image to `image_size`; the
    box is cut out first and scaled by that same factor. Nothing is enlarged.

    Args:
        path: local path or fsspec URL.
        image_size: longest side of the whole image after scaling, pixels, >= 1.
        box: part to keep, (left, top, right, bottom) in pixels of the upright image; what
            protrudes from the image is left out.
        max_pixels: largest width x height that is decoded, <= 178,956,970.

    Raises:
        ImageError: its reason is "missing", "empty", "truncated", "unreadable", "too_large",
            "too_small", "bad_box" or "unsupported_mode" (numbers of no known range).
    """
    return decode_image(_read(path), path, image_size=image_size, box=box, max_pixels=max_pixels)


def decode_image(
    content: bytes,
    name: str,
    *,
    image_size: int,
    box: Box | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """`load_image` from the bytes of a file.

    Args:
        content: of an image file.
        name: that errors call it by.
        image_size: as in `load_image`, like the rest.
        box: part to keep.
        max_pixels: largest width x height that is decoded.

    Raises:
        ImageError: as in `load_image`, but for "missing".
    """
    if not content:
        raise ImageError(name, "empty")
    file = _open(name, content)
    if file.width * file.height > max_pixels:
        raise ImageError(name, "too_large", f"{file.width} x {file.height} pixels")
    # what is black and what is white in them? only netpbm's 32-bit integers are 16 bits' worth
    if file.mode == "F" or (file.mode == "I" and file.format != "PPM"):
        raise ImageError(name, "unsupported_mode", f"mode {file.mode} of a {file.format}")
    longest = max(file.size)
    wanted = min(image_size, longest)
    image = _decode(name, file, DRAFT_MARGIN * wanted)
    decoded = max(image.size)
    if box is not None:
        image = _crop(name, image, box, decoded / longest)
    side = max(1, round(wanted * max(image.size) / decoded))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if min(image.size) < MIN_SIDE:
        raise ImageError(name, "too_small", f"{image.width} x {image.height} pixels")
    return image


def to_pixels(image: Image.Image) -> torch.Tensor:
    """The values of an RGB image: (3, H, W) uint8, channels last in memory."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def normalise(pixels: torch.Tensor, *, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Pixels as networks take them.

    Args:
        pixels: (..., 3, H, W) uint8.
        mean: one value per channel in [0, 1], subtracted.
        std: one value per channel > 0, divided by.

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
        levels = np.asarray(image)
        white = levels == image.info.get("transparency")
        pixels = np.where(white, 255, levels / np.float32(257))
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
