"""Deflated conjugate gradients: the right answer, in fewer steps."""

import numpy as np
import scipy.sparse.linalg as sla

import lemmata as lm
from lemmata.linear import (
    FLUID,
    SOLID,
    ConjugateGradients,
    DeflatedPCG,
    GridPoisson,
    Identity,
    IncompleteCholesky,
    Jacobi,
)


def obstacle(n, rtol=1e-11):
    cells = np.full((n, n + 1), FLUID)
    cells[2:5, 3:6] = SOLID
    rhs = np.random.default_rng(0).normal(size=cells.shape) * (cells == FLUID)
    return GridPoisson(cells, rhs, rtol=rtol)


def test_agrees_with_scipy():
    problem = obstacle(14)
    expected = sla.spsolve(problem.matrix().tocsc(), problem.rhs)
    prepared = IncompleteCholesky().prepared(problem)
    for method in (
        DeflatedPCG(),
        DeflatedPCG(vectors=4, krylov=60, preconditioner=prepared),
        ConjugateGradients(IncompleteCholesky()),
    ):
        found = lm.solve(problem, method)
        assert found.certified
        # rtol 1e-11 over a condition number near 100
        np.testing.assert_allclose(found.value.x, expected, atol=1e-8)


def test_takes_fewer_steps_than_without():
    problem = obstacle(24, 1e-8)
    plain = lm.solve(problem, ConjugateGradients(Jacobi())).stats.steps
    one = lm.solve(problem, DeflatedPCG(vectors=1, krylov=2)).stats.steps
    many = lm.solve(problem, DeflatedPCG(vectors=16)).stats.steps
    assert many < 0.7 * plain
    assert many < one


def test_more_vectors_than_the_space_has():
    """Lanczos stops where the Krylov space is exhausted; the answer is exact."""
    problem = GridPoisson([[1, 1]], [[1.0, 1.0]])
    found = lm.solve(problem, DeflatedPCG(preconditioner=Identity()))
    assert found.certified
    # (4 - 1) x = 1 for both cells
    np.testing.assert_allclose(found.value.x, [1 / 3, 1 / 3], rtol=1e-12)
