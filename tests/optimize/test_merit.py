"""The exact augmented Lagrangian: its gradient, its line search, its counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lemmata.optimize._lagrangian import (
    Counts,
    MeritParts,
    first_order,
    hessian,
    jacobian,
    merit,
    merit_gradient,
    merit_parts,
)
from lemmata.optimize._merit_search import search

from .newton_instances import hock, logistic

ETA1, ETA2 = 2.3, 0.4
PROBLEMS = {"HS7": hock("HS7"), "HS78": hock("HS78"), "logistic": logistic()}


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def somewhere(problem):
    rng = np.random.default_rng(1)
    n, m = problem.x0.size, problem.multipliers0.size
    return problem.x0 + 0.1 * rng.normal(size=n), rng.normal(size=m)


def value(problem, z):
    x, multipliers = z[: problem.x0.size], z[problem.x0.size :]
    return merit(first_order(problem, x, multipliers), multipliers, ETA1, ETA2)


@pytest.mark.parametrize("name", PROBLEMS)
def test_gradient_is_that_of_the_merit(name):
    problem = PROBLEMS[name]
    x, multipliers = somewhere(problem)
    at = first_order(problem, x, multipliers)
    found = merit_gradient(at, merit_parts(problem, x, multipliers, at), ETA1, ETA2)
    z = np.concatenate([x, multipliers])
    function = jax.jit(lambda z: value(problem, z))
    exact = jax.grad(function)(jnp.asarray(z))
    # the same derivatives, taken in another order: rounding alone
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-12)
    step = 1e-6 * np.eye(len(z))
    slopes = [(function(z + e) - function(z - e)) / 2e-6 for e in step]
    # truncation h^2 and rounding u / h, both about 1e-10 of the merit's size
    size = float(np.max(np.abs(exact)))
    np.testing.assert_allclose(found, slopes, atol=1e-6 * max(1.0, size))


def test_hessian_is_the_lagrangians_not_the_objectives():
    """The reference's merit gradient has that of f: wrong where c is not affine."""
    problem = PROBLEMS["HS7"]
    x, multipliers = somewhere(problem)
    at = first_order(problem, x, multipliers)
    parts = merit_parts(problem, x, multipliers, at)
    h, g = hessian(problem, x, multipliers), jacobian(problem, x)
    np.testing.assert_allclose(parts.curved, h @ at.gradient, rtol=1e-12)
    np.testing.assert_allclose(parts.pulled, g.T @ at.constraint, rtol=1e-12)
    np.testing.assert_allclose(parts.pushed, g @ at.gradient, rtol=1e-12)
    of_f = hessian(problem, x, 0.0 * multipliers)
    wrong = MeritParts(of_f @ at.gradient, parts.pulled, parts.pushed)
    off = merit_gradient(at, wrong, ETA1, ETA2) - merit_gradient(at, parts, ETA1, ETA2)
    assert np.linalg.norm(off) > 1.0


class Ahead:
    """A direction as the line search wants it."""

    def __init__(self, step, slope):
        self.step, self.slope = jnp.asarray(step), jnp.asarray(slope)
        self.eta1, self.eta2 = jnp.asarray(ETA1), jnp.asarray(ETA2)


def searched(problem, scale, z=None, halvings=40, beta=0.1):
    x, multipliers = somewhere(problem) if z is None else z
    at = first_order(problem, x, multipliers)
    parts = merit_parts(problem, x, multipliers, at)
    gradient = merit_gradient(at, parts, ETA1, ETA2)
    step = -scale * gradient
    ahead = Ahead(step, gradient @ step)
    beta = jnp.asarray(beta)
    found = search(
        problem, jnp.asarray(x), jnp.asarray(multipliers), at, ahead, beta, halvings
    )
    return found, ahead, np.concatenate([x, multipliers])


def test_search_halves_until_armijo():
    problem = PROBLEMS["HS7"]
    found, ahead, z = searched(problem, 1.0)
    alpha = float(found.alpha)
    assert bool(found.good)
    assert int(found.trials) == 1 - np.log2(alpha) > 1

    def excess(alpha):
        moved = value(problem, z + alpha * np.asarray(ahead.step))
        return moved - value(problem, z) - 0.1 * alpha * ahead.slope

    assert excess(alpha) <= 0 < excess(2 * alpha)
    assert np.array_equal(found.x, z[:2] + alpha * ahead.step[:2])


def test_search_asks_for_its_share_of_the_slope():
    """Of nine step lengths some decrease the merit, but not by nearly half."""
    problem, barely = PROBLEMS["HS7"], 0
    for scale in np.geomspace(0.03, 0.3, 9):
        found, ahead, z = searched(problem, scale, beta=0.49)
        start, step = value(problem, z), np.asarray(ahead.step)
        gained = [
            start - value(problem, z + a * step) for a in found.alpha * np.array([1, 2])
        ]
        asked = -0.49 * found.alpha * ahead.slope
        assert gained[0] >= asked
        if found.trials > 1:
            assert gained[1] < 2 * asked
            barely += gained[1] > 0
    assert barely > 0


def test_search_uphill_fails_and_says_so():
    found, _, _ = searched(PROBLEMS["HS7"], -1.0, halvings=8)
    assert not bool(found.good)
    assert int(found.trials) == 9


def test_decrease_below_rounding_is_seen_by_slopes():
    problem = PROBLEMS["HS7"]
    best = np.array([0.0, 3**0.5]), np.array([1 / (2 * 3**0.5)])
    near = best[0] + np.array([3e-9, 2e-9]), best[1]
    found, ahead, z = searched(problem, 1e-2, z=near)
    # the promised decrease, about 1e-18, is far below u times the merit's size
    assert abs(float(ahead.slope)) < 1e-16
    assert bool(found.good)
    assert int(found.slopes) == 1
    assert float(found.alpha) == 1.0


def test_counts_add_up():
    counts = Counts.none().more(values=2, gradients=1).more(values=1, hessians=1)
    assert [int(v) for v in jax.tree.leaves(counts)] == [3, 3, 1, 0, 1]
