import numpy as np
import pytest
import torch

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError, ArtifactMismatchError, IndexInputError
from retrieval_core.index import Codebook


def test_training_finds_the_clusters():
    rng = np.random.default_rng(0)
    centres = 10 * np.eye(2, 6, dtype=np.float32)
    points = np.repeat(centres, 50, axis=0) + rng.normal(0, 0.01, (100, 6)).astype(np.float32)
    found = Codebook.train(rng.permutation(points), 2).centroids
    np.testing.assert_allclose(found[found.argmax(axis=1)], centres, atol=0.02)


def test_training_is_determined_by_its_seed(draw):
    points = draw(500)
    first, same = (Codebook.train(points, 16, seed=3) for _ in range(2))
    other = Codebook.train(points, 16, seed=4)
    assert first.digest == same.digest != other.digest
    assert first.centroids.dtype == np.float32
    assert (first.size, first.dim) == (16, 72)


def test_training_uses_every_descriptor_in_silence(draw, capfd):
    points = np.zeros((2_000, 72), np.float32)
    points[1_000:] = draw(1)
    codebook = Codebook.train(points, 1)
    np.testing.assert_allclose(codebook.centroids[0], points.mean(axis=0), atol=1e-6)
    Codebook.train(draw(20), 20)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_fewer_descriptors_than_words_names_both_numbers(draw):
    with pytest.raises(IndexInputError, match="7 descriptors into 8 words"):
        Codebook.train(draw(7), 8)


@pytest.mark.parametrize(
    ("descriptors", "message"),
    [
        (np.zeros((9, 4)), "float64"),
        (np.zeros(9, np.float32), r"\(9,\)"),
        (np.full((9, 4), np.nan, np.float32), "row 0 holds nan"),
        (np.float32(1), r"found \(\)"),
        (np.zeros((9, 0), np.float32), r"\(9, 0\)"),
        (np.full((9, 4), 1e20, np.float32), "row 0 has norm 2e.20"),
        (np.full((9, 4), 3e38, np.float32), "row 0 has norm 6e.38"),
    ],
)
def test_training_refuses_what_it_cannot_use(descriptors, message):
    with pytest.raises(IndexInputError, match=message):
        Codebook.train(descriptors, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 2.0}, "size: expected 1 or more, found 2.0"),
        ({"iterations": 0}, "iterations: expected 1 or more, found 0"),
        ({"seed": -1}, "seed: expected 0 to 2147483647, found -1"),
        ({"seed": 2**40}, "seed"),
    ],
)
def test_training_refuses_impossible_settings(draw, options, message):
    with pytest.raises(IndexInputError, match=message):
        Codebook.train(draw(9), **{"size": 2, **options})


def test_words_of_another_device_are_those_of_this_one(draw):
    # what a GPU runs, on the processor
    points, here = draw(3_000), "cpu:0"
    codebook = Codebook(draw(40))
    elsewhere = Codebook(codebook.centroids, device=here)
    np.testing.assert_array_equal(elsewhere.assign(points, 5), codebook.assign(points, 5))
    done = []
    trained = Codebook.train(points, 40, device=here, progress=lambda *n: done.append(n))
    assert done == [(i, 10) for i in range(1, 11)]
    errors = [c.quality(points).error for c in (trained, Codebook.train(points, 40))]
    assert errors[0] < 1.03 * errors[1]


def test_assignment_is_the_nearest_centroids(draw):
    codebook, points = Codebook(draw(40)), draw(300)
    distances = ((points[:, None].astype(float) - codebook.centroids) ** 2).sum(axis=2)
    expected = np.argsort(distances, axis=1)[:, :5]
    assigned = codebook.assign(points, 5)
    assert assigned.dtype == np.int64
    np.testing.assert_array_equal(assigned, expected)
    np.testing.assert_array_equal(codebook.assign(points), expected[:, :1])


def test_assignment_does_not_depend_on_the_batch(draw):
    # centroids in pairs: every descriptor has exact ties, which go to the lower word
    codebook, points = Codebook(np.repeat(draw(12), 2, axis=0)), draw(200)
    together = codebook.assign(points, 4)
    alone = np.concatenate([codebook.assign(points[i : i + 1], 4) for i in range(200)])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together[:, 0] % 2, 0)
    np.testing.assert_array_equal(together[:, 1], together[:, 0] + 1)


def test_assignment_of_nothing(draw):
    assert Codebook(draw(4)).assign(draw(0), 3).shape == (0, 3)


def test_assignment_refuses_other_dimensions_and_impossible_k(draw):
    codebook = Codebook(draw(4))
    with pytest.raises(IndexInputError, match=r"\(n, 72\).*\(1, 5\)"):
        codebook.assign(np.zeros((1, 5), np.float32))
    with pytest.raises(IndexInputError, match="k: expected 1 to 4, found 5"):
        codebook.assign(draw(1), 5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_training_on_a_missing_gpu_is_refused(draw):
    with pytest.raises(IndexInputError, match="'cuda', but torch sees 0 GPUs"):
        Codebook.train(draw(9), 2, device="cuda")


@pytest.mark.parametrize("reach", [-1.0, np.nan])
def test_words_are_not_sought_at_impossible_distances(draw, reach):
    with pytest.raises(IndexInputError, match="reach: expected 0 or more"):
        Codebook(draw(4), reach=reach)


@pytest.mark.parametrize("centroids", [np.zeros((0, 4), np.float32), np.zeros(4, np.float32)])
def test_a_codebook_has_words(centroids):
    with pytest.raises(IndexInputError, match="centroids"):
        Codebook(centroids)


def test_saving_and_loading(draw, tmp_path):
    codebook = Codebook(draw(6))
    codebook.save(ArtifactDirectory(tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["centroids.npy", "codebook.json"]
    loaded = Codebook.load(tmp_path)
    assert loaded.digest == codebook.digest
    np.testing.assert_array_equal(loaded.centroids, codebook.centroids)


def test_loading_notices_missing_damaged_and_exchanged_files(draw, tmp_path):
    with pytest.raises(ArtifactError, match=r"codebook\.json"):
        Codebook.load(tmp_path)
    Codebook(draw(6)).save(ArtifactDirectory(tmp_path))
    np.save(tmp_path / "centroids.npy", draw(6))
    with pytest.raises(ArtifactMismatchError, match="digest"):
        Codebook.load(tmp_path)
    (tmp_path / "centroids.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ArtifactError, match="the codebook cannot be read"):
        Codebook.load(tmp_path)


def test_an_object_array_is_never_unpickled(draw, tmp_path):
    Codebook(draw(6)).save(ArtifactDirectory(tmp_path))
    np.save(tmp_path / "centroids.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="cannot be read"):
        Codebook.load(tmp_path)
