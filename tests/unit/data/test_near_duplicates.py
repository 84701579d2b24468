import tarfile

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import DemoConfig
from retrieval_core.data.demo import make_demo
from retrieval_core.data.near_duplicates import (
    MAX_DISTANCE,
    ImageHashes,
    hash_images,
    join_hashes,
    near_duplicates,
)


def photograph(seed):
    """Smooth patches of random brightness, like a photograph seen from afar."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
    return coarse.resize((640, 480), Image.Resampling.BICUBIC)


@pytest.fixture
def save(tmp_path):
    def write(image, name, **options):
        image.save(tmp_path / name, **options)
        return str(tmp_path / name)

    return write


def cropped(image, left, top, right, bottom):
    width, height = image.size
    return image.crop((left * width, top * height, (1 - right) * width, (1 - bottom) * height))


COPIES = {
    "same": lambda image: image,
    "half the size": lambda image: image.resize((320, 240)),
    "grey": lambda image: image.convert("L"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
    "1 % cropped": lambda image: cropped(image, 0.01, 0.01, 0.01, 0.01),
    "5 % cropped": lambda image: cropped(image, 0.05, 0.05, 0.05, 0.05),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("changed_side", ["train", "test"])
def test_copies_are_found_on_either_side(change, changed_side, save):
    originals = [save(photograph(i), f"{i}.png") for i in range(4)]
    copy = save(change(photograph(2)), "copy.jpg", quality=60)
    sides = [hash_images(originals), hash_images([copy])]
    if changed_side == "train":
        sides.reverse()
    (found,) = near_duplicates(*sides)
    assert {found.train, found.test} == {originals[2], copy}
    assert 0 <= found.distance <= MAX_DISTANCE


def test_other_photographs_are_no_copies(save):
    paths = [save(photograph(i), f"{i}.jpg") for i in range(40)]
    assert near_duplicates(hash_images(paths[:20]), hash_images(paths[20:])) == []


def test_flat_and_unreadable_images_match_nothing(tmp_path, save):
    noise = np.random.default_rng(0).integers(119, 122, (300, 400, 3), np.uint8)
    ramp = np.tile(np.linspace(0, 255, 400).astype(np.uint8), (300, 1))
    flat = [save(Image.new("RGB", (400, 300), c), f"{c}.jpg") for c in ("white", "black", "blue")]
    flat += [save(Image.fromarray(noise), "noise.jpg"), save(Image.fromarray(ramp), "ramp.png")]
    broken = str(tmp_path / "broken.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    hashes = hash_images([*flat, broken, str(tmp_path / "absent.jpg")])
    assert [e["reason"] for e in hashes.excluded] == ["flat"] * 5 + ["unreadable", "missing"]
    assert near_duplicates(hashes, hashes) == []


def test_the_nearest_training_image_of_each_test_image_comes_first(save):
    original = photograph(0)
    train = [save(original.resize((200, 150)), "small.jpg", quality=30), save(original, "a.png")]
    test = [save(original, "b.png"), save(photograph(1), "c.png")]
    (found,) = near_duplicates(hash_images(train), hash_images(test))
    assert (found.train, found.test, found.distance) == (train[1], test[0], 0)


def test_neither_threads_nor_the_order_of_parts_change_anything(save):
    paths = [save(photograph(i), f"{i}.jpg") for i in range(6)]
    whole = hash_images(paths)
    parts = join_hashes([hash_images(paths[4:]), hash_images(paths[:4], threads=2)])
    assert parts.paths == whole.paths == paths
    np.testing.assert_array_equal(parts.hashes, whole.hashes)


def test_nothing_is_like_nothing():
    nothing = join_hashes([])
    assert near_duplicates(nothing, nothing) == []
    some = ImageHashes(["a"], np.zeros((1, 2, 32), np.uint8), [])
    assert near_duplicates(nothing, some) == near_duplicates(some, nothing) == []


def test_the_sides_of_the_demo_come_from_different_photographs(tmp_path):
    demo = make_demo(DemoConfig(views=200, image_size=128), ArtifactDirectory(tmp_path))
    train = hash_images([row.path for row in demo.split("train", "val")])
    test = hash_images([row.path for row in demo.split("test")])
    assert near_duplicates(train, test) == []
    assert len(train.paths) + len(test.paths) > 190


TOURISTS = ("british_museum", "london_bridge", "reichstag", "sacre_coeur", "united_states_capitol")


def test_small_copies_of_real_photographs(shared_data, tmp_path):
    """Nearly all are found (of 257, one is missed), and no other view of the landmark is."""
    with tarfile.open(shared_data / "mini_landmarks.tar") as archive:
        members = [m for m in archive if m.isfile() and m.name.split("/")[-2] in TOURISTS]
        archive.extractall(tmp_path, members, filter="data")
    originals = [str(tmp_path / member.name) for member in members]
    copies = {}
    for number, path in enumerate(originals):
        copy = cropped(Image.open(path), 0.01, 0.01, 0.01, 0.01)
        copy.thumbnail((400, 400))
        copies[str(tmp_path / f"{number}.jpg")] = path
        copy.save(tmp_path / f"{number}.jpg", quality=50)
    hashes = hash_images(originals, threads=2)
    found = near_duplicates(hashes, hash_images(list(copies), threads=2))
    assert all(copies[image.test] == image.train for image in found)
    assert len(found) >= len(copies) - 1
    half = len(originals) // 2
    sides = [hash_images(originals[:half]), hash_images(originals[half:])]
    assert near_duplicates(*sides) == []
