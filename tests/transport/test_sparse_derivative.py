"""Derivatives of the loss and of the plan, against central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lemmata.core import solve
from lemmata.transport import SparseTransport, implicit_plan, matching_loss

GAMMA, CAP = 0.3, 5
STEP = 1e-5  # differences of a quadratic function of size 1: exact but for rounding


@pytest.fixture(scope="module")
def instance():
    """An instance whose gap is zero, so that the support is locally constant."""
    rng = np.random.default_rng(3)
    x, y = rng.uniform(size=(10, 1)), rng.uniform(size=(8, 1))
    cost = (x - y.T) ** 2 + 0.01 * rng.uniform(size=(10, 8))
    source, target = rng.dirichlet(np.full(10, 30.0)), rng.dirichlet(np.full(8, 30.0))
    return cost, source, target


def answer(cost, source, target):
    problem = SparseTransport(cost, source, target, gamma=GAMMA, cap=CAP, gap_tol=1e-10)
    solution = solve(problem)  # raises unless the gap is below gap_tol * range
    return solution.value


@pytest.fixture(scope="module")
def value(instance):
    return answer(*instance)


def test_loss_gradient_is_the_plan_and_the_potentials(instance, value):
    with jax.enable_x64(True):
        parts = [jnp.asarray(v) for v in instance]
        alpha = jnp.asarray(value.alpha)

        def loss(cost, source, target):
            return matching_loss(cost, source, target, alpha, gamma=GAMMA, cap=CAP)

        found, gradients = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(*parts)
    gradients = [np.asarray(g) for g in gradients]
    assert float(found) == pytest.approx(float(value.dual_value), abs=1e-14)
    np.testing.assert_array_equal(gradients[0], value.selection().toarray())
    np.testing.assert_array_equal(gradients[1], value.alpha)
    # D solved again at the moved cost.
    rng = np.random.default_rng(4)
    cost, source, target = instance
    direction = rng.normal(size=cost.shape)
    ends = [answer(cost + s * STEP * direction, source, target) for s in (1, -1)]
    slope = float(ends[0].dual_value - ends[1].dual_value) / (2 * STEP)
    # 1e-8 on the gradient; rounding of D over STEP is 1e-11.
    assert np.sum(gradients[0] * direction) == pytest.approx(slope, abs=1e-8)
    # Balanced changes of the weights move D by the potentials.
    change = rng.normal(size=10) * source
    change -= source * change.sum()
    ends = [answer(cost, source + s * STEP * change, target) for s in (1, -1)]
    slope = float(ends[0].dual_value - ends[1].dual_value) / (2 * STEP)
    assert value.alpha @ change == pytest.approx(slope, abs=1e-8)


def test_plan_derivative_agrees_with_central_differences(instance, value):
    rng = np.random.default_rng(5)
    cost, source, target = instance
    weights = rng.normal(size=cost.shape)
    with jax.enable_x64(True):
        plan = jnp.asarray(value.dense())

        def functional(cost, source, target):
            moved = implicit_plan(plan, cost, source, target, jnp.asarray(GAMMA))
            return jnp.sum(weights * moved)

        parts = [jnp.asarray(v) for v in instance]
        gradients = jax.jit(jax.grad(functional, (0, 1, 2)))(*parts)
    gradients = [np.asarray(g) for g in gradients]
    direction = rng.normal(size=cost.shape)
    ends = [
        answer(cost + s * STEP * direction, source, target).dense() for s in (1, -1)
    ]
    np.testing.assert_array_equal(ends[0] > 0, ends[1] > 0)  # not degenerate
    slope = np.sum(weights * (ends[0] - ends[1])) / (2 * STEP)
    # 1e-5; the plan is accurate to 1e-15, over STEP 1e-10.
    assert np.sum(gradients[0] * direction) == pytest.approx(slope, abs=1e-5)
    change = rng.normal(size=10) * source
    change -= source * change.sum()
    ends = [answer(cost, source + s * STEP * change, target).dense() for s in (1, -1)]
    slope = np.sum(weights * (ends[0] - ends[1])) / (2 * STEP)
    assert gradients[1] @ change == pytest.approx(slope, abs=1e-5)
