"""Scores against a slow implementation that follows the paper word by word."""

import numpy as np
import pytest
from slow_asmk import slow_scores

from retrieval_core.index import AsmkIndex, Codebook


def build(draw, counts, *, binary, use_idf):
    codebook = Codebook(draw(24))
    images = [draw(n) for n in counts]
    index = AsmkIndex.create(codebook, binary=binary, use_idf=use_idf)
    index.add(
        np.arange(len(images)),
        np.concatenate(images),
        np.repeat(np.arange(len(images)), counts),
    )
    return codebook, images, index


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("use_idf", [True, False])
@pytest.mark.parametrize(
    ("multiple", "alpha", "threshold"),
    [(5, 3.0, 0.0), (1, 3.0, 0.0), (5, 1.0, 0.2), (3, 2.5, -0.4), (1000, 3.0, 0.0)],
)
def test_scores_follow_the_paper(draw, binary, use_idf, multiple, alpha, threshold):
    counts = [12, 1, 0, 30, 7, 22, 0, 3, 15, 40]
    codebook, images, index = build(draw, counts, binary=binary, use_idf=use_idf)
    queries = [draw(9), draw(0), draw(25)]
    settings = {"alpha": alpha, "threshold": threshold}
    ids, scores = index.search(
        np.concatenate(queries),
        np.repeat(np.arange(3), [9, 0, 25]),
        multiple_assignment=multiple,
        **settings,
    )
    for query, row_ids, row in zip(queries, ids, scores, strict=True):
        expected = slow_scores(
            codebook, images, query, binary=binary, use_idf=use_idf, multiple=multiple, **settings
        )
        # directions are kept as float16
        np.testing.assert_allclose(row, expected[row_ids], atol=1e-6 if binary else 3e-5)
        assert sorted(row_ids) == list(range(len(images)))
        assert np.all((np.diff(row) < 0) | (np.diff(row_ids) > 0))


@pytest.mark.parametrize("binary", [True, False])
def test_an_image_is_most_like_itself(draw, binary):
    _, images, index = build(draw, [20] * 8, binary=binary, use_idf=False)
    for image, descriptors in enumerate(images):
        ids, scores = index.search(descriptors, np.zeros(20, int), top_k=1, multiple_assignment=1)
        assert ids.tolist() == [[image]]
        np.testing.assert_allclose(scores, 1, atol=1e-6 if binary else 1e-3)


def test_a_component_of_zero_is_no_sign():
    codebook = Codebook(np.array([[1, 0, 0, 0]], np.float32))
    index = AsmkIndex.create(codebook)
    index.add([1, 2], np.array([[1, 0, -0.0, 0], [1, -1, -1, -1]], np.float32), [0, 1])
    _, scores = index.search(np.array([[1, 0, 0, -1]], np.float32), [0])
    assert scores.tolist() == [[1, 1]]


def test_a_word_that_every_image_has_weighs_nothing_with_idf(draw):
    index = AsmkIndex.create(Codebook(draw(1)), use_idf=True)
    index.add([1, 2], draw(2), [0, 1])
    ids, scores = index.search(draw(3), [0, 0, 0])
    assert (ids.tolist(), scores.tolist()) == ([[1, 2]], [[0, 0]])


def test_the_threshold_itself_counts():
    codebook = Codebook(np.zeros((1, 4), np.float32))
    index = AsmkIndex.create(codebook)
    index.add([0], np.array([[1, 1, 1, 1]], np.float32), [0])
    query = np.array([[1, 1, 1, -1]], np.float32)
    assert index.search(query, [0], threshold=0.5, alpha=1)[1].item() == 0.5
    assert index.search(query, [0], threshold=0.51, alpha=1)[1].item() == 0
