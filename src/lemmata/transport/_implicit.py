"""Derivatives of entropic transport by the implicit function theorem.

At the optimum z = (x, y), g(z; theta) = (r - P 1, c - P' 1) = 0, so that
dz = H^+ d_theta g with H = -d_z g = eta [[D1, P], [P', D2]]: one linear solve with the
true Hessian, whatever iteration found z.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float64

from ..core import AbstractMethod, run
from ._cost import MatrixCost, Real
from ._direction import solve_schur
from ._entropic import EntropicTransport
from ._passes import Scalings, plan_matrix

_MAX_STEPS = 2000


def potentials(
    cost: Float64[Array, "n m"],
    source: Float64[Array, " n"] | None = None,
    target: Float64[Array, " m"] | None = None,
    *,
    epsilon: Real,
    method: AbstractMethod | None = None,
) -> tuple[Float64[Array, " n"], Float64[Array, " m"]]:
    """Optimal potentials of entropic transport, differentiable in arrays and epsilon.

    **Arguments:** as for `EntropicTransport`, weights > 0; `method` defaults to
    `SinkhornNewton(atol=1e-12)`. Works under jit, vmap and grad inside
    `jax.enable_x64(True)`. Memory: a few times n m.

    **Returns:** x (n,), y (m,) with sum x = sum y, in units of the cost.

    **Raises:** `InvalidArgument` outside `jax.enable_x64(True)`.
    """
    return _potentials(_method(method), *_data(cost, source, target, epsilon))


def regularised_cost(
    cost: Float64[Array, "n m"],
    source: Float64[Array, " n"] | None = None,
    target: Float64[Array, " m"] | None = None,
    *,
    epsilon: Real,
    method: AbstractMethod | None = None,
) -> Float64[Array, ""]:
    """The optimal <C, P> + epsilon sum P log P; its gradient in the cost is the plan.

    **Arguments, Raises:** as for `potentials`. In the weights the gradient is that of
    the weights divided by their sum; in epsilon it is sum P log P.
    """
    return _value(_method(method), *_data(cost, source, target, epsilon))


def _method(method: AbstractMethod | None) -> AbstractMethod:
    from ._sinkhorn_newton import SinkhornNewton

    return SinkhornNewton(atol=1e-12) if method is None else method


def _data(cost: Any, source: Any, target: Any, epsilon: Any) -> tuple[Array, ...]:
    cost = jnp.asarray(cost)
    n, m = cost.shape
    source = jnp.ones(n, cost.dtype) if source is None else jnp.asarray(source)
    target = jnp.ones(m, cost.dtype) if target is None else jnp.asarray(target)
    epsilon = jnp.asarray(epsilon, cost.dtype)
    return cost, source / jnp.sum(source), target / jnp.sum(target), epsilon


def _solve(
    method: AbstractMethod, cost: Array, source: Array, target: Array, epsilon: Array
) -> Any:
    problem = EntropicTransport(cost, source, target, epsilon=epsilon)
    value, _, _ = run(problem, method, max_steps=_MAX_STEPS)
    return value


def _plan(z: Any, cost: Array, source: Array, target: Array, epsilon: Array) -> Array:
    scalings = Scalings(1.0 / epsilon, source, target)
    return plan_matrix(MatrixCost(cost), scalings, *z)


def _gradient(z: Any, *data: Array) -> tuple[Array, Array]:
    plan = _plan(z, *data)
    return data[1] - jnp.sum(plan, axis=1), data[2] - jnp.sum(plan, axis=0)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _potentials(method: Any, *data: Array) -> tuple[Array, Array]:
    value = _solve(method, *data)
    return value.row_potential, value.column_potential


def _potentials_forward(method: Any, *data: Array) -> Any:
    z = _potentials(method, *data)
    return z, (z, data)


def _potentials_backward(method: Any, residuals: Any, cotangent: Any) -> Any:
    del method
    z, data = residuals
    plan, epsilon = _plan(z, *data), data[3]
    rows, columns = jnp.sum(plan, axis=1), jnp.sum(plan, axis=0)
    # H has the null vector (1, -1); the gauge sum x = sum y is orthogonal to it.
    first, second = _without_gauge(*cotangent)
    dx, dy = solve_schur(plan, rows, columns, first, second)
    weights = _without_gauge(epsilon * dx, epsilon * dy)
    _, pullback = jax.vjp(lambda *data: _gradient(z, *data), *data)
    return pullback(weights)


def _without_gauge(x: Array, y: Array) -> tuple[Array, Array]:
    shift = (jnp.sum(x) - jnp.sum(y)) / (x.size + y.size)
    return x - shift, y + shift


_potentials.defvjp(_potentials_forward, _potentials_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _value(method: Any, *data: Array) -> Array:
    return _solve(method, *data).regularised_cost


def _value_forward(method: Any, *data: Array) -> Any:
    value = _solve(method, *data)
    return value.regularised_cost, (value.row_potential, value.column_potential, data)


def _value_backward(method: Any, residuals: Any, cotangent: Array) -> Any:
    del method
    x, y, data = residuals
    plan = _plan((x, y), *data)
    negentropy = jnp.sum(jax.scipy.special.xlogy(plan, plan))
    parts = (plan, x, y, negentropy)
    return tuple(cotangent * part for part in parts)


_value.defvjp(_value_forward, _value_backward)
