"""Robust training: the worst case by brute force, attacks, failing solvers."""

import itertools

import jax
import numpy as np
import pytest

import lemmata as lm
from lemmata.geometry import (
    FGSM,
    PGD,
    AdversarialTraining,
    BackPropagation,
    ConicSolver,
    RobustConvexReLU,
    attack_loss,
)
from lemmata.numerics.conic import ConeAnswer


def toy(seed, n=8, **options):
    rng = np.random.default_rng(seed)
    x = np.hstack([rng.normal(size=(n, 2)), np.ones((n, 1))])
    y = np.where(x[:, 0] * x[:, 1] > 0, 1.0, -1.0)
    given = {"weight_decay": 0.02, "radius": 0.08} | options
    loss = given.pop("loss", "hinge")
    return RobustConvexReLU(x, y, loss, **given)


def worst(problem, network, points=9):
    """Loss and decay at the worst of a grid of shifts, corners included; linf."""
    u, a = network.hidden_weights, network.output_weights
    steps = np.linspace(-1, 1, points) * float(problem.radius)
    shifts = np.array([[*p, 0.0] for p in itertools.product(steps, repeat=2)])
    x = problem.inputs[None] + shifts[:, None]
    f = np.maximum(x @ u.T, 0) @ a
    y = problem.targets
    each = {
        "squared": 0.5 * (f - y) ** 2,
        "hinge": np.maximum(0, 1 - y * f) / y.size,
        "logistic": np.logaddexp(0, -y * f),
    }[problem.loss]
    decay = 0.5 * float(problem.weight_decay) * (np.sum(u**2) + np.sum(a**2))
    return np.sum(np.max(each, axis=0)) + decay


@pytest.mark.parametrize("loss", ["squared", "hinge", "logistic"])
def test_the_worst_case_is_the_convex_objective(loss):
    """Never above what is promised, and equal to it: corners are on the grid."""
    for seed in range(4):
        problem = toy(seed, loss=loss)
        solution = lm.solve(problem)
        stated = float(solution.value.objective)
        figures = solution.certificate["robust_loss"].figures
        found = worst(problem, solution.value)
        assert found <= figures["cost"]
        assert found == pytest.approx(stated, rel=1e-5)
        # the program's own objective, before the network was made
        assert solution.stats.trace["objective"][-1] == pytest.approx(stated, rel=1e-5)


@pytest.mark.slow
def test_a_hundred_toys():
    for seed in range(100):
        loss = ("squared", "hinge", "logistic")[seed % 3]
        problem = toy(seed, loss=loss)
        solution = lm.solve(problem)
        found = worst(problem, solution.value)
        assert found <= solution.certificate["robust_loss"].figures["cost"]
        assert found == pytest.approx(float(solution.value.objective), rel=1e-5)


def test_any_network_is_bounded_and_the_robust_one_is_better():
    problem = toy(1, loss="squared")
    robust = lm.solve(problem)
    trained = lm.solve(problem, BackPropagation(12, steps=300), throw=False)
    assert trained.certificate["robust_loss"].holds
    assert worst(problem, trained.value) <= float(trained.value.objective) * (1 + 1e-9)
    assert worst(problem, robust.value) < worst(problem, trained.value)


def test_l2_balls_are_a_subset_of_linf_ones():
    one, two = toy(2), toy(2, ball="l2")
    cost = [float(lm.solve(p).value.objective) for p in (one, two)]
    assert cost[1] < cost[0]


@pytest.mark.parametrize(
    ("attack", "ball"),
    [(FGSM(), "linf"), pytest.param(PGD(5), "l2", marks=pytest.mark.slow)],
)
def test_attacks_stay_below_the_certified_loss(attack, ball):
    problem = toy(3, ball=ball)
    solution = lm.solve(problem, AdversarialTraining(attack, width=10, steps=200))
    with jax.enable_x64(True):
        key = jax.random.key(0)
        found = attack_loss(problem, solution.value, attack, key)
    u, a = solution.value.hidden_weights, solution.value.output_weights
    decay = 0.5 * 0.02 * (np.sum(u**2) + np.sum(a**2))
    assert 0 < found + decay <= float(solution.value.objective) * (1 + 1e-9)


def test_a_radius_too_large_leaves_the_zero_network_and_says_so():
    at = toy(0)  # without the column of ones, on which nothing is moved
    problem = RobustConvexReLU(
        at.inputs[:, :2], at.targets, weight_decay=0.02, radius=50.0
    )
    solution = lm.solve(problem, throw=False)
    assert solution.result.name == "only_zero"
    assert solution.value.width == 0


def test_nonsense_from_the_solver_is_no_bound(monkeypatch):
    """A solver that returns NaN, and one that returns numbers out of the air."""
    from lemmata.geometry import _relu_conic

    def nan(program, **options):
        x = np.full(program.linear.size, np.nan)
        return ConeAnswer(x, np.full(program.rhs.size, np.nan), "solved", 1, 0.0)

    monkeypatch.setattr(_relu_conic, "solve_cone_program", nan)
    failed = lm.solve(toy(0), ConicSolver(), throw=False)
    assert failed.result.name == "solver_failed"

    def noise(program, **options):
        rng = np.random.default_rng(0)
        x = rng.normal(size=program.linear.size)
        return ConeAnswer(x, rng.normal(size=program.rhs.size), "solved", 1, 0.0)

    monkeypatch.setattr(_relu_conic, "solve_cone_program", noise)
    problem = toy(0)
    solution = lm.solve(problem, ConicSolver(), throw=False)
    figures = solution.certificate["robust_loss"].figures
    assert worst(problem, solution.value) <= figures["cost"]
