"""Decoding: every kind of file that users and the web come up with."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retrieval_core.data.images import load_image, normalise, to_pixels
from retrieval_core.errors import ImageError

ORIENTATION = 0x0112


def photograph(width: int = 200, height: int = 100) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", (width, height), (200, 30, 30))
    image.paste((30, 30, 200), (width // 2, 0, width, height))
    return image


def jpeg() -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (100, 200, 3)).astype(np.uint8)
    Image.fromarray(noise).save(stream, "JPEG")
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(9)))


def sliver() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (1, 500)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("gone.jpg", None, "missing"),
        ("zero.jpg", b"", "empty"),
        ("half.jpg", jpeg()[:5000], "truncated"),
        ("header_only.jpg", jpeg()[:200], "truncated"),
        ("page.jpg", b"<html>404 not found</html>", "unreadable"),
        ("damaged.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "unreadable"),
        ("bomb.png", png_header(100_000, 100_000), "too_large"),
        ("large.png", png_header(30_000, 3_000), "too_large"),
        ("sliver.png", sliver(), "too_small"),
    ],
)
def test_bad_files_say_why(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError) as raised, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        load_image(str(tmp_path / name), image_size=64, max_pixels=50_000_000)
    assert raised.value.reason == reason
    assert raised.value.path == str(tmp_path / name)


def test_a_directory_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="unreadable"):
        load_image(str(tmp_path), image_size=64)


def save_gif(path: Path) -> None:
    photograph().save(path, "GIF", save_all=True, append_images=[Image.new("RGB", (200, 100))])


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("cmyk.jpg", lambda path: photograph().convert("CMYK").save(path, quality=95)),
        ("plain.png", lambda path: photograph().save(path)),
        ("palette.png", lambda path: photograph().convert("P").save(path)),
        ("opaque.png", lambda path: photograph().convert("RGBA").save(path)),
        ("animated.gif", save_gif),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, name: str, save: Callable[[Path], None]) -> None:
    save(tmp_path / name)
    image = load_image(str(tmp_path / name), image_size=100)
    assert (image.mode, image.size) == ("RGB", (100, 50))
    np.testing.assert_allclose(image.getpixel((10, 25)), (200, 30, 30), atol=25)
    np.testing.assert_allclose(image.getpixel((90, 25)), (30, 30, 200), atol=25)


@pytest.mark.parametrize("name", ["grey.png", "grey.tif", "grey.pgm"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    levels = np.linspace(0, 65_535, 64).astype(np.uint16)
    Image.fromarray(np.tile(levels, (64, 1))).save(tmp_path / name)
    row = np.asarray(load_image(str(tmp_path / name), image_size=64))[32, :, 0]
    np.testing.assert_allclose(row, levels / 257, atol=1)


@pytest.mark.parametrize(
    ("mode", "levels"),
    [("F", np.linspace(0, 1, 64, dtype=np.float32)), ("I", np.arange(64, dtype=np.int32))],
)
def test_numbers_of_no_known_range_are_refused(
    tmp_path: Path, mode: str, levels: np.ndarray
) -> None:
    Image.fromarray(np.tile(levels, (64, 1))).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=rf"unsupported_mode \(mode {mode} of a TIFF\)") as raised:
        load_image(str(tmp_path / "a.tif"), image_size=64)
    assert raised.value.reason == "unsupported_mode"


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    image = photograph().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 100, 100))
    image.save(tmp_path / "alpha.png")
    palette = photograph().convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((10, 10)))
    for name in ("alpha.png", "palette.png"):
        shown = load_image(str(tmp_path / name), image_size=200)
        assert shown.getpixel((10, 50)) == (255, 255, 255)
        np.testing.assert_allclose(shown.getpixel((190, 50)), (30, 30, 200), atol=5)


def test_a_transparent_level_of_sixteen_bits_is_white(tmp_path: Path) -> None:
    levels = np.full((64, 64), 30 * 257, np.uint16)
    levels[:, :32] = 7
    Image.fromarray(levels).save(tmp_path / "grey.png", transparency=7)
    shown = np.asarray(load_image(str(tmp_path / "grey.png"), image_size=64))
    assert (shown[:, :30] == 255).all()
    assert (shown[:, 34:] == 30).all()


@pytest.mark.parametrize("name", ["turned.jpg", "turned.png"])
def test_exif_rotation_is_applied_before_the_box(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned clockwise: the left becomes the top
    photograph().save(tmp_path / name, exif=exif)
    image = load_image(str(tmp_path / name), image_size=200)
    assert image.size == (100, 200)
    np.testing.assert_allclose(image.getpixel((50, 20)), (200, 30, 30), atol=10)
    bottom = load_image(str(tmp_path / name), image_size=200, box=(0, 120, 100, 200))
    assert bottom.size == (100, 80)
    np.testing.assert_allclose(bottom.getpixel((50, 40)), (30, 30, 200), atol=10)


def test_damaged_exif_does_not_lose_the_image(tmp_path: Path) -> None:
    photograph().save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert load_image(str(tmp_path / "a.jpg"), image_size=100).size == (100, 50)


def test_an_image_is_never_enlarged(tmp_path: Path) -> None:
    photograph().save(tmp_path / "a.png")
    assert load_image(str(tmp_path / "a.png"), image_size=1000).size == (200, 100)


def test_a_box_is_scaled_by_the_factor_of_the_whole_image(tmp_path: Path) -> None:
    photograph(800, 600).save(tmp_path / "a.png")
    image = load_image(str(tmp_path / "a.png"), image_size=400, box=(100, 100, 300, 500))
    assert image.size == (100, 200)


def test_a_box_is_cut_off_at_the_border(tmp_path: Path) -> None:
    photograph().save(tmp_path / "a.png")
    image = load_image(str(tmp_path / "a.png"), image_size=200, box=(150, -5, 230, 50))
    assert image.size == (50, 50)


@pytest.mark.parametrize("box", [(300, 0, 400, 50), (50, 50, 20, 80), (-50, 0, -10, 50)])
def test_a_box_outside_the_image_is_bad(
    tmp_path: Path, box: tuple[float, float, float, float]
) -> None:
    photograph().save(tmp_path / "a.png")
    with pytest.raises(ImageError) as raised:
        load_image(str(tmp_path / "a.png"), image_size=100, box=box)
    assert raised.value.reason == "bad_box"


def test_fast_jpeg_decoding_looks_like_slow_decoding(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 1600).astype(np.uint8)
    large = Image.fromarray(np.stack([np.tile(ramp, (1200, 1))] * 3, axis=2))
    large.save(tmp_path / "a.jpg", quality=95)
    large.save(tmp_path / "a.png")
    box = (403.0, 200.0, 1200.0, 1000.0)
    fast = load_image(str(tmp_path / "a.jpg"), image_size=160, box=box)
    slow = load_image(str(tmp_path / "a.png"), image_size=160, box=box)
    assert fast.size == slow.size == (80, 80)
    np.testing.assert_allclose(np.asarray(fast, float), np.asarray(slow, float), atol=4)


def test_urls_are_read(tmp_path: Path) -> None:
    photograph().save(tmp_path / "a.png")
    assert load_image(f"file://{tmp_path}/a.png", image_size=50).size == (50, 25)


def test_pixels_are_normalised_per_channel() -> None:
    pixels = to_pixels(Image.new("RGB", (3, 2), (255, 0, 51)))
    tensor = normalise(pixels, mean=(0.5, 0.5, 0.2), std=(0.5, 1, 2))
    assert (tensor.shape, tensor.dtype) == ((3, 2, 3), torch.float32)
    torch.testing.assert_close(tensor[:, 0, 0], torch.tensor([1.0, -0.5, 0.0]))
