"""Derivatives of a constrained minimum in the problem's data.

At a KKT point z = (x, lambda), F(z, data) = (grad_x L, c) = 0, so dz = -K^-1 d_data F
with K the KKT matrix; and of the optimal value, d f* = d_data L (the envelope theorem).

Source: Fiacco, Introduction to Sensitivity and Stability Analysis in Nonlinear
Programming (1983), theorem 3.2.2.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float64

from ..core import run
from ._constrained import ConstrainedPoint, EqualityConstrained


def stationary_point(
    problem: EqualityConstrained,
    method: Any = None,
    *,
    key: Any = None,
    max_steps: int = 1000,
) -> ConstrainedPoint:
    """A KKT point, differentiable in `problem.data`.

    Works under jit, vmap and grad inside `jax.enable_x64(True)`. The KKT matrix is
    factorised once, for the derivative; where it is singular there is none.

    **Arguments:**

    - `method`, `key`, `max_steps`: as for `lemmata.run`; None: the problem's default.

    **Returns:** the method's answer after one more exact Newton step.

    **Raises:** `InvalidArgument` outside `jax.enable_x64(True)`.
    """
    x, multipliers = _solved(problem, method, key, max_steps)
    n = x.shape[0]

    def slope(z: Array, problem: EqualityConstrained) -> Array:
        return jax.grad(lambda z: _lagrangian(problem, z, n))(z)

    z = jnp.concatenate([x, multipliers])
    fixed = _constant(problem)
    matrix = jax.jacfwd(lambda z: slope(z, fixed))(z)
    step = jnp.linalg.solve(jax.lax.stop_gradient(matrix), slope(z, problem))
    z = z - step
    return ConstrainedPoint(z[:n], z[n:])


def optimal_value(
    problem: EqualityConstrained,
    method: Any = None,
    *,
    key: Any = None,
    max_steps: int = 1000,
) -> Float64[Array, ""]:
    """F + lambda^T c at a KKT point, differentiable in `problem.data`.

    **Arguments, Raises:** as for `stationary_point`. First derivatives only.
    """
    x, multipliers = _solved(problem, method, key, max_steps)
    return problem.f(x) + multipliers @ problem.c(x)


def _lagrangian(problem: EqualityConstrained, z: Array, n: int) -> Array:
    return problem.f(z[:n]) + z[n:] @ problem.c(z[:n])


def _constant(problem: EqualityConstrained) -> EqualityConstrained:
    arrays, rest = eqx.partition(problem, eqx.is_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)


def _solved(
    problem: EqualityConstrained, method: Any, key: Any, max_steps: int
) -> tuple[Array, Array]:
    method = problem.default_method() if method is None else method
    value, _, _ = run(_constant(problem), method, key, max_steps=max_steps)
    return jax.lax.stop_gradient((value.x, value.multipliers))
