"""Costs: matrices, points, and the passes over blocks of their rows."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from lemmata.core._arrays import to_jax
from lemmata.transport import (
    Cityblock,
    EntropicTransport,
    Euclidean,
    MatrixCost,
    PointCost,
    SquaredEuclidean,
    _passes as passes,
)
from lemmata.transport._cost import unpack_cost

METRICS = (SquaredEuclidean(), Euclidean(), Cityblock())


def points(n=7, m=5, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d))


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
@pytest.mark.parametrize("d", [3, 12])  # unrolled, and by a compiled loop
def test_points_agree_with_scipy(metric, d):
    x, y = points(d=d)
    cost = PointCost(x, y, metric, scale=0.7)
    expected = 0.7 * cdist(x, y, metric.name)
    # A sum of d terms of one sign: relative error about d u.
    np.testing.assert_allclose(cost.matrix(), expected, rtol=1e-14)
    with jax.enable_x64(True):
        traced = jax.jit(lambda c: c.rows(jnp.asarray(2), 4))(to_jax(cost))
        np.testing.assert_allclose(traced, expected[2:6], rtol=1e-14)
    np.testing.assert_allclose(
        cost.entries(np.array([3, 0]), np.array([1, 4])),
        [expected[3, 1], expected[0, 4]],
        rtol=1e-14,
    )


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_exact_rows_are_exact(metric):
    x, y = points()
    with jax.enable_x64(True):
        cost = to_jax(PointCost(x, y, metric, scale=0.7))
        high, low = map(np.asarray, jax.jit(lambda c: c.exact_rows(0, 7))(cost))
    for i, j in np.ndindex(7, 5):
        gaps = [Fraction(a) - Fraction(b) for a, b in zip(x[i], y[j], strict=True)]
        found = Fraction(high[i, j]) + Fraction(low[i, j])
        if metric.name == "cityblock":
            exact = Fraction(0.7) * sum(map(abs, gaps))
        else:
            exact = sum(g * g for g in gaps)
            if metric.name == "euclidean":
                found, exact = found**2, Fraction(0.7) ** 2 * exact
            else:
                exact *= Fraction(0.7)
        # Pairs carry about 2^-78 relatively; float64 alone would miss this.
        assert abs(found - exact) <= exact * Fraction(2) ** -74


def test_packing_goes_there_and_back():
    x, y = points()
    parameters, arrays = PointCost(x, y, Cityblock(), 2.0).pack()
    assert parameters == {"metric": "cityblock", "cost_scale": 2.0}
    again = unpack_cost(dict(parameters), dict(arrays))
    np.testing.assert_array_equal(again.source_points, x)
    assert again.metric == Cityblock()
    assert again.scale == 2.0
    _, arrays = MatrixCost(np.eye(2)).pack()
    np.testing.assert_array_equal(unpack_cost({}, arrays).matrix(), np.eye(2))


def test_spread_bound_is_one():
    x, y = points()
    for metric in METRICS:
        cost = PointCost(x, y, metric, 3.0)
        assert cost.spread_bound() >= np.ptp(cost.matrix())


@pytest.fixture
def blocks(monkeypatch):
    """Blocks of three rows, the last of which overlaps its predecessor."""
    monkeypatch.setattr(passes, "_WHOLE", 1)
    monkeypatch.setattr(passes, "_BLOCK", 3 * 5)


def test_blocked_passes_agree_with_scipy(blocks):
    x, y = points()
    rng = np.random.default_rng(1)
    source, target = rng.random(7), rng.random(5)
    source[2] = target[0] = 0.0
    problem = EntropicTransport(
        PointCost(x, y), source, target * source.sum() / target.sum(), epsilon=0.1
    )
    cost = problem.cost.matrix()
    r, c = source / source.sum(), target / target.sum()
    u, v = rng.normal(size=7), rng.normal(size=5)
    with jax.enable_x64(True):
        traced, scalings = to_jax(problem), to_jax(problem).scalings()
        assert passes.block_size(traced.cost) == 3
        found_x, sums, _ = passes.row_update(traced.cost, scalings, jnp.asarray(v))
        found_y = passes.column_update(traced.cost, scalings, jnp.asarray(u))
        low, high = map(float, passes.extremes(traced.cost))
        live = jnp.asarray(r > 0)
        transform = passes.c_transform(traced.cost, jnp.asarray(u), live)
        row_sums, column_sums = passes.sums_of_plan(
            traced.cost, scalings, jnp.asarray(u), jnp.asarray(v)
        )
    exponent = np.where(c > 0, (v - cost) / 0.1, -np.inf)
    expected = 0.1 * (np.log(r[r > 0]) + 1 - logsumexp(exponent, axis=1)[r > 0])
    # Exponents up to about 100, rounded: 1e-14 in units of the cost.
    np.testing.assert_allclose(np.asarray(found_x)[r > 0], expected, atol=1e-13)
    plan = np.exp(np.asarray(found_x)[:, None] / 0.1 + exponent - 1) * (r > 0)[:, None]
    np.testing.assert_allclose(sums, plan.sum(axis=0), rtol=1e-12)
    exponent = np.where(r[:, None] > 0, (u[:, None] - cost) / 0.1, -np.inf)
    expected = 0.1 * (np.log(c[c > 0]) + 1 - logsumexp(exponent, axis=0)[c > 0])
    np.testing.assert_allclose(np.asarray(found_y)[c > 0], expected, atol=1e-13)
    assert (low, high) == (cost.min(), cost.max())
    np.testing.assert_allclose(transform, (cost - u[:, None])[r > 0].min(axis=0))
    plan = np.exp((u[:, None] + v - cost) / 0.1 - 1) * np.outer(r > 0, c > 0)
    np.testing.assert_allclose(row_sums, plan.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(column_sums, plan.sum(axis=0), rtol=1e-12)
    assert passes.host_extremes(problem.cost) == (cost.min(), cost.max())
