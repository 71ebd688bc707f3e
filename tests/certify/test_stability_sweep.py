"""Minima that SGD reaches: the table, its claims, and the escape from a sharp one."""

import dataclasses

import jax
import numpy as np
import pytest

import lemmata as lm
from lemmata.certify import (
    DiagonalLinear,
    SGDTraining,
    StabilitySweep,
    TwoLayerReLU,
)
from lemmata.certify._stability_training import batches
from lemmata.core import certify

MODEL = DiagonalLinear(squares=True)


def sparse_regression(rates, sizes=(1,), n=40, d=100, **options) -> StabilitySweep:
    rng = np.random.default_rng(0)
    truth = np.where(np.arange(d) < 5, 1.0, 0.0)
    inputs, fresh = rng.normal(size=(n, d)), rng.normal(size=(300, d))
    return StabilitySweep(
        MODEL,
        inputs,
        inputs @ truth,
        rates,
        sizes,
        options.pop("scales", (0.3,)),
        fresh,
        fresh @ truth,
        **options,
    )


@pytest.fixture(scope="module")
def small():
    problem = sparse_regression((0.02, 0.05), (1, 8), n=8, d=12, loss_tol=1e-6)
    return problem, lm.solve(problem, SGDTraining(updates_per_step=200))


def test_table_is_that_of_the_weights(small):
    problem, solution = small
    value = solution.value
    assert solution.certified
    assert solution.certificate["sgd_selection"].measured == 1
    again = problem.candidate(weights=value.weights)
    for name, array in again.pack().items():
        np.testing.assert_allclose(array, value.pack()[name], rtol=1e-8, atol=1e-20)
    np.testing.assert_array_equal(value.learning_rate, [0.02, 0.02, 0.05, 0.05])
    np.testing.assert_array_equal(value.batch_size, [1, 8, 1, 8])
    params = value.params(3)
    w = params["first"] ** 2 - params["second"] ** 2
    away = problem.inputs @ w - problem.targets
    loss = np.mean(away**2) / np.mean(problem.targets**2)
    assert value.loss[3] == pytest.approx(loss, rel=1e-8)
    assert value.norm[3] == pytest.approx(np.sum(np.abs(w)), rel=1e-12)


@pytest.mark.parametrize("name", ["trace", "norm", "loss", "test_loss", "first"])
def test_altered_tables_are_refused(small, name):
    problem, solution = small
    arrays = solution.value.pack()
    arrays[name] = arrays[name] * 1.01
    decisions = certify(problem, problem.value_from(arrays)).certificate.decisions
    assert not any(d.holds for d in decisions)


def test_another_grid_is_refused(small):
    problem, solution = small
    arrays = solution.value.pack()
    arrays["learning_rate"] = arrays["learning_rate"] / 2
    decisions = certify(problem, problem.value_from(arrays)).certificate.decisions
    assert not any(d.holds for d in decisions)


def test_full_batches_are_gradient_descent(small):
    """One run of the table, again in NumPy."""
    problem, solution = small
    x, y = problem.inputs, problem.targets
    u, v = np.full(12, 0.3), np.full(12, 0.3)
    scale = np.mean(y**2)
    while np.mean((x @ (u**2 - v**2) - y) ** 2) / scale > problem.loss_tol:
        pull = 2 * x.T @ (x @ (u**2 - v**2) - y) / len(x)
        u, v = u - 0.05 * pull * u, v + 0.05 * pull * v
    params = solution.value.params(3)
    np.testing.assert_allclose(params["first"], u, rtol=1e-9)
    np.testing.assert_allclose(params["second"], v, rtol=1e-9)


@pytest.mark.parametrize("replacement", [False, True])
def test_batches_have_the_right_moments(replacement):
    sizes, n, draws = np.array([1.0, 3.0]), 4, 4000
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), draws)
        found = np.asarray(jax.vmap(lambda k: batches(k, n, sizes, replacement))(keys))
    np.testing.assert_allclose(found.sum(axis=2), 1.0)
    # standard error of a mean: 0.5 / sqrt(4000) = 0.008
    np.testing.assert_allclose(found.mean(axis=0), 1 / n, atol=0.03)
    share = (n - sizes) / (sizes * (n - 1))
    share = np.where(replacement, 1 / sizes, share)
    # Var of a weight is c (1/n) (1 - 1/n): the c of the second-moment map
    variance = share * (1 / n) * (1 - 1 / n)
    np.testing.assert_allclose(found.var(axis=0).mean(axis=1), variance, rtol=0.06)


def test_unpacks_what_it_packs():
    start = {"inner": np.ones((3, 2)), "outer": np.ones(3)}
    inputs = np.array([[1.0, 2.0], [0.5, -1.0]])
    problem = StabilitySweep(
        TwoLayerReLU(), inputs, np.ones(2), [0.1], [1, 2], [0.1], start=start, width=3
    )
    packed = problem.pack()
    again = StabilitySweep.unpack(packed.json, packed.arrays)
    for field in dataclasses.fields(problem):
        one, two = (getattr(p, field.name) for p in (problem, again))
        jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.slow
def test_large_learning_rates_reach_small_norms_and_leave_sharp_minima():
    problem = sparse_regression((0.005, 0.02, 0.04), (1,))
    solution = lm.solve(problem, SGDTraining())
    value = solution.value
    assert solution.certificate["sgd_flatter"].measured < 0.9
    assert value.norm[-1] < value.norm[0]
    assert value.test_loss[-1] < value.test_loss[0]
    # The sharp minimum of the small rate is left at one beyond its bound on the trace.
    start = value.params(0)
    beyond = 2.5 / value.trace[0]
    escape = sparse_regression((beyond,), scales=(1e-3,), start=start, loss_tol=1e-10)
    after = lm.solve(escape, SGDTraining()).value
    assert after.trace[0] < value.trace[0]
