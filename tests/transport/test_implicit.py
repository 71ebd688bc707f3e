"""Derivatives against the plan and against central differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lemmata.core import InvalidArgument
from lemmata.transport import DenseNewton, potentials, regularised_cost

from .instances import reference, weighted

# Dense Newton compiles fastest; the derivative does not depend on the method.
METHOD = DenseNewton(annealing=None, atol=1e-13)
EPSILON = 0.05


@pytest.fixture(scope="module")
def data():
    return (*weighted(9, 7, zeros=False), EPSILON)


def value(cost, source, target, epsilon):
    return regularised_cost(cost, source, target, epsilon=epsilon, method=METHOD)


def probe(cost, source, target, epsilon):
    x, y = potentials(cost, source, target, epsilon=epsilon, method=METHOD)
    weights = jnp.arange(1.0, 10.0)
    return jnp.sum(weights * x) + jnp.sum(y**2) + x[0] * y[1]


@functools.cache  # one compilation for values and gradients
def compiled(function):
    return jax.jit(jax.value_and_grad(function, argnums=(0, 1, 2, 3)))


def central(function, data, argument, direction, step=1e-5):
    ends = []
    for sign in (1, -1):
        moved = list(data)
        moved[argument] = data[argument] + sign * step * direction
        ends.append(float(compiled(function)(*moved)[0]))
    return (ends[0] - ends[1]) / (2 * step)


def test_gradient_of_the_value_is_the_plan(data):
    cost, source, target, epsilon = data
    with jax.enable_x64(True):
        gradient = np.asarray(compiled(value)(*data)[1][0])
    x, y = reference(cost, source, target, epsilon)
    plan = np.exp((x[:, None] + y - cost) / epsilon - 1)
    np.testing.assert_allclose(gradient, plan, atol=1e-8)


@pytest.mark.parametrize("function", [value, probe], ids=["value", "potentials"])
def test_gradients_match_central_differences(data, function):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        gradients = compiled(function)(*data)[1]
        for argument, gradient in enumerate(gradients):
            size = np.shape(data[argument])
            direction = 0.1 * rng.normal(size=size) if size else 1.0
            slope = central(function, data, argument, direction)
            found = np.sum(np.asarray(gradient) * direction)
            # Truncation 1e-10 / EPSILON^2, rounding 1e-13 / 1e-5.
            assert found == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.slow  # compiles the batched loop
def test_works_under_vmap(data):
    cost, source, target, _ = data
    slope = jax.grad(value, argnums=3)
    with jax.enable_x64(True):
        both = jnp.array([0.05, 0.1])
        batched = jax.jit(jax.vmap(slope, (None, None, None, 0)))
        found = np.asarray(batched(cost, source, target, both))
        alone = [float(jax.jit(slope)(cost, source, target, e)) for e in both]
    np.testing.assert_allclose(found, alone, rtol=1e-9)


def test_single_precision_is_refused(data):
    with pytest.raises(InvalidArgument, match="enable_x64"):
        regularised_cost(jnp.ones((2, 2)), epsilon=0.1, method=METHOD)
