"""The pixels of a demo view: poster, background and occluders, then light, lens and JPEG."""

import io

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from retrieval_core.data.demo_landmarks import Tile, photograph
from retrieval_core.data.demo_views import Matrix, Occluder, View

SHARPNESS = 1.25
"""Pixels of a poster per pixel of the frame, above which it is shrunk first against aliasing."""


def render_jpeg(view: View, generator: np.random.Generator) -> bytes:
    """A view as a JPEG file.

    Args:
        view: geometry and strength of the changes.
        generator: source of light, blur, noise and quality.
    """
    image = _scene(view)
    image = _relight(image, view.strength, generator)
    image = _shade(image, view.strength, generator)
    radius = generator.uniform(0, 2.2) * view.strength * max(view.size) / 320
    if radius > 0.3:
        image = image.filter(ImageFilter.GaussianBlur(radius))
    image = _add_noise(image, view.strength, generator)
    stream = io.BytesIO()
    quality = round(92 - 60 * view.strength * generator.uniform(0.3, 1))
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _scene(view: View) -> Image.Image:
    scene = _behind(view.background, view.size)
    poster, homography = _poster(view)
    inverse = np.linalg.inv(homography)
    coefficients = (inverse / inverse[2, 2]).ravel()[:8].tolist()
    perspective, bicubic = Image.Transform.PERSPECTIVE, Image.Resampling.BICUBIC
    warped = poster.transform(view.size, perspective, coefficients, bicubic)
    mask = Image.new("L", poster.size, 255)
    mask = mask.transform(view.size, perspective, coefficients, Image.Resampling.BILINEAR)
    scene.paste(warped, mask=mask)
    for occluder in view.occluders:
        _paste(scene, occluder)
    return scene


def _poster(view: View) -> tuple[Image.Image, Matrix]:
    poster = _pixels(view.tile)
    factor = SHARPNESS * view.scale
    if factor >= 1:
        return poster, view.homography
    width, height = (max(8, round(side * factor)) for side in poster.size)
    to_full = np.diag([poster.width / width, poster.height / height, 1.0])
    return poster.resize((width, height), Image.Resampling.BOX), view.homography @ to_full


def _behind(tile: Tile, size: tuple[int, int]) -> Image.Image:
    # enlarging a small version blurs it, as things behind the focal plane are
    small = _pixels(tile).resize((24, 24), Image.Resampling.BOX)
    return small.resize(size, Image.Resampling.BICUBIC)


def _paste(scene: Image.Image, occluder: Occluder) -> None:
    corners = occluder.corners()
    xs, ys = zip(*corners, strict=True)
    left, top = int(min(xs)), int(min(ys))
    size = (int(max(xs)) - left + 1, int(max(ys)) - top + 1)
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in corners], fill=255)
    patch = _pixels(occluder.tile).resize(size, Image.Resampling.BILINEAR)
    scene.paste(patch, (left, top), mask)


def _pixels(tile: Tile) -> Image.Image:
    return photograph(tile.photograph).crop(tile.box)


def _relight(image: Image.Image, strength: float, generator: np.random.Generator) -> Image.Image:
    gamma = np.exp(generator.uniform(-0.8, 0.8) * (0.15 + strength))
    contrast = np.exp(generator.uniform(-0.7, 0.3) * (0.1 + strength))
    brightness = generator.uniform(-45, 45) * strength
    cast = np.exp(generator.uniform(-0.35, 0.35, 3) * strength)
    grey = 255 * (np.arange(256) / 255) ** gamma
    levels = cast[:, None] * (contrast * (grey - 128) + 128 + brightness)
    return image.point(levels.clip(0, 255).astype(int).ravel().tolist())


def _shade(image: Image.Image, strength: float, generator: np.random.Generator) -> Image.Image:
    lowest = 255 * (1 - 0.75 * strength)
    cells = generator.uniform(lowest, 255, (3, 3)).astype(np.uint8)
    shadow = Image.fromarray(cells).resize(image.size, Image.Resampling.BICUBIC)
    return ImageChops.multiply(image, Image.merge("RGB", (shadow, shadow, shadow)))


def _add_noise(image: Image.Image, strength: float, generator: np.random.Generator) -> Image.Image:
    deviation = 1 + 17 * strength * generator.uniform()
    noise = generator.standard_normal((image.height, image.width, 1), dtype=np.float32)
    noisy = np.asarray(image, dtype=np.float32) + deviation * noise
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
