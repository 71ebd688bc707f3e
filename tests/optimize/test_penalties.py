"""Penalties: proximal steps, models and gaps against brute force on a grid."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata.optimize import L1, Box, NonNegative, NonNegativeL1, Unpenalised

PENALTIES = {
    "unpenalised": Unpenalised(),
    "l1": L1(0.7),
    "l1 each": L1(np.array([0.7, 0.0, 0.2])),
    "non-negative": NonNegative(),
    "non-negative l1": NonNegativeL1(0.4),
    "box": Box(-0.5, np.array([0.2, np.inf, -0.1])),
}
numbers = st.floats(-3, 3)


@eqx.filter_jit
def probe(penalty, start, slope, curvature):
    x = penalty.prox(jnp.full(3, start), 1e-9)
    g, c = jnp.full(3, slope), jnp.full(3, curvature)
    return (
        x,
        penalty.prox(x, 1 / curvature),
        *penalty.decrease(x, g, c),
        penalty.separable_gap(x, g, c),
        penalty.separable_gap(x, g, 0.0),
    )


def at(penalty, j):
    return [float(np.broadcast_to(np.asarray(t), (3,))[j]) for t in penalty.terms()]


def grid(penalty, j, near):
    """Points of the coordinate's interval, the kink and the ends among them."""
    _, lower, upper = at(penalty, j)
    points = np.concatenate([np.linspace(-30, 30, 3001), [0.0, lower, upper, near]])
    return points[np.isfinite(points) & (points >= lower) & (points <= upper)]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(PENALTIES)), numbers, numbers, st.floats(0.1, 3))
def test_prox_and_models_are_optimal(name, start, slope, curvature):
    penalty = PENALTIES[name]
    with jax.enable_x64(True):
        given = (jnp.asarray(v, jnp.float64) for v in (start, slope, curvature))
        found = probe(penalty, *given)
        x, moved, decrease, d, gap, flat = (np.asarray(part) for part in found)
    for j in range(3):
        strength, _, _ = at(penalty, j)

        def cost(z, j=j, s=strength):
            return curvature / 2 * (z - x[j]) ** 2 + s * np.abs(z)

        def gain(z, c, j=j, s=strength):
            step = z - x[j]
            return -(slope * step + c / 2 * step**2 + s * (np.abs(z) - abs(x[j])))

        points = grid(penalty, j, x[j])
        assert cost(moved[j]) <= cost(points).min() + 1e-12
        assert gain(points, curvature).max() <= decrease[j] + 1e-12
        # rounding of a few terms, relative to the largest of them
        gained = gain(x[j] + d[j], curvature)
        assert gained == pytest.approx(decrease[j], rel=1e-13, abs=1e-13)
        assert gap[j] == pytest.approx(float(decrease[j]), abs=1e-12)
        assert gain(points, 0.0).max() <= flat[j] + 1e-12
        if np.isfinite(flat[j]):
            assert flat[j] <= gain(points, 0.0).max() + 1e-12


def test_residual_is_zero_at_minimisers_of_the_model_only():
    g = np.array([1.3, -0.1, 0.5])
    with jax.enable_x64(True):
        for penalty in PENALTIES.values():
            x = np.asarray(penalty.prox(-g, 1.0))  # minimises g z + z^2 / 2 + pen(z)
            residual = np.asarray(penalty.residual(x, g + x))
            np.testing.assert_allclose(residual, 0.0, atol=1e-15)
            assert np.any(np.asarray(penalty.residual(x, g + x + 2.0)) > 1.0) or (
                penalty.terms()[1] is not None and np.all(x <= penalty.terms()[1])
            )


def test_zeros_are_exact_and_masked_coordinates_are_free():
    with jax.enable_x64(True):
        penalty = L1(np.array([0.7, 0.0, 0.2]))
        block = np.array([0, 2, 3])  # 3: no coordinate
        moved = np.asarray(penalty.prox(np.array([0.6, 0.1, 5.0]), 1.0, block))
    assert moved.tolist() == [0.0, 0.0, 5.0]
    assert not np.signbit(moved[:2]).any()


def test_a_column_of_zeros_is_never_divided_by():
    with jax.enable_x64(True):
        decrease, d = L1(0.5).decrease(np.array([2.0]), np.zeros(1), np.zeros(1))
    assert float(decrease[0]) > 0
    assert np.all(np.isfinite(np.asarray(d)))
