"""Whitening learned from vectors and from pairs."""

from pathlib import Path

import numpy as np
import pytest

from retrieval_core.errors import IndexInputError
from retrieval_core.models.whitening import fit_learned_whitening, fit_pca_whitening


@pytest.fixture
def reference(shared_parity: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared_parity / "numerics.npz"))


def assert_same_up_to_sign(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(np.abs(actual), np.abs(expected), rtol=1e-6, atol=1e-9)


def test_learned_whitening_is_the_reference_s(reference: dict[str, np.ndarray]) -> None:
    x = reference["whiten_X"]
    whitening = fit_learned_whitening(x, np.arange(200), np.arange(200, 400))

    np.testing.assert_allclose(whitening.mean, reference["lw_mean"][:, 0])
    assert_same_up_to_sign(whitening.apply(x, 12), reference["lw_applied"])


def test_pca_whitening_is_the_reference_s(reference: dict[str, np.ndarray]) -> None:
    x = reference["whiten_X"]
    assert_same_up_to_sign(fit_pca_whitening(x).apply(x, 12), reference["pca_applied"])


def test_pca_gives_unit_variance_and_no_correlation() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 8)) @ rng.normal(size=(8, 8)) + 3
    whitening = fit_pca_whitening(x)
    projected = (x - whitening.mean) @ whitening.projection.T
    np.testing.assert_allclose(projected.T @ projected / len(x), np.eye(8), atol=1e-9)


def test_directions_without_variance_become_zero() -> None:
    x = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    whitening = fit_pca_whitening(x)
    assert np.isfinite(whitening.projection).all()
    assert (np.abs(whitening.projection).max(axis=1) > 0).sum() == 4


def test_identical_vectors_give_zeros() -> None:
    assert not fit_pca_whitening(np.ones((4, 3))).projection.any()


def test_learned_whitening_survives_fewer_pairs_than_dimensions() -> None:
    x = np.random.default_rng(0).normal(size=(20, 16))
    whitening = fit_learned_whitening(x, [0, 1, 2], [3, 4, 5])
    assert np.isfinite(whitening.apply(x)).all()


def test_rows_have_unit_norm() -> None:
    x = np.random.default_rng(0).normal(size=(50, 6))
    norms = np.linalg.norm(fit_pca_whitening(x).apply(x, 3), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-4)


def test_shrinkage_keeps_few_pairs_from_deciding() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, 1, 24)) * np.r_[np.ones(6), np.zeros(18)]
    x = (centres + 0.3 * rng.normal(size=(60, 2, 24))).reshape(-1, 24)
    fitted_to, rest = np.arange(26), np.arange(40, 120)

    def precision(shrinkage: float) -> float:
        whitening = fit_learned_whitening(
            x[fitted_to], fitted_to[::2], fitted_to[1::2], shrinkage=shrinkage
        )
        found = whitening.apply(x[rest], 6)
        similarities = found @ found.T - 2 * np.eye(len(rest))
        return float((similarities.argmax(1) == np.arange(len(rest)) ^ 1).mean())

    assert precision(0.5) > precision(0.0) + 0.2
    pairs = (x, np.arange(0, 120, 2), np.arange(1, 120, 2))
    plain, none = fit_learned_whitening(*pairs), fit_learned_whitening(*pairs, shrinkage=0.0)
    np.testing.assert_array_equal(plain.projection, none.projection)
    rotated = fit_learned_whitening(*pairs, shrinkage=1.0).projection
    products = rotated @ rotated.T
    np.testing.assert_allclose(products, products[0, 0] * np.eye(24), atol=1e-6)


@pytest.mark.parametrize(
    ("query_rows", "positive_rows", "message"),
    [
        ([], [], r"query_rows: expected \(m >= 1,\) rows, found shape \(0,\)"),
        ([0, 1], [2], "2 query_rows cannot be paired with 1 positive_rows"),
        ([99], [0], "query_rows: expected rows 0 to 49, found 99"),
        ([0], [-1], "positive_rows: expected rows 0 to 49, found -1"),
    ],
)
def test_pairs_that_are_none_are_refused(
    query_rows: list[int], positive_rows: list[int], message: str
) -> None:
    with pytest.raises(IndexInputError, match=message):
        fit_learned_whitening(np.eye(50), query_rows, positive_rows)


def test_vectors_that_cannot_be_fitted_to_are_refused() -> None:
    x = np.eye(4)
    x[2, 1] = np.nan
    with pytest.raises(IndexInputError, match="row 2 holds nan"):
        fit_pca_whitening(x)
    with pytest.raises(IndexInputError, match="row 2 holds nan"):
        fit_learned_whitening(x, [0], [1])
    with pytest.raises(IndexInputError, match=r"found \(1, 4\)"):
        fit_pca_whitening(x[:1])


@pytest.mark.parametrize("dimensions", [-1, 0, 9])
def test_dimensions_that_a_whitening_lacks_are_refused(dimensions: int) -> None:
    whitening = fit_pca_whitening(np.eye(8))
    with pytest.raises(IndexInputError, match=f"expected 1 to 8, found {dimensions}"):
        whitening.apply(np.eye(8), dimensions)
