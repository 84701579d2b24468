"""Whitening learned from vectors and from pairs."""

from pathlib import Path

import numpy as np
import pytest

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
