import numpy as np
import pytest
from networks import network, noise
from PIL import Image

from retrieval_core.config import FeaturesConfig, InputConfig
from retrieval_core.errors import ImageError, PictureError
from retrieval_core.index import Codebook
from retrieval_core.models.fire import FireNetwork
from retrieval_core.visualize.attention import (
    AttentionMap,
    attention_grid,
    attention_maps,
    heat_over,
)
from retrieval_core.visualize.features import LocatedFeatures, features_picture, located_features
from retrieval_core.visualize.match_lines import match_lines
from retrieval_core.visualize.matches import (
    Match,
    Matches,
    match_by_templates,
    match_by_words,
    match_photographs,
)
from retrieval_core.visualize.photograph import read_photograph
from retrieval_core.visualize.super_features import SuperFeatures, super_features
from retrieval_core.visualize.tiles import captioned, on_white, sheet

SCALES = (1.0, 0.5)


@pytest.fixture(scope="module")
def networks():
    return {method: network(method) for method in ("fire", "how", "gem")}


@pytest.fixture(scope="module")
def photographs(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    paths = [noise(folder / f"{seed}.png", seed=seed) for seed in (0, 1)]
    return [read_photograph(networks["fire"], path, image_size=96) for path in paths]


def test_attention_maps_are_those_of_the_strongest_super_features(networks, photographs):
    fire = networks["fire"]
    maps = attention_maps(fire, photographs[0], count=5, scales=SCALES)
    assert isinstance(fire, FireNetwork)
    _, attention, strengths = fire.super_features(photographs[0].pixels)
    order = strengths[0].argsort(descending=True)[:5]
    for found, template in zip(maps, order.tolist(), strict=True):
        assert found.caption.startswith(f"template {template} ")
        np.testing.assert_allclose(
            found.weights.reshape(-1), attention[0, template].detach(), rtol=1e-5
        )
        assert found.weights.sum() == pytest.approx(1, abs=1e-4)


def test_a_network_that_sees_squares_has_no_places_to_show(tmp_path):
    squares = network("how", input=InputConfig(size=64))
    with pytest.raises(PictureError, match="brings images to 64 x 64 pixels has no places"):
        read_photograph(squares, noise(tmp_path / "noise.png"), image_size=96)


def test_how_has_a_map_per_scale(networks, photographs):
    maps = attention_maps(networks["how"], photographs[0], scales=SCALES)
    assert [m.caption for m in maps] == [f"strength · scale {s:g}" for s in SCALES]
    assert maps[0].weights.shape == (2, 3)


def test_a_pooling_network_has_nothing_to_show(networks, photographs):
    gem, photograph = networks["gem"], photographs[0]
    with pytest.raises(PictureError, match="gem network has no attention"):
        attention_maps(gem, photograph, scales=SCALES)
    with pytest.raises(PictureError, match="gem network has no local features"):
        located_features(gem, photograph, scales=SCALES, count=5)
    with pytest.raises(PictureError, match="gem network has no super-features"):
        super_features(gem, photograph)
    with pytest.raises(PictureError, match="gem network"):
        match_photographs(gem, *photographs, settings=FeaturesConfig(), codebook=None)


def test_a_photograph_that_is_none_is_an_image_error(networks, tmp_path):
    path = tmp_path / "text.jpg"
    path.write_text("no image")
    with pytest.raises(ImageError, match="unreadable"):
        read_photograph(networks["fire"], str(path), image_size=96)


def test_heat_glows_where_the_weights_are_high():
    image = Image.new("RGB", (90, 60), (120, 120, 120))
    weights = np.zeros((2, 3), np.float32)
    weights[0, 0] = 1
    drawn = np.asarray(heat_over(image, weights), int)
    assert drawn.shape == (60, 90, 3)
    assert drawn[10, 10].sum() > 2 * drawn[50, 80].sum()


@pytest.mark.parametrize("weights", [np.zeros((1, 1)), np.full((3, 2), 0.5)])
def test_even_attention_draws_without_glow(weights):
    drawn = np.asarray(heat_over(Image.new("RGB", (20, 30), "white"), weights.astype(np.float32)))
    assert (drawn == drawn[0, 0]).all()


@pytest.mark.parametrize(("maps", "columns"), [(0, 4), (1, 4), (7, 3)])
def test_the_grid_holds_the_photograph_and_every_map(maps, columns):
    image = Image.new("RGB", (30, 20))
    found = [AttentionMap(np.eye(2, dtype=np.float32), "template 3") for _ in range(maps)]
    tile = captioned(image.resize((150, 100)), "x")
    drawn = attention_grid(image, found, columns=columns, height=100)
    assert drawn.mode == "RGBA"
    rows = -(-(maps + 1) // columns)
    assert drawn.height // tile.height == rows
    assert drawn.width // tile.width == min(maps + 1, columns)


def test_features_lie_inside_and_are_ordered_by_strength(networks, photographs):
    for method in ("how", "fire"):
        found = located_features(networks[method], photographs[0], scales=SCALES, count=7)
        assert len(found.strengths) == 7
        assert (np.diff(found.strengths) <= 0).all()
        assert (found.places >= 0).all()
        assert (found.places <= (96, 64)).all()
    how = located_features(networks["how"], photographs[0], scales=SCALES, count=100)
    assert set(how.sides.tolist()) == {32.0, 64.0}
    whole = how.places[how.sides == 32]
    assert set(map(tuple, whole.tolist())) == {(x, y) for x in (16, 48, 80) for y in (16, 48)}


@pytest.mark.parametrize("count", [1, 30])
def test_circles_are_drawn_at_the_places(count):
    places = np.full((count, 2), (50, 20), np.float32)
    ones = np.ones(count, np.float32)
    found = LocatedFeatures(np.zeros((count, 4), np.float32), places, 40 * ones, ones)
    drawn = on_white(features_picture(Image.new("RGB", (100, 80)), found, height=160))
    pixels = np.asarray(drawn)[:160].sum(axis=2)
    assert pixels[40, 80:].max() > 150, "the circle's right side, ten pixels from the place"
    assert pixels[120:].max() == 0


def test_the_peak_is_the_centre_of_gravity_around_the_highest_cell():
    attention = np.zeros((2, 4, 5), np.float32)
    attention[0, 1, 2] = 1
    attention[1, 3, 0], attention[1, 3, 1] = 0.75, 0.25
    found = SuperFeatures(None, attention, np.ones(2, np.float32))
    np.testing.assert_allclose(found.places(100, 40), [(50, 15), (15, 35)])


def test_a_photograph_matches_itself_in_place(networks, photographs):
    matches = match_by_templates(networks["fire"], photographs[0], photographs[0])
    assert matches.found
    assert all(m.left == m.right for m in matches.found)
    assert all(m.similarity == pytest.approx(1, abs=1e-5) for m in matches.found)
    assert matches.caption.startswith(f"{len(matches.found)} matches of similarity 1.00 to ")


def test_without_a_match_the_nearest_pairs_are_candidates(networks, photographs):
    matches = match_by_templates(networks["fire"], *photographs, ratio=-1.0)
    assert matches.found == ()
    similar = [match.similarity for match in matches.candidates]
    assert len(similar) == 8
    assert similar == sorted(similar, reverse=True)
    assert "no match" in matches.caption
    assert "grey: the nearest 8 pairs" in matches.caption


def test_words_match_by_the_signs_of_residuals():
    codebook = Codebook(np.array([[0, 0, 0, 0], [9, 9, 9, 9]], np.float32))
    first = _features([[1, 1, 1, 1], [10, 10, 8, 8], [1, -1, 1, -1]])
    second = _features([[1, 1, 1, -1], [8, 8, 10, 10], [1, 1, 1, 1]])
    (match,) = match_by_words(first, second, codebook).found
    assert match == Match((0.0, 0.0), (2.0, 4.0), 1.0, 0), "the most similar pair of word 0"
    every = match_by_words(first, second, codebook, assignments=1, threshold=-2)
    assert [match.name for match in every.found] == [0, 1]


def test_a_descriptor_matches_once_by_any_of_its_words():
    codebook = Codebook(np.array([[0, 0, 0, 0], [9, 9, 9, 9]], np.float32))
    first, second = _features([[4, 4, 4, 4]]), _features([[8, 8, 8, 8], [-1, 1, 1, 1]])
    assert not match_by_words(first, second, codebook, assignments=1, threshold=0.5).found
    (match,) = match_by_words(first, second, codebook).found
    assert (match.name, match.similarity) == (1, 1.0)


def _features(descriptors):
    count = len(descriptors)
    places = np.array([(i, 2 * i) for i in range(count)], np.float32)
    ones = np.ones(count, np.float32)
    return LocatedFeatures(np.array(descriptors, np.float32), places, ones, ones)


def test_how_needs_visual_words(networks, photographs):
    settings = FeaturesConfig(scales=SCALES, max_features=20)
    with pytest.raises(PictureError, match="visual words"):
        match_photographs(networks["how"], *photographs, settings=settings, codebook=None)
    rng = np.random.default_rng(0)
    codebook = Codebook(rng.standard_normal((3, 16), np.float32))
    same = (photographs[0], photographs[0])
    found = match_photographs(networks["how"], *same, settings=settings, codebook=codebook).found
    assert 1 <= len(found) <= 3
    assert all(match.similarity == 1 for match in found)


@pytest.mark.parametrize("count", [0, 1, 50])
def test_lines_of_any_number(count):
    images = Image.new("RGB", (60, 90), "white"), Image.new("RGB", (90, 60), "white")
    found = [Match((30.0, 20.0 + i), (45.0, 20.0 + i), 0.5, i) for i in range(count)]
    drawn = match_lines(*images, Matches(tuple(found), "a rule"), lines=20)
    assert drawn.mode == "RGBA"
    pixels = np.asarray(drawn)[10:200, 100 : drawn.width - 100, :3].astype(int)
    coloured = np.ptp(pixels, axis=2).max() > 60
    assert coloured == (count > 0)


def test_candidates_are_grey():
    images = Image.new("RGB", (60, 60)), Image.new("RGB", (60, 60))
    pair = Match((10.0, 10.0), (50.0, 50.0), 0.1, 3)
    drawn = np.asarray(match_lines(*images, Matches((), "a rule", (pair,))))[:400, :, :3]
    assert 150 < drawn[:, :400].max() < 230


def test_extreme_shapes_make_a_picture():
    thin, wide = Image.new("RGB", (8, 2000)), Image.new("RGB", (2000, 8))
    drawn = match_lines(thin, wide, Matches((), "a rule"))
    assert min(drawn.size) > 0
    assert sheet([[captioned(thin, "a very long caption that cannot fit")], []]).width == 8
