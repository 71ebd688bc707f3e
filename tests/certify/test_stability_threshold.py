"""The exact mean-square threshold against theory and against the r^2 x r^2 toy."""

import time
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.certify.stability_instances import (
    dense_threshold,
    second_moment_map,
    sparse_diagonal,
)

import lemmata as lm
from lemmata.certify import (
    DiagonalLinear,
    ExactMeanSquare,
    FrobeniusTest,
    GradientDescentTest,
    SGDStability,
    SimulateLinearised,
    TraceTest,
    TwoLayerReLU,
    mean_square_threshold,
)
from lemmata.certify._mean_square import Moments, coordinates, noise_share
from lemmata.core import certify


def thresholds(rows, size, replacement=False):
    """For a stack of problems of one shape."""
    with jax.enable_x64(True):
        return np.asarray(_thresholds(jnp.asarray(rows), size, replacement))


@partial(jax.jit, static_argnums=2)
def _thresholds(rows, size, replacement):
    return jax.vmap(lambda g: mean_square_threshold(g, size, replacement))(rows)


def at(problem, eta):
    return eqx.tree_at(lambda p: p.learning_rate, problem, eta)


@pytest.mark.parametrize("replacement", [False, True])
def test_maps_are_the_average_over_all_batches(replacement):
    rows = np.random.default_rng(0).normal(size=(4, 2, 5))
    eta, size = 0.3, 2
    with jax.enable_x64(True):
        found = coordinates(jnp.asarray(rows), 1e-10)
        moments = Moments(found.rows, found.spectrum, noise_share(4, size, replacement))
        m = np.random.default_rng(1).normal(size=(5, 5))
        m = m + m.T
        step = m - eta * 2 * moments.weight() * m + eta**2 * moments.noise(m)
        inside = np.asarray(found.rows)
    oracle = second_moment_map(inside, size, replacement, eta) @ m.reshape(-1)
    np.testing.assert_allclose(np.asarray(step).reshape(-1), oracle, atol=1e-11)


@pytest.mark.parametrize(
    ("shape", "size", "replacement"),
    [
        ((25, 5, 1, 12), 1, False),
        ((25, 5, 1, 12), 2, False),
        ((25, 5, 1, 12), 3, True),
        ((25, 6, 2, 4), 2, False),
    ],
)
def test_agrees_with_dense_eigenvalues(shape, size, replacement):
    """One hundred problems, rank deficient and overdetermined ones among them."""
    rows = np.random.default_rng(shape[1] + size).normal(size=shape)
    rows[0, 1] = rows[0, 0]  # a sample twice
    found = thresholds(rows, size, replacement)
    oracle = [dense_threshold(r, size, replacement) for r in rows]
    np.testing.assert_allclose(found, oracle, rtol=1e-9)


def test_orthogonal_gradients_meet_the_trace_bound():
    n, length = 5, 1.7
    rows = np.tile(length * np.eye(n, 12)[:, None], (25, 1, 1, 1))
    trace = length**2
    # to 1e-12: closed forms, a few roundings
    np.testing.assert_allclose(thresholds(rows, 1), 2 / trace, rtol=1e-12)
    np.testing.assert_allclose(thresholds(rows, n), 2 * n / length**2, rtol=1e-12)


def test_one_sample_is_gradient_descent():
    assert noise_share(1, 1, replacement=False) == 0
    assert noise_share(7, 7, replacement=False) == 0
    assert noise_share(7, 7, replacement=True) == 1 / 7


def test_grows_with_the_batch_up_to_gradient_descent():
    rows = np.random.default_rng(4).normal(size=(25, 5, 1, 12))
    each = np.array([thresholds(rows, size) for size in (1, 2, 5)])
    assert np.all(np.diff(each, axis=0) > 0)
    largest = [np.linalg.svd(r[:, 0])[1][0] ** 2 / 5 for r in rows]
    np.testing.assert_allclose(each[-1], 2 / np.array(largest), rtol=1e-12)
    trace = np.sum(rows**2, axis=(1, 2, 3)) / 5
    assert np.all(each[0] <= 2 / trace)


def test_trace_bound_needs_the_number_of_outputs():
    """With K outputs Tr G <= 2 B K / eta; without the K it is false."""
    n, outputs = 4, 3
    rows = np.zeros((1, n, outputs, n * outputs))
    for i in range(n):
        for k in range(outputs):
            rows[0, i, k, i * outputs + k] = 1.0
    eta, trace = dense_threshold(rows[0], 1, replacement=False), float(outputs)
    assert trace > 2 / eta * 1.5
    assert trace <= 2 * outputs / eta * (1 + 1e-12)


@pytest.mark.parametrize("size", [1, 4])
def test_both_proofs_stand_on_either_side_and_never_together(size):
    problem = sparse_diagonal(0.05, size)
    value = lm.solve(problem, ExactMeanSquare(), throw=False).value
    eta = float(value.max_learning_rate)
    for factor, holds in ((0.99, "sgd_stable"), (1.01, "sgd_unstable")):
        here = at(problem, eta * factor)
        bound = np.asarray(here.trace_bound * value.path_norm)
        bound = bound / here.norm_bound().weighted
        value = eqx.tree_at(lambda v: v.implied_norm_bound, value, bound)
        certificate = certify(here, value).certificate
        assert certificate.holds, str(certificate)
        ids = {d.id for d in certificate.decisions}
        both = {"certify.sgd_stable/1", "certify.sgd_unstable/1"}
        assert ids & both == {f"certify.{holds}/1"}


def test_network_and_callable_are_one_problem():
    """The judge's own gradients, those of autodiff, and rows handed in."""
    rng = np.random.default_rng(5)
    model = TwoLayerReLU()
    params = {"inner": rng.normal(size=(4, 3)), "outer": rng.normal(size=4)}
    inputs = rng.normal(size=(6, 3))
    targets = model.predictions(params, inputs)
    named = SGDStability(model, params, inputs, targets, 0.01)
    plain = SGDStability(lambda p, x: model(p, x), params, inputs, targets, 0.01)
    one, two = (lm.solve(p, throw=False) for p in (named, plain))
    # the same Gram matrix, rounded twice
    for name in ("max_learning_rate", "trace", "frobenius", "lambda_max"):
        a, b = (float(getattr(s.value, name)) for s in (one, two))
        assert a == pytest.approx(b, rel=1e-10)
    assert one.certified
    assert two.certified
    assumed = one.certificate["sgd_threshold"].assumptions
    assert assumed["coordinates span the gradients"] == "checked"
    assert assumed["gradient rows are the model's"] == "checked"
    assumed = two.certificate["sgd_threshold"].assumptions
    assert assumed["gradient rows are the model's"] == "unchecked"


@pytest.mark.slow
def test_fewer_parameters_than_samples():
    """r = p < n: the rows themselves are the coordinates, and nothing is unproved."""
    rows = np.random.default_rng(6).normal(size=(12, 3))
    solution = lm.solve(SGDStability.of_gradients(rows, 0.1, 4))
    found = solution.certificate["sgd_threshold"]
    assert found.assumptions["coordinates span the gradients"] == "checked"
    assert found.figures["phi"] == 0
    oracle = dense_threshold(rows[:, None], 4, replacement=False)
    assert float(solution.value.max_learning_rate) == pytest.approx(oracle, rel=1e-10)


def test_weak_directions_are_counted():
    rows = np.random.default_rng(7).normal(size=(5, 5))
    rows[4] = rows[3]
    solution = lm.solve(SGDStability.of_gradients(rows, 0.1, 2))
    figures = solution.certificate["sgd_threshold"].figures
    assert (figures["directions"], figures["left out"]) == (4, 1)
    assumed = solution.certificate["sgd_threshold"].assumptions
    assert assumed["coordinates span the gradients"] == "unchecked"


def test_graded_gradients_still_have_a_proof():
    """Singular values over six orders of magnitude."""
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(5, 5)) @ np.diag(10.0 ** -np.linspace(0, 6, 5))
    solution = lm.solve(SGDStability.of_gradients(rows, 0.1, 2), throw=False)
    assert solution.result.name == "converged"
    assert solution.certificate["sgd_threshold"].holds


def test_no_certificate_of_stability_away_from_a_minimum():
    problem = sparse_diagonal()
    moved = eqx.tree_at(lambda p: p.targets, problem, problem.targets + 0.1)
    solution = lm.solve(moved, throw=False)
    reasons = {w.id: w.reason for w in solution.certificate.withheld}
    assert "not a minimum" in reasons["certify.sgd_stable/1"]
    assert not solution.certificate["sgd_threshold"].detail
    allowed = sparse_diagonal(allow_residual=True)
    allowed = eqx.tree_at(lambda p: p.targets, allowed, problem.targets + 0.1)
    decision = lm.solve(allowed).certificate["sgd_stable"]
    assert decision.holds
    assert decision.assumptions["interpolating minimum"] == "unchecked"


@pytest.mark.parametrize(
    "method",
    [
        TraceTest(),
        FrobeniusTest(8),
        GradientDescentTest(),
        pytest.param(SimulateLinearised(50, 20), marks=pytest.mark.slow),
    ],
    ids=lambda m: type(m).__name__,
)
def test_necessary_conditions_lie_above_and_say_so(method):
    problem = sparse_diagonal(0.05, 2)
    exact = float(lm.solve(problem).value.max_learning_rate)
    solution = lm.solve(problem, method, throw=False)
    assert not solution.certificate["sgd_threshold"].holds
    assert solution.certificate["sgd_threshold"].figures["unstable above"] > exact
    assert solution.certificate["sgd_threshold"].figures["stable up to"] < exact
    if not isinstance(method, FrobeniusTest):
        assert float(solution.value.max_learning_rate) > exact


def test_trace_test_is_its_formula():
    problem = sparse_diagonal(0.05, 2)
    rows = np.asarray(problem.rows())[:, 0]
    n, hessian = len(rows), rows.T @ rows / len(rows)
    fourth = np.mean(np.sum(rows**2, axis=1) ** 2)
    c = (n - 2) / (2 * (n - 1))
    left = (1 - c) * np.sum(hessian**2) + c * fourth
    value = lm.solve(problem, TraceTest(), throw=False).value
    oracle = 2 * np.trace(hessian) / left
    assert float(value.max_learning_rate) == pytest.approx(oracle, rel=1e-12)


def test_expected_loss_obeys_the_alignment_identity():
    """E[L] after a step, batch of one, over all samples: what FrobeniusTest uses."""
    from lemmata.certify._stability_tests import noise_alignment

    rows = np.random.default_rng(9).normal(size=(4, 1, 4))
    with jax.enable_x64(True):
        found = coordinates(jnp.asarray(rows), 1e-10)
        d = np.random.default_rng(10).normal(size=4)
        mu = float(noise_alignment(found.rows, found.spectrum, jnp.asarray(d)))
        inside, spectrum = np.asarray(found.rows)[:, 0], np.asarray(found.spectrum)
    eta, loss = 0.7, lambda v: np.sum(spectrum * v * v) / 2
    after = np.mean([loss(d - eta * g * (g @ d)) for g in inside])
    full = loss(d - eta * spectrum * d)
    oracle = full + eta**2 * mu * np.sum(spectrum**2) * loss(d)
    assert after == pytest.approx(oracle, rel=1e-12)


@pytest.mark.slow
def test_squares_are_another_diagonal_network():
    rng = np.random.default_rng(12)
    model = DiagonalLinear(squares=True)
    params = {"first": rng.normal(size=8), "second": rng.normal(size=8)}
    inputs = rng.normal(size=(5, 8))
    targets = model.predictions(params, inputs)
    named = SGDStability(model, params, inputs, targets, 0.01, 2)
    gradient = np.concatenate(
        [2 * params["first"] * inputs, -2 * params["second"] * inputs], axis=1
    )
    solution = lm.solve(named)
    rows = gradient[None, :, None]
    oracle = dense_threshold(rows[0], 2, False)
    assert float(solution.value.max_learning_rate) == pytest.approx(oracle, rel=1e-9)
    assert solution.certificate["sgd_path_norm"].holds
    l1 = np.sum(np.abs(params["first"] ** 2 - params["second"] ** 2))
    assert float(solution.value.path_norm) == pytest.approx(l1, rel=1e-12)


@pytest.mark.slow
def test_five_hundred_samples_of_ten_thousand_parameters():
    rows = np.random.default_rng(13).normal(size=(500, 10_000)) / 100
    begun = time.process_time()
    solution = lm.solve(SGDStability.of_gradients(rows, 0.1, 8))
    assert solution.certified
    # of this process alone: a loaded machine makes the clock on the wall say more
    assert time.process_time() - begun < 60
