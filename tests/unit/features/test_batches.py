import threading
import time

from retrieval_core.data.catalogue import ImageRow
from retrieval_core.errors import ImageError
from retrieval_core.features import batches
from retrieval_core.features.batches import batches_by, decode_ahead, in_windows


def test_windows_are_consecutive_and_the_last_is_shorter():
    assert list(in_windows(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_batches_share_a_key_and_never_exceed_the_size():
    sizes = ["a", "b", "a", "a", "b", "a"]
    assert list(batches_by(sizes, lambda s: s, 3)) == [[0, 2, 3], [5], [1, 4]]


def test_images_come_in_the_order_of_the_rows(make_rows):
    rows = make_rows(9)
    decoded = list(decode_ahead(rows, image_size=96, threads=4, ahead=5))
    assert [d.row for d in decoded] == rows
    assert all(d.image.size in {(48, 64), (64, 48)} for d in decoded)


def test_an_unreadable_image_is_a_value_not_a_crash(make_rows):
    decoded = list(decode_ahead(make_rows(3, damaged=(1,)), image_size=96, threads=2, ahead=2))
    assert isinstance(decoded[1].image, ImageError)
    assert not isinstance(decoded[2].image, ImageError)


def test_the_pool_runs_ahead_but_only_so_far(monkeypatch):
    started = []

    def count(row, *_):
        started.append(row.image_id)
        return batches.Decoded(row, ImageError(row.path, "missing"), 0.0)

    monkeypatch.setattr(batches, "_decode", count)
    rows = [ImageRow(i, "", "", "test", "database") for i in range(20)]
    images = decode_ahead(rows, image_size=96, threads=2, ahead=4)
    next(images)
    time.sleep(0.1)
    assert started and len(started) <= 5
    images.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]
