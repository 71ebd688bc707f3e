"""Pairs against exact rationals, compiled: contraction must not break them."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lemmata.numerics import doubledouble as dd

rng = np.random.default_rng(0)
A = rng.normal(size=300) * 10.0 ** rng.integers(-8, 9, 300)
B = rng.normal(size=300) * 10.0 ** rng.integers(-8, 9, 300)


def exact(pair):
    return [Fraction(h) + Fraction(low) for h, low in zip(*pair, strict=True)]


def compiled(function, *arrays):
    with jax.enable_x64(True):
        return [
            np.asarray(p).tolist()
            for p in jax.jit(function)(*(jnp.asarray(a) for a in arrays))
        ]


@pytest.mark.parametrize(
    ("function", "truth", "bits"),
    [
        (dd.two_sum, lambda a, b: a + b, 2000),  # exact
        (dd.two_product, lambda a, b: a * b, 76),
        (lambda a, b: dd.multiply(dd.two_sum(a, b), (b, 0 * b)), None, 74),
        (lambda a, b: dd.reciprocal(a), lambda a, b: 1 / a, 76),
    ],
    ids=["sum", "product", "chain", "reciprocal"],
)
def test_against_fractions(function, truth, bits):
    found = exact(compiled(function, A, B))
    for got, a, b in zip(found, map(Fraction, A), map(Fraction, B), strict=True):
        want = truth(a, b) if truth else (a + b) * b
        assert abs(got - want) <= abs(want) * Fraction(2) ** -bits


def test_square_root():
    values = np.append(np.abs(A), 0.0)
    found = exact(compiled(lambda a: dd.square_root((a, 0 * a)), values))
    assert found[-1] == 0
    for got, a in zip(found, map(Fraction, values), strict=True):
        assert abs(got**2 - a) <= a * Fraction(2) ** -98


def test_sum_survives_cancellation():
    values = np.concatenate([A, -A, [2.0**-40]])
    high, low = compiled(dd.accurate_sum, values)
    assert Fraction(high) + Fraction(low) == Fraction(2) ** -40
