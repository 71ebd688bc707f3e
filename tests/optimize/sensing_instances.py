"""Planted instances that the tests of matrix sensing share."""

import numpy as np

from lemmata.optimize import GaussianOperator, IdentityOperator, LowRank, Planted

SIGMA = (1.0, 0.75, 0.5)


def semidefinite(n=50, sigma=SIGMA, seed=0) -> LowRank:
    """U diag(sigma) U', U orthonormal."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(n, len(sigma))))[0]
    factor = basis * np.sqrt(sigma)
    return LowRank(factor, factor)


def population(n=50, sigma=SIGMA, seed=0, **options) -> Planted:
    """The matrix itself is measured."""
    truth = semidefinite(n, sigma, seed)
    return Planted.of(IdentityOperator((n, n)), truth, psd=True, **options)


def sensed(n=50, count=1500, **options) -> Planted:
    """`count` Gaussian measurements of the same matrix."""
    operator = GaussianOperator((n, n), count, key=1)
    return Planted.of(operator, semidefinite(n), psd=True, **options)


def slope(x, y) -> float:
    """Least squares, by NumPy."""
    return float(np.polyfit(x, y, 1)[0])
