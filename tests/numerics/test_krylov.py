"""Conjugate gradients: definite, singular, limited."""

import jax
import jax.numpy as jnp
import numpy as np

from lemmata.numerics.krylov import conjugate_gradients


def laplacian(n):
    """Path graph: singular, null vector of ones."""
    matrix = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    matrix[0, 0] = matrix[-1, -1] = 1
    return matrix


def solve(matrix, rhs, **options):
    with jax.enable_x64(True):
        matrix = jnp.asarray(matrix)
        found = conjugate_gradients(
            lambda v: matrix @ v,
            jnp.asarray(rhs),
            diagonal=jnp.diag(matrix),
            **({"rtol": 1e-12, "max_steps": 200} | options),
        )
        return jax.tree.map(np.asarray, found)


def test_definite():
    rng = np.random.default_rng(0)
    matrix = laplacian(20) + np.diag(rng.random(20))
    rhs = rng.normal(size=20)
    found = solve(matrix, rhs)
    np.testing.assert_allclose(found.solution, np.linalg.solve(matrix, rhs), rtol=1e-9)
    assert found.steps <= 25  # n in exact arithmetic
    assert found.residual <= 1e-12 * np.linalg.norm(rhs)


def test_singular_but_consistent_after_projection():
    rng = np.random.default_rng(0)
    rhs = rng.normal(size=20)
    found = solve(laplacian(20), rhs, project=lambda v: v - jnp.mean(v))
    expected = np.linalg.pinv(laplacian(20)) @ rhs
    centred = found.solution - found.solution.mean()
    np.testing.assert_allclose(centred, expected, rtol=1e-8, atol=1e-9)


def test_limits():
    assert solve(laplacian(20) + np.eye(20), np.ones(20), max_steps=3).steps <= 3
    none = solve(np.eye(3), np.zeros(3))
    assert none.steps == 0
    np.testing.assert_array_equal(none.solution, 0)
    # No curvature: stops, finite, instead of dividing by zero.
    stuck = solve(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.ones(2))
    assert np.all(np.isfinite(stuck.solution))
