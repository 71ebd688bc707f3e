"""The baselines on all problem families, against known optima and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lemmata as lm
from lemmata.core import InvalidMethod
from lemmata.optimize import (
    AdaptiveL1SQP,
    AugmentedLagrangian,
    ExactNewton,
    InexactL1SQP,
)
from lemmata.optimize._baseline_state import gmres
from lemmata.optimize._constrained import EqualityConstrained

from .newton_instances import HS, control, hock, logistic

METHODS = (ExactNewton, AugmentedLagrangian, InexactL1SQP, AdaptiveL1SQP)
CONTROL = 9.644442051811627  # optimal value of the control problem, size 3
SLOW = pytest.mark.slow


def column(solution, name):
    return np.asarray(solution.stats.trace[name])


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        (kind, family)
        if (kind, family) in ((AugmentedLagrangian, "hock"), (AdaptiveL1SQP, "hock"))
        else pytest.param(kind, family, marks=SLOW)
        for kind in METHODS
        for family in ("hock", "control", "logistic")
    ],
)
def test_every_baseline_solves_every_family(kind, family):
    problem = {"hock": hock("HS77"), "control": control(), "logistic": logistic()}
    solution = lm.solve(problem[family], kind())
    assert solution.result.name == "converged"
    assert solution.certificate["kkt"].holds, str(solution)
    value = column(solution, "objective")[-1]
    if family == "logistic":
        assert solution.certificate["strict_minimum"].holds
        return
    optimum = {"hock": HS["HS77"].optimum, "control": CONTROL}[family]
    # a KKT residual of 1e-6 moves f by about that times the multipliers
    assert value == pytest.approx(optimum, abs=1e-5)


def test_exact_newton_factorises_once_a_step():
    solution = lm.solve(hock("HS7"), ExactNewton())
    steps = solution.stats.steps
    assert column(solution, "factorisations")[-1] == steps
    assert column(solution, "sketched_products")[-1] == 0
    assert solution.certificate["descent"].holds
    assert solution.value.x[1] == pytest.approx(3**0.5, abs=1e-6)


def test_multiplier_updates_take_no_evaluation():
    solution = lm.solve(hock("HS77"), AugmentedLagrangian())
    outer = np.diff(column(solution, "outer"), prepend=0)
    values = np.diff(column(solution, "objective_evaluations"), prepend=1)
    assert np.all(values[outer == 1] == 0)
    assert np.all(values[outer == 0] >= 1)
    penalty = column(solution, "penalty")
    assert penalty[-1] == pytest.approx(1.5 ** outer.sum())


@pytest.mark.slow
def test_penalty_of_the_adaptive_method_only_grows():
    solution = lm.solve(hock("HS77"), AdaptiveL1SQP())
    assert np.all(np.diff(column(solution, "penalty"), prepend=1.0) >= 0)
    assert np.all(np.diff(column(solution, "accuracy"), prepend=0.1) <= 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [InexactL1SQP, AdaptiveL1SQP])
def test_rank_lost_on_the_way_is_said(kind):
    problem = EqualityConstrained(
        lambda x: x[0] + x[1],
        lambda x: jnp.stack([x[0] ** 2 + x[1] ** 2]),
        [1.0, 1.0],
    )
    solution = lm.solve(problem, kind(), throw=False)
    assert solution.result.name == "degenerate_constraints"
    assert not solution.certificate["kkt"].holds


def test_gmres_is_asked_after_every_cycle_and_stops_at_its_cap():
    rng = np.random.default_rng(0)
    matrix, rhs = rng.normal(size=(2, 6, 6))[0], rng.normal(size=6)
    with jax.enable_x64(True):
        matrix, rhs = jnp.asarray(matrix), jnp.asarray(rhs)

        def good(_, residual):
            return jnp.linalg.norm(residual) <= 1e-10

        whole = gmres(matrix, rhs, jnp.zeros(6), good, 6, 50)
        short = gmres(matrix, rhs, jnp.zeros(6), good, 1, 3)
    matrix, rhs = np.asarray(matrix), np.asarray(rhs)
    np.testing.assert_allclose(whole.point, np.linalg.solve(matrix, rhs), atol=1e-8)
    assert int(whole.cycles) == 1
    assert int(short.cycles) == 3
    residual, point = np.asarray(short.residual), np.asarray(short.point)
    assert np.linalg.norm(residual) < np.linalg.norm(rhs)
    # rounding of one product of this size
    np.testing.assert_allclose(residual, matrix @ point - rhs, atol=1e-14)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (AugmentedLagrangian, {"growth": 1.0}, r"growth: expected > 1"),
        (AugmentedLagrangian, {"penalty": 0.0}, r"penalty: expected > 0"),
        (AugmentedLagrangian, {"kappa": 1.0}, r"kappa: expected in \(0, 1\)"),
        (AugmentedLagrangian, {"beta": 0.7}, r"beta: expected in \(0, 1/2\)"),
        (InexactL1SQP, {"tau": 1.5}, r"tau: expected in \(0, 1\)"),
        (InexactL1SQP, {"armijo": 0.0}, r"armijo: expected in \(0, 1/2\)"),
        (InexactL1SQP, {"restart": 0}, r"restart: expected >= 1"),
        (AdaptiveL1SQP, {"nu": 1.0}, r"nu: expected > 1"),
        (AdaptiveL1SQP, {"atol": -1.0}, r"atol: expected None or > 0"),
        (ExactNewton, {"beta": 0.5}, r"beta: expected in \(0, 1/2\)"),
    ],
)
def test_options_are_checked(kind, options, message):
    with pytest.raises(InvalidMethod, match=message):
        kind(**options)
