"""Batches of classes and random triplets, and what they make of small or few classes."""

from collections import Counter

import numpy as np
import pytest

from retrieval_core.data.catalogue import ImageRow
from retrieval_core.data.sampling import (
    Rounds,
    class_numbers,
    draw_class_batches,
    draw_triplets,
)
from retrieval_core.errors import DatasetError

LABELS = np.repeat(np.arange(10), 6)
UNEVEN = np.array([0] * 9 + [1] * 3 + [2] + [3] * 2)


def rng(seed=0):
    return np.random.default_rng(seed)


def batches(labels, classes=4, images=3, steps=None, seed=0, **more):
    return draw_class_batches(
        labels, classes=classes, images=images, steps=steps, rng=rng(seed), **more
    )


def test_labels_are_texts_and_become_numbers():
    rows = [ImageRow(i, f"{i}.jpg", label, "train", "both") for i, label in enumerate("cab7a")]
    assert class_numbers(rows).tolist() == [3, 1, 2, 0, 1]
    with pytest.raises(DatasetError, match=r"1 images have no label, first 9\.jpg"):
        class_numbers([*rows, ImageRow(9, "9.jpg", "", "train", "both")])


def test_batches_hold_p_classes_of_k_distinct_images():
    for batch in batches(LABELS):
        assert len(set(batch.tolist())) == 12
        assert sorted(Counter(LABELS[batch].tolist()).values()) == [3] * 4
        assert (np.diff(LABELS[batch].reshape(4, 3)) == 0).all()


def test_an_epoch_has_as_many_batches_as_hold_all_images():
    assert len(batches(LABELS)) == 5
    assert len(batches(LABELS, classes=7)) == 3
    assert len(batches(LABELS, steps=17)) == 17


def test_every_class_and_image_comes_before_any_comes_again():
    seen = np.concatenate(batches(LABELS, classes=5, images=3))
    assert sorted(seen.tolist()) == list(range(60))


def test_the_seed_decides():
    first, same, other = batches(LABELS), batches(LABELS), batches(LABELS, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_small_classes_give_what_they_have():
    for batch in batches(UNEVEN, classes=4, images=5, steps=6):
        assert Counter(UNEVEN[batch].tolist()) == {0: 5, 1: 3, 2: 1, 3: 2}
        assert len(set(batch.tolist())) == 11


def test_more_classes_than_there_are_is_an_error():
    with pytest.raises(DatasetError, match=r"a batch of 11 classes .* show 10"):
        batches(LABELS, classes=11)


@pytest.mark.parametrize("labels", [np.arange(9), np.array([], dtype=np.int64)])
def test_without_a_positive_anywhere_there_is_nothing_to_learn(labels):
    with pytest.raises(DatasetError, match="at least two labelled images"):
        batches(labels)
    with pytest.raises(DatasetError):
        draw_triplets(labels, count=3, rng=rng())


def test_a_batch_is_filled_with_the_classes_most_often_confused():
    close = {label: [(label + 1) % 10, (label + 2) % 10] for label in range(10)}
    drawn = batches(LABELS, classes=4, steps=10, confused=close.__getitem__)
    firsts = []
    for batch in drawn:
        first, second, third, fourth = (int(LABELS[i]) for i in batch[::3])
        assert [second, third] == close[first]
        assert fourth not in (first, second, third)
        firsts.append(first)
    assert sorted(firsts) == list(range(10))


def test_rounds_repeat_only_after_all_came():
    rounds = Rounds(np.arange(7), rng())
    taken = [rounds.take(3) for _ in range(14)]
    assert all(len(set(part.tolist())) == 3 for part in taken)
    assert Counter(np.concatenate(taken).tolist()) == dict.fromkeys(range(7), 6)
    assert sorted(rounds.take(99).tolist()) == list(range(7))


def test_every_image_with_a_positive_is_an_anchor_once():
    triplets = draw_triplets(UNEVEN, count=None, rng=rng())
    anchors, positives, negatives = triplets.T
    assert sorted(anchors.tolist()) == [i for i, label in enumerate(UNEVEN) if label != 2]
    assert (UNEVEN[anchors] == UNEVEN[positives]).all()
    assert (anchors != positives).all()
    assert (UNEVEN[anchors] != UNEVEN[negatives]).all()
    assert len(draw_triplets(UNEVEN, count=40, rng=rng())) == 40
    assert len(draw_triplets(UNEVEN, count=5, rng=rng())) == 5


def test_every_image_of_another_class_can_be_the_negative():
    triplets = draw_triplets(UNEVEN, count=3000, rng=rng())
    of_first = triplets[UNEVEN[triplets[:, 0]] == 1, 2]
    counts = np.bincount(of_first, minlength=len(UNEVEN))
    assert (counts[9:12] == 0).all()
    others = np.delete(counts, [9, 10, 11])
    assert others.min() > 0.5 * others.mean()


def test_the_negative_is_one_of_the_nearest():
    nearest = np.full((len(UNEVEN), 2), -1)
    nearest[0] = 12, 13
    triplets = draw_triplets(UNEVEN, count=400, rng=rng(), nearest=nearest)
    assert set(triplets[triplets[:, 0] == 0, 2].tolist()) == {12, 13}
    assert (UNEVEN[triplets[:, 0]] != UNEVEN[triplets[:, 2]]).all()


def test_one_class_has_no_triplets():
    with pytest.raises(DatasetError, match="two classes"):
        draw_triplets(np.zeros(5, dtype=np.int64), count=2, rng=rng())
