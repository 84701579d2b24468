from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageColor

from retrieval_core.data.catalogue import QueryTruth
from retrieval_core.search.ranking import Ranking
from retrieval_core.visualize import grid_rows, ranking_grid
from retrieval_core.visualize.ranking_grid import BLUE, GREEN, GREY, RED, ranking_legend

HEIGHT = 80
STEP = 120 + HEIGHT // 12


def corner(picture, column, line=0):
    x = column * STEP + (HEIGHT // 12 if column else 0)
    y = line * (HEIGHT + round(0.2 * HEIGHT) + 2 * (HEIGHT // 12))
    return picture.getpixel((x, y))[:3]


def test_rows_follow_the_ranking(catalogue, rank):
    (row,) = grid_rows(catalogue, rank(6), [(2, "AP 1")], top_k=5)
    assert row.query.image_id == 2
    assert [image.image_id for image, _ in row.found] == [8, 11, 14, 17, 6]
    assert [row.mark(image.image_id) for image, _ in row.found] == ["correct"] * 4 + ["wrong"]
    assert row.found[0][1] == 1.0


def test_junk_is_neither_right_nor_wrong(catalogue, rank):
    (row,) = grid_rows(catalogue, rank(6), [(0, "")])
    row = replace(row, truth=QueryTruth(0, easy=(6,), hard=(9,), junk=(12,)))
    assert [row.mark(i) for i in (6, 9, 12, 15)] == ["correct", "correct", "junk", "wrong"]


def test_padding_and_the_query_itself_are_no_results(catalogue):
    ranking = Ranking(np.array([0]), np.array([[0, 6, 7, -1]]), np.ones((1, 4), np.float32))
    (row,) = grid_rows(catalogue, ranking, [(0, "")])
    assert [image.image_id for image, _ in row.found] == [6, 7]


def test_a_query_that_was_not_ranked_has_no_results(catalogue):
    ranking = Ranking(np.array([0]), np.array([[6]]), np.ones((1, 1), np.float32))
    (row,) = grid_rows(catalogue, ranking, [(1, "")])
    assert row.found == ()
    assert ranking_grid([row], height=HEIGHT).height > HEIGHT


def test_frames_tell_right_from_wrong(catalogue, rank):
    (row,) = grid_rows(catalogue, rank(6), [(0, "AP")], top_k=5)
    row = replace(row, truth=replace(row.truth, easy=(6, 9), junk=(12,)))
    picture = ranking_grid([row], height=HEIGHT)
    frames = [corner(picture, column) for column in range(6)]
    expected = [BLUE, GREEN, GREEN, GREY, RED, RED]
    assert frames == [ImageColor.getrgb(color) for color in expected]


def test_colour_is_not_the_only_carrier(catalogue, rank):
    (row,) = grid_rows(catalogue, rank(6), [(0, "")], top_k=1)
    right = np.asarray(ranking_grid([row], height=HEIGHT))
    row = replace(row, truth=replace(row.truth, easy=()))
    wrong = np.asarray(ranking_grid([row], height=HEIGHT))
    white = [(picture[HEIGHT:, STEP:, :3] > 200).all(axis=2) for picture in (right, wrong)]
    assert (white[0] != white[1]).any(), "the captions differ, not just the frames"


def test_rows_are_stacked(catalogue, rank):
    rows = grid_rows(catalogue, rank(3), [(0, ""), (5, "")])
    one, two = ranking_grid(rows[:1], height=HEIGHT), ranking_grid(rows, height=HEIGHT)
    assert one.width == two.width
    assert two.height > 2 * one.height
    assert corner(two, 1, line=1) == ImageColor.getrgb(RED)


@pytest.mark.parametrize("column", [0, 1])
def test_an_unreadable_image_is_a_grey_tile(catalogue, rank, missing_image, column):
    (row,) = grid_rows(catalogue, rank(6), [(0, "")], top_k=1)
    if column == 0:
        row = replace(row, query=replace(row.query, path=missing_image))
    else:
        row = replace(row, found=((replace(row.found[0][0], path=missing_image), 0.5),))
    picture = ranking_grid([row], height=HEIGHT)
    red, green, blue = picture.getpixel((column * (STEP + HEIGHT // 12) + 10, 10))[:3]
    assert red == green == blue


def test_the_query_is_cropped_to_its_box(catalogue, rank):
    (row,) = grid_rows(catalogue, rank(6), [(1, "")], top_k=1)
    whole = ranking_grid([row], height=HEIGHT)
    row = replace(row, query=replace(row.query, box=(0, 0, 20, 40)))
    boxed = ranking_grid([row], height=HEIGHT)
    # the landscape image reaches the left edge of the tile, its narrow part leaves a mat
    assert whole.getpixel((6, HEIGHT // 2)) != boxed.getpixel((6, HEIGHT // 2))
    assert corner(boxed, 1) == corner(whole, 1)


def test_the_legend_has_the_colours_that_are_seen(catalogue, rank):
    (row,) = grid_rows(catalogue, rank(6), [(0, "")], top_k=5)
    for junk, colors in (((), [BLUE, GREEN, RED]), ((12,), [BLUE, GREEN, RED, GREY])):
        legend = ranking_legend([replace(row, truth=replace(row.truth, easy=(6,), junk=junk))])
        found = list(dict.fromkeys(map(tuple, np.asarray(legend)[0].tolist())))
        assert found == [
            (*ImageColor.getrgb(colors[0]), 255), (0, 0, 0, 0),
            *((*ImageColor.getrgb(color), 255) for color in colors[1:]),
        ]  # fmt: skip
