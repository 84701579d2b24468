import numpy as np
import pytest

from retrieval_core.errors import RankingError
from retrieval_core.evaluation.clustering import cluster_information


def points(spread):
    """Thirty directions in five bundles."""
    rng = np.random.default_rng(0)
    vectors = np.eye(5, 8)[np.arange(30) % 5] + spread * rng.standard_normal((30, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [f"class {i % 5}" for i in range(30)]


def slow(clusters, labels):
    """Mutual information over the mean entropy, term by term."""
    count = len(labels)

    def entropy(values):
        shares = [values.count(value) / count for value in set(values)]
        return -sum(share * np.log(share) for share in shares)

    both = list(zip(clusters, labels, strict=True))
    mutual = entropy(clusters) + entropy(labels) - entropy(both)
    return 2 * mutual / (entropy(clusters) + entropy(labels))


def test_bundles_are_classes():
    assert cluster_information(*points(0.01)) == pytest.approx(1)


def test_information_of_wrong_labels():
    vectors, right = points(0.01)
    wrong = [label if i % 3 else "class 0" for i, label in enumerate(right)]
    assert cluster_information(vectors, wrong) == pytest.approx(slow(right, wrong))


def test_noise_tells_little_and_the_same_again():
    vectors, _ = points(100)
    labels = np.random.default_rng(1).integers(0, 3, 30).tolist()
    found = cluster_information(vectors, labels, seed=3)
    assert 0 <= found < 0.4
    assert found == cluster_information(vectors, labels, seed=3)


@pytest.mark.parametrize("labels", [["a"] * 30, [str(i) for i in range(30)]])
def test_one_class_and_only_classes_of_one(labels):
    assert cluster_information(points(0.3)[0], labels) == pytest.approx(1)


def test_wrong_numbers_are_refused():
    with pytest.raises(RankingError, match="30 descriptors and 2 labels"):
        cluster_information(points(0)[0], ["a", "b"])
    with pytest.raises(RankingError, match="0 descriptors"):
        cluster_information(np.empty((0, 8), np.float32), [])
