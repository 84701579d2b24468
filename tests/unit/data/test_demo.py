"""The demo dataset: honest ground truth, the same bytes for the same seed."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import DemoConfig
from retrieval_core.data.catalogue import Catalogue, Split
from retrieval_core.data.demo import make_demo
from retrieval_core.data.demo_landmarks import (
    CLUTTER,
    FINE_GRID_VIEWS,
    GRIDS,
    SECOND_EYE,
    landmarks,
    photograph,
)
from retrieval_core.data.demo_plan import EASY_VISIBLE, draw, grade, plan_views
from retrieval_core.data.demo_views import Occluder, Tile

SMALL = DemoConfig(views=200, image_size=64)
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalogue, ArtifactDirectory]:
    directory = ArtifactDirectory(tmp_path_factory.mktemp("demo"))
    return make_demo(SMALL, directory), directory


def photographs(split: Split) -> set[str]:
    tiles = {t.photograph for thing in landmarks(split, 600) for t in thing.tiles}
    return tiles | {right for left, (right, _) in SECOND_EYE.items() if left in tiles}


def test_no_photograph_is_on_two_sides() -> None:
    learning = photographs("train") | set(CLUTTER["train"])
    assert not photographs("val") & learning
    assert not (photographs("test") | set(CLUTTER["test"])) & (learning | photographs("val"))
    for split in SPLITS:
        assert not photographs(split) & set(CLUTTER[split])


@pytest.mark.parametrize("views", [600, FINE_GRID_VIEWS])
def test_there_are_enough_landmarks_and_none_overlap(views: int) -> None:
    counts = {split: len(landmarks(split, views)) for split in SPLITS}
    assert counts["train"] >= 24
    assert counts["val"] >= 6
    assert counts["test"] >= 20
    for split in SPLITS:
        for name in GRIDS[split]:
            covered = np.zeros(photograph(name).size, dtype=int)
            for thing in landmarks(split, views):
                if thing.tiles[0].photograph == name:
                    left, top, right, bottom = thing.tiles[0].box
                    covered[left:right, top:bottom] += 1
            assert covered.max() == 1


def test_stereo_tiles_come_from_both_photographs() -> None:
    pairs = [t.tiles for t in landmarks("test", 600) if t.label.startswith("motorcycle")]
    assert pairs
    for left, right in pairs:
        assert (left.width, left.height) == (right.width, right.height)
        assert right.box[0] >= 0


@pytest.mark.parametrize("views", [200, 201, 600, 4_999, 5_000, 100_000])
def test_plan_gives_every_landmark_its_views(views: int) -> None:
    config = DemoConfig(views=views)
    plan = plan_views(config)
    assert len(plan) == views
    shares = Counter(view.split for view in plan)
    assert shares["train"] == pytest.approx(0.45 * views, abs=1)
    assert shares["val"] == pytest.approx(0.10 * views, abs=1)
    for split in SPLITS:
        shown = Counter(v.landmark.label for v in plan if v.split == split and v.landmark)
        assert set(shown) == {thing.label for thing in landmarks(split, views)}
        assert min(shown.values()) >= 2
    test = [view for view in plan if view.split == "test"]
    queries = [view for view in test if view.role == "query"]
    assert len(queries) == pytest.approx(0.12 * len(test), abs=1)
    assert sum(v.landmark is None for v in test) == pytest.approx(0.25 * len(test), abs=1)


def test_every_query_has_a_positive(demo: tuple[Catalogue, ArtifactDirectory]) -> None:
    catalogue, _ = demo
    assert catalogue.revisited
    assert [t.query for t in catalogue.truth] == [r.image_id for r in catalogue.queries()]
    labels = {row.image_id: row.label for row in catalogue.database()}
    for truth, query in zip(catalogue.truth, catalogue.queries(), strict=True):
        assert truth.easy
        listed = [*truth.easy, *truth.hard, *truth.junk]
        assert len(set(listed)) == len(listed)
        assert set(listed) == {i for i, label in labels.items() if label == query.label}
    assert any(t.hard for t in catalogue.truth)
    assert Counter(labels.values())[""] > 0


def test_images_are_jpeg_of_the_wanted_size(demo: tuple[Catalogue, ArtifactDirectory]) -> None:
    catalogue, _ = demo
    for row in catalogue.rows[::20]:
        with Image.open(row.path) as image:
            assert (image.format, max(image.size)) == ("JPEG", 64)


def test_boxes_frame_the_landmark(demo: tuple[Catalogue, ArtifactDirectory]) -> None:
    catalogue, _ = demo
    boxed = [row for row in catalogue.queries() if row.box]
    assert 0 < len(boxed) < len(catalogue.queries())
    for row in boxed:
        left, top, right, bottom = row.box or (0, 0, 0, 0)
        with Image.open(row.path) as image:
            assert 0 <= left < right <= image.width
            assert 0 <= top < bottom <= image.height


def test_an_interrupted_attempt_is_resumed_with_the_same_bytes(
    demo: tuple[Catalogue, ArtifactDirectory], tmp_path: Path
) -> None:
    _, first = demo
    kept, redone = "images/000/000007.jpg", "images/000/000123.jpg"
    second = ArtifactDirectory(tmp_path)
    second.write_bytes(kept, b"finished earlier")
    calls: list[tuple[int, int]] = []
    make_demo(SMALL, second, progress=lambda done, total: calls.append((done, total)))
    assert second.read_bytes(kept) == b"finished earlier"
    assert second.read_bytes(redone) == first.read_bytes(redone)
    assert calls == [(done, 200) for done in range(1, 201)]


def test_other_seeds_give_other_views(demo: tuple[Catalogue, ArtifactDirectory]) -> None:
    planned = plan_views(SMALL)[0]
    views = [draw(planned, 64, np.random.default_rng([seed, 0])) for seed in (0, 1)]
    assert views[0].homography.tolist() != views[1].homography.tolist()


def test_grades_follow_visibility_and_strength() -> None:
    plan = plan_views(DemoConfig(views=600))
    grades = set()
    for index, planned in enumerate(plan[:300]):
        view = draw(planned, 320, np.random.default_rng([0, index]))
        grades.add(grade(view))
        assert 0 <= view.visible <= 1
        if planned.mild:
            assert view.visible >= EASY_VISIBLE
    assert grades == {"easy", "hard", "junk"}


def test_an_occluder_covers_what_lies_in_its_rectangle() -> None:
    turned = Occluder(Tile("grass.png", (0, 0, 9, 9)), (50.0, 50.0), (20.0, 5.0), np.pi / 2)
    points = np.array([[50.0, 65.0], [65.0, 50.0]])
    assert turned.covers(points).tolist() == [True, False]
    xs, ys = zip(*turned.corners(), strict=True)
    assert (max(xs), max(ys)) == pytest.approx((55.0, 70.0))
