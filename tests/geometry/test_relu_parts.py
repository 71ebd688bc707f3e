"""Parts of convex training: patterns, cones, linear systems, losses, recovery."""

from math import comb
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import minimize_scalar, nnls

from lemmata.geometry import ADMM, DenseCholesky, Exact, Given, Sampled, Woodbury
from lemmata.geometry._relu_arrangement import cells, regions_bound
from lemmata.geometry._relu_cones import Cones
from lemmata.geometry._relu_linear import margins, predict, pull, unmargins
from lemmata.geometry._relu_losses import Loss
from lemmata.geometry._relu_network import balanced, merged, weights_of


def patterns_by_angle(x):
    """All patterns in the plane, from a fine sweep: independent of the enumeration."""
    angle = np.linspace(0, 2 * np.pi, 200_001)
    h = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return {row.tobytes() for row in np.packbits(h @ x.T >= 0, axis=1)}


def test_exact_patterns_in_the_plane_are_those_of_a_sweep():
    x = np.random.default_rng(0).normal(size=(9, 2))
    found = Exact().of(x)
    assert len(found.active) == 18 == regions_bound(x)
    packed = {row.tobytes() for row in np.packbits(found.active, axis=1)}
    assert packed == patterns_by_angle(x)


@pytest.mark.parametrize(("n", "d"), [(7, 3), (6, 4)])
def test_general_position_has_covers_number_of_cells(n, d):
    x = np.random.default_rng(n).normal(size=(n, d))
    found = Exact().of(x)
    assert len(found.active) == 2 * sum(comb(n - 1, k) for k in range(d))
    np.testing.assert_array_equal(found.directions @ x.T >= 0, found.active)


def test_degenerate_rows_and_low_rank():
    """Three planes through one line in space, a copy, a zero row: 6 cells."""
    x = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [2, 2, 0], [0, 0, 0]], float)
    assert len(cells(x)) == 6
    rows = np.random.default_rng(1).normal(size=(5, 2)) @ np.ones((2, 4)) * 1.0
    assert len(Exact().of(rows).active) == 2  # rank one: a line and its two sides


def test_sampled_patterns_repeat_and_widen_with_a_radius():
    x = np.random.default_rng(2).normal(size=(20, 3))
    one, two = Sampled(8, key=3).of(x), Sampled(8, key=3).of(x)
    np.testing.assert_array_equal(one.active, two.active)
    wide = Sampled(8, key=3, radius=0.5, draws=3).of(x)
    assert len(wide.active) > len(one.active)
    assert wide.directions is None
    given_ = Given(directions=one.directions).of(x)
    np.testing.assert_array_equal(given_.active, one.active)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 25))
def test_projections_agree_with_non_negative_least_squares(seed, d, n):
    """Warm starts, repeated rows and zero rows included."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(n, d)), 1)  # rounding makes rows meet
    x[rng.integers(n)] = x[0]
    x[rng.integers(n)] *= rng.integers(0, 2)
    e = np.where(rng.normal(size=(3, d)) @ x.T >= 0, 1.0, -1.0)
    cones = Cones(x, e, np.zeros((3, n), bool))
    first = rng.normal(size=(3, d))
    for spread in (0.0, 0.1, 0.1 + 1e-9):
        z = first + spread
        face = cones.project(np.arange(3), z)
        for i in range(3):
            mu, distance = nnls((e[i][:, None] * x).T, -z[i])
            expected = z[i] + (e[i][:, None] * x).T @ mu
            size = np.linalg.norm(z[i])
            # SLACK of the method, a few times, on data of size one
            np.testing.assert_allclose(face.point[i], expected, atol=1e-10 * size)
            rows, own = cones.multipliers(i, z[i])
            again = z[i] + (e[i, rows, None] * x[rows]).T @ own
            np.testing.assert_allclose(again, expected, atol=1e-10 * size)
            assert np.all(own >= 0)


def test_woodbury_and_cholesky_agree():
    """To 1e-9, at two penalties."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(20, 3))
    d = Sampled(6).of(x).active
    right = rng.normal(size=(2 * len(d), 3))
    with jax.enable_x64(True):
        for weight in (1.0, 0.05):
            one = Woodbury().factor(x, d, weight).solve(x, d, right)
            two = DenseCholesky().factor(x, d, weight).solve(x, d, right)
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-9)
            back = weight * pull(x, d, predict(x, d, one)) + one
            back = back + unmargins(x, d, margins(x, d, one))
            np.testing.assert_allclose(back, right, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["squared", "hinge", "logistic"])
@pytest.mark.parametrize("step", [0.1, 30.0])
def test_proximal_maps_minimise(name, step):
    loss = Loss(name, 2.0 if name == "logistic" else 1.0)
    y = np.array([1.0, -1.0, 1.0, -1.0])
    w = np.array([-40.0, 3.0, 0.5, 1.0])
    found = loss.prox(w, step, y)
    for k in range(4):
        at = minimize_scalar(
            lambda f, k=k: (
                loss.value(np.array([f]), y[k : k + 1]) + (f - w[k]) ** 2 / (2 * step)
            ),
            bounds=(-80, 80),
            method="bounded",
            options={"xatol": 1e-10},
        )
        # a flat minimum is found to the square root of rounding
        assert found[k] == pytest.approx(at.x, abs=2e-6)


@pytest.mark.parametrize("name", ["squared", "hinge", "logistic"])
def test_conjugates_meet_the_loss(name):
    """Fenchel: l(f) + l*(-theta) = -theta f at theta = -l'(f), more elsewhere."""
    loss = Loss(name, 2.0 if name == "logistic" else 1.0)
    rng = np.random.default_rng(5)
    y, f = np.sign(rng.normal(size=6)), rng.normal(size=6)
    theta = loss.dual_point(f, y)
    gap = loss.value(f, y) - loss.dual(theta, y) + theta @ f
    assert gap == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(loss.admissible(theta, y), theta, rtol=1e-14)
    other = loss.admissible(theta + 0.3 * rng.normal(size=6), y)
    assert loss.value(f, y) - loss.dual(other, y) + other @ f > 1e-4


def test_recovered_weights_cost_what_the_vectors_do():
    rng = np.random.default_rng(6)
    v, sign = rng.normal(size=(3, 2)), np.array([1.0, -1.0, 1.0])
    u, a = weights_of(v, sign)
    size = 0.5 * (np.sum(u**2) + np.sum(a**2))
    assert size == pytest.approx(np.sum(np.linalg.norm(v, axis=1)), rel=1e-14)
    np.testing.assert_allclose(np.abs(a)[:, None] * u, v, rtol=1e-14)


def test_merging_and_balancing_keep_the_function_and_save_decay():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(12, 2))
    u, a = rng.normal(size=(30, 2)), rng.normal(size=30)
    f = np.maximum(x @ u.T, 0) @ a
    size = np.sum(u**2) + np.sum(a**2)
    for better in (balanced(u, a), merged(x, *balanced(u, a))):
        np.testing.assert_allclose(np.maximum(x @ better[0].T, 0) @ better[1], f)
        assert np.sum(better[0] ** 2) + np.sum(better[1] ** 2) < size
        size = np.sum(better[0] ** 2) + np.sum(better[1] ** 2)
    assert len(better[1]) < 30


def test_the_larger_residual_is_recorded():
    """Rates rest on it: neither side may hide behind the other."""
    best = SimpleNamespace(cost=1.0, lower=0.5)
    problem = SimpleNamespace(
        inputs=np.zeros((4, 2)), criterion=SimpleNamespace(share=lambda n: 1 / n)
    )
    for primal, dual in ((1e-3, 1e-5), (1e-5, 1e-3)):
        at = SimpleNamespace(primal=primal, dual=dual, best=best, penalty=1.0)
        found = ADMM().observe(problem, SimpleNamespace(split=at))
        assert float(found["residual"]) == pytest.approx(1e-3)
