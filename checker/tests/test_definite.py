"""Eigenvalue bounds against exact elimination in fractions."""

import math
from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lemmata_checker.definite import (
    _shown,
    frobenius_norm,
    greatest_eigenvalue,
    least_eigenvalue,
    least_pencil,
    least_singular_value,
    spectral_norm,
)
from lemmata_checker.rigor import U

SIZES, SEEDS = st.integers(1, 6), st.integers(0, 2**32 - 1)


def exactly_definite(matrix) -> bool:
    """Whether a symmetric matrix of fractions is positive definite (LDL^T)."""
    rows = [list(row) for row in matrix]
    n = len(rows)
    for k in range(n):
        if rows[k][k] <= 0:
            return False
        for i in range(k + 1, n):
            ratio = rows[i][k] / rows[k][k]
            for j in range(k, n):
                rows[i][j] -= ratio * rows[k][j]
    return True


def fractions(matrix):
    return [[F(float(v)) for v in row] for row in np.asarray(matrix)]


def minus(matrix, shift):
    """Exact matrix - shift I."""
    return [
        [v - (F(shift) if i == j else 0) for j, v in enumerate(row)]
        for i, row in enumerate(fractions(matrix))
    ]


def gram(matrix):
    rows = fractions(np.asarray(matrix).T)
    return [[sum(a * b for a, b in zip(r, s, strict=True)) for s in rows] for r in rows]


def symmetric(n, seed, spread=3.0):
    """Symmetric with eigenvalues over several orders of magnitude."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(n, n)))
    matrix = (basis * 10 ** rng.uniform(-spread, spread, n)) @ basis.T
    return (matrix + matrix.T) / 2


@given(SIZES, SEEDS, st.sampled_from([1.0, -1.0]))
def test_least_eigenvalue_is_below_and_close(n, seed, sign):
    matrix = sign * symmetric(n, seed)
    bound = least_eigenvalue(matrix)
    # strictly below, since the bound pays for rounding that did not happen
    assert exactly_definite(minus(matrix, bound))
    true = np.linalg.eigvalsh(matrix)[0]
    assert bound >= true - 1e-13 * n**2 * np.abs(matrix).max() * 10


@given(SIZES, SEEDS)
def test_greatest_eigenvalue_is_above(n, seed):
    matrix = symmetric(n, seed)
    bound = greatest_eigenvalue(matrix)
    negated = [[-v for v in row] for row in minus(matrix, bound)]
    assert exactly_definite(negated)


@given(st.integers(1, 5), st.integers(1, 5), SEEDS)
def test_spectral_norm_is_above_and_close(m, n, seed):
    matrix = np.random.default_rng(seed).normal(size=(m, n))
    bound = spectral_norm(matrix)
    square = F(bound) ** 2
    exact = [
        [(square if i == j else 0) - v for j, v in enumerate(row)]
        for i, row in enumerate(gram(matrix))
    ]
    assert exactly_definite(exact)
    assert bound <= np.linalg.norm(matrix, 2) * (1 + 1e-12)


@given(st.integers(1, 5), st.integers(1, 5), SEEDS)
def test_least_singular_value_is_below(m, n, seed):
    matrix = np.random.default_rng(seed).normal(size=(max(m, n), min(m, n)))
    bound = least_singular_value(matrix)
    if bound <= 0:  # nearly singular: nothing was shown
        assert np.linalg.svd(matrix)[1][-1] < 1e-10
        return
    square = F(bound) ** 2
    exact = [
        [v - (square if i == j else 0) for j, v in enumerate(row)]
        for i, row in enumerate(gram(matrix))
    ]
    assert exactly_definite(exact)
    assert bound >= np.linalg.svd(matrix)[1][-1] * (1 - 1e-8)


@given(SIZES, SEEDS)
def test_pencil(n, seed):
    h, d = symmetric(n, seed, 1.0), symmetric(n, seed + 1, 1.0)
    bound = least_pencil(h, d)
    assert bound > 0
    left, right = fractions(h), fractions(d)
    exact = [
        [a - F(bound) * b for a, b in zip(r, s, strict=True)]
        for r, s in zip(left, right, strict=True)
    ]
    assert exactly_definite(exact)
    assert bound >= np.min(np.linalg.eigvals(np.linalg.solve(d, h)).real) * (1 - 1e-2)


def test_a_computed_gram_matrix_that_is_singular_is_not_called_definite():
    rows = np.random.default_rng(0).normal(size=(3, 6))
    assert least_eigenvalue(rows.T @ rows) <= 0
    assert least_singular_value(np.ones((4, 4))) <= 0


def test_error_is_paid_for():
    matrix = np.diag([1.0, 2.0])
    assert least_eigenvalue(matrix, 0.25) == pytest.approx(0.75, abs=1e-13)
    assert spectral_norm(matrix, 0.25) == pytest.approx(2.25, abs=1e-13)
    assert least_singular_value(matrix, 0.25) == pytest.approx(0.75, abs=1e-13)


def test_an_asymmetric_matrix_is_judged_by_its_symmetric_part():
    matrix = np.array([[1.0, 3.0], [0.0, 1.0]])
    assert least_eigenvalue(matrix) == pytest.approx(-0.5, abs=1e-13)
    assert least_eigenvalue(matrix) < -0.5


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_scale_does_not_matter(scale):
    matrix = symmetric(4, 3, 1.0)
    bound = least_eigenvalue(matrix * scale)
    assert bound == pytest.approx(least_eigenvalue(matrix) * scale, rel=1e-9)
    assert exactly_definite(minus(matrix * scale, bound))


@pytest.mark.parametrize(
    "matrix",
    [
        np.array([[1.0, np.nan], [np.nan, 1.0]]),
        np.array([[np.inf]]),
        np.ones((2, 3)),
        np.ones(3),
        np.ones((2, 2), dtype=np.float32),
    ],
)
def test_what_cannot_be_judged_shows_nothing(matrix):
    assert least_eigenvalue(matrix) == -math.inf


def test_empty_and_zero():
    assert least_eigenvalue(np.zeros((0, 0))) == math.inf
    assert -1e-290 < least_eigenvalue(np.zeros((3, 3))) <= 0
    assert 0 <= spectral_norm(np.zeros((3, 2))) < 1e-290
    assert frobenius_norm(np.zeros((3, 2))) == 0


def test_a_factorisation_pays_for_its_rounding():
    """Cholesky runs to its end on matrices that are singular, and a little beyond."""
    run = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        factor = rng.integers(-9, 10, (4, 3)) * 2.0 ** rng.integers(0, 16, 3)
        singular = factor @ factor.T  # integers below 2^53: exact, and of rank 3
        unit = U * float(np.max(np.diagonal(singular)))
        for share in (0.1, 0.5, 1.05, 1.2, 1.5):
            bound = _shown(singular, share * unit)
            run += bound > -math.inf
            assert bound <= 0
    assert run > 100


def test_a_long_column_pays_for_its_sum():
    """1 and many numbers whose squares are below its rounding."""
    column = np.full((2**20, 1), 2.0**-27)
    column[0] = 1.0
    square = 1 + F(2**20 - 1, 2**54)
    assert F(spectral_norm(column)) ** 2 >= square


def test_a_pencil_pays_for_forming_its_difference():
    shown = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        turn = np.array([[1.0, rng.normal()], [0.0, 1.0]])
        d = turn.T @ np.diag([1.0, 2.0 ** -rng.integers(20, 45)]) @ turn
        h = (1 + rng.uniform()) * d
        h[0, 1] = h[1, 0]
        d[0, 1] = d[1, 0]
        s = least_pencil(h, d)
        if s == -math.inf:
            continue
        shown += 1
        entries = ((0, 0), (0, 1), (1, 1))
        a, b, c = (F(h[i]) - F(s) * F(d[i]) for i in entries)
        assert a >= 0
        assert c >= 0
        assert a * c >= b * b
    assert shown > 0
