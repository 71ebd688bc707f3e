"""Deep conjugate directions: conjugate gradients in disguise, and bad networks."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg as sla

import lemmata as lm
from lemmata.core import NotConverged
from lemmata.linear import (
    FLUID,
    SOLID,
    AbstractDirections,
    DeepConjugateDirection,
    DirectionNetwork,
    FlexibleDirections,
    GridPoisson,
    NetworkOnly,
    ResidualDirections,
    SPDSystem,
)

SMALL = DirectionNetwork(2, channels=4, levels=1, depths=(2, 2, 2), key=3)


class Zero(AbstractDirections):
    def __call__(self, field: Any) -> Any:
        return 0 * field


class NotANumber(AbstractDirections):
    def __call__(self, field: Any) -> Any:
        return field / 0


class Flipped(AbstractDirections):
    def __call__(self, field: Any) -> Any:
        return -field


class Smoothed(AbstractDirections):
    """Linear, symmetric, positive definite: 4 I + the four neighbours' sum."""

    exact = True

    def __call__(self, field: Any) -> Any:
        padded = jnp.pad(field, 1)
        around = padded[:-2, 1:-1] + padded[2:, 1:-1]
        return 5 * field + around + padded[1:-1, :-2] + padded[1:-1, 2:]


def disk(n=16, rtol=1e-8, seed=0):
    """A solid disk in fluid, white noise."""
    cells = np.full((n, n), FLUID)
    i, j = np.mgrid[:n, :n]
    cells[(i - 0.55 * n) ** 2 + (j - 0.4 * n) ** 2 < (0.15 * n) ** 2] = SOLID
    rhs = np.random.default_rng(seed).normal(size=(n, n)) * (cells == FLUID)
    return GridPoisson(cells, rhs, rtol=rtol)


def cg_iterates(problem, count, precondition=lambda r: r):
    """Textbook conjugate gradients in NumPy."""
    a, b = problem.matrix(), np.asarray(problem.rhs)
    x, r = np.zeros_like(b), b.copy()
    z = precondition(r)
    p, found = z, []
    for _ in range(count):
        image = a @ p
        alpha = (r @ z) / (p @ image)
        x, new = x + alpha * p, r - alpha * image
        z_new = precondition(new)
        p = z_new + (new @ z_new) / (r @ z) * p
        r, z = new, z_new
        found.append(x)
    return np.asarray(found)


def iterates(problem, method, count):
    found = []
    with jax.enable_x64(True):
        state = method.init(problem, jax.random.key(0))
        step = jax.jit(lambda p, s: method.step(p, s))
        for _ in range(count):
            state = step(problem, state)
            found.append(np.asarray(state.x))
    return np.asarray(found)


@pytest.mark.parametrize("window", [1, 2, 3])
def test_identity_network_is_conjugate_gradients(window):
    problem = disk()
    ours = iterates(problem, DeepConjugateDirection(ResidualDirections(), window), 20)
    theirs = cg_iterates(problem, 20)
    # iterates agree to rounding amplified over 20 steps
    assert np.max(np.abs(ours - theirs)) <= 1e-8 * np.max(np.abs(theirs))


def test_linear_network_is_preconditioned_conjugate_gradients():
    problem = GridPoisson(np.ones((8, 9)), np.random.default_rng(0).normal(size=(8, 9)))

    def precondition(r):
        with jax.enable_x64(True):
            return np.asarray(Smoothed()(jnp.asarray(r.reshape(8, 9)))).ravel()

    ours = iterates(problem, DeepConjugateDirection(Smoothed()), 15)
    theirs = cg_iterates(problem, 15, precondition)
    assert np.max(np.abs(ours - theirs)) <= 1e-8 * np.max(np.abs(theirs))


def test_flexible_and_explicit_conjugation_agree():
    """Window 1 and Polak-Ribiere's coefficient are the same in exact arithmetic."""
    problem = disk()
    one = iterates(problem, DeepConjugateDirection(SMALL, window=1), 10)
    two = iterates(problem, FlexibleDirections(SMALL), 10)
    # float32 proposals of residuals that differ by rounding differ by 1e-7
    np.testing.assert_allclose(one, two, atol=1e-5 * np.max(np.abs(one)))


def test_cg_counts_are_scipys():
    problem = GridPoisson(
        np.ones((32, 32)), np.random.default_rng(0).normal(size=(32, 32)), rtol=1e-10
    )
    count = 0

    def step(_):
        nonlocal count
        count += 1

    sla.cg(problem.matrix(), problem.rhs, rtol=1e-4, atol=0.0, callback=step)
    ours = lm.solve(problem, DeepConjugateDirection(ResidualDirections()))
    residual = ours.stats.trace["residual"]
    assert int(np.argmax(residual <= 1e-4)) + 1 == count
    # 1e-10 in float64 at N = 32, by the recomputed residual
    assert ours.certificate["residual"].measured <= 1e-10


@pytest.mark.parametrize("network", [Zero(), NotANumber(), Flipped()])
@pytest.mark.parametrize("window", [1, 2])
def test_bad_networks_cost_time_not_correctness(network, window):
    problem = disk()
    ours = lm.solve(problem, DeepConjugateDirection(network, window))
    plain = lm.solve(problem, DeepConjugateDirection(ResidualDirections(), window))
    assert ours.certified
    assert ours.certificate["energy_descent"].holds
    fallbacks = ours.stats.trace["fallbacks"][-1]
    if isinstance(network, Flipped):
        assert fallbacks == 0
    else:
        assert fallbacks == ours.stats.steps == plain.stats.steps


@pytest.mark.parametrize("window", [0, 1, 2, 4])
def test_energy_descends_for_a_random_network(window):
    """It may not converge: what holds is that the error never grows."""
    problem = disk()
    method = DeepConjugateDirection(SMALL, window, max_steps=30)
    found = lm.solve(problem, method, throw=False)
    assert found.certificate["energy_descent"].holds
    assert ("conjugacy" in found.certificate) == (window > 0)
    assert all(
        d.holds for d in found.certificate.decisions if d.id.endswith("conjugacy/1")
    )
    assert np.all(found.stats.trace["decrement"] >= 0)


def test_a_pretrained_network_beats_conjugate_gradients():
    problem = disk(32, 1e-8)
    ours = lm.solve(problem)
    plain = lm.solve(problem, DeepConjugateDirection(ResidualDirections()))
    assert ours.certified
    for level in (1e-4, 1e-8):
        counts = [
            int(np.argmax(s.stats.trace["residual"] <= level)) + 1
            for s in (ours, plain)
        ]
        assert counts[0] <= 0.2 * counts[1]


def test_changed_answers_are_rejected():
    problem = disk()
    found = lm.solve(problem, DeepConjugateDirection(ResidualDirections()))
    x = np.array(found.value.x)
    x[40] += 1e-3
    judged = lm.certify(problem, problem.candidate(x=x))
    assert not judged.certificate["residual"].holds
    assert not judged.certificate["residual_max"].holds
    assert not judged.certificate["error_bound"].holds


def test_an_indefinite_operator_is_named_with_its_step():
    dense = np.diag(np.array([1.0, 2, 3, 4]))
    dense[0, 1] = dense[1, 0] = 5.0
    system = SPDSystem(dense, np.array([1.0, -1, 2, 1]))
    method = DeepConjugateDirection(ResidualDirections(), grid=(2, 2))
    with pytest.raises(NotConverged, match=r"indefinite: Step \d+ met a direction"):
        lm.solve(system, method)


def test_a_system_on_a_grid_of_its_own():
    problem = disk(8)
    system = SPDSystem(problem.matrix(), problem.rhs)
    method = DeepConjugateDirection(ResidualDirections(), grid=(8, 8))
    found = lm.solve(system, method)
    assert found.certified
    # the same iteration on the same matrix, summed in another order
    other = lm.solve(problem, DeepConjugateDirection(ResidualDirections()))
    np.testing.assert_allclose(found.value.x, other.value.x, atol=1e-8)


def test_warm_start_goes_on_and_keeps_its_claims():
    problem = disk()
    rough = GridPoisson(problem.cells, problem.source, rtol=1e-3)
    method = DeepConjugateDirection(ResidualDirections())
    first = lm.solve(rough, method)
    second = lm.solve(problem, method, start=first)
    assert second.certified
    assert second.stats.steps < lm.solve(problem, method).stats.steps


def test_zero_right_hand_side_and_too_small_a_tolerance():
    cells = np.ones((6, 6))
    zero = lm.solve(GridPoisson(cells, 0 * cells), DeepConjugateDirection())
    assert zero.certified
    assert zero.stats.steps == 0
    problem = GridPoisson(cells, np.eye(6), rtol=1e-17)
    with pytest.raises(NotConverged):
        lm.solve(problem, DeepConjugateDirection(ResidualDirections(), max_steps=60))


def test_one_shot_is_never_called_converged():
    found = lm.solve(disk(), NetworkOnly(SMALL), throw=False)
    assert found.result.name == "one_shot"
    assert not found.certificate["residual"].holds
    assert found.stats.trace["residual"][0] < 10
