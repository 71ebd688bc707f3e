"""Derivatives of minimisers and minima with respect to the data of a problem.

At a minimiser with support S (coordinates off their kinks and bounds) the others stay
where they are to first order, if they are strictly held there, and (grad f + strength
sign)_S = 0 determines x_S: the implicit function theorem. The minimum itself has the
partial derivative of F (Danskin).

Source: Bertrand et al., JMLR 23 (2022), for the L1 case.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..core import run
from ._composite import CompositeProblem


def composite_minimiser(
    problem: CompositeProblem, method: Any, *, max_steps: int = 1000
) -> Array:
    """X minimising F, (n,), differentiable in the problem's arrays and numbers.

    Forward and reverse mode; the derivative solves with the Hessian on the support, a
    pseudo-inverse where that is singular. Call inside `jax.enable_x64(True)`.

    **Arguments:**

    - `problem`: its arrays, strength, l2 and bounds may be traced.
    - `method`: one whose steps run in one stage (`run` takes no second).
    - `max_steps`: static bound on the steps.
    """
    x = _solved(problem, method, max_steps)
    return x - _correction(problem, x)


def composite_minimum(
    problem: CompositeProblem, method: Any, *, max_steps: int = 1000
) -> Array:
    """Min F, differentiable as `composite_minimiser` is, without a linear system."""
    x = _solved(problem, method, max_steps)
    return problem.objective(x, problem.loss.image(x))


def _solved(problem: Any, method: Any, max_steps: int) -> Array:
    fixed = jax.lax.stop_gradient(problem)  # steps are not differentiated
    value, _, _ = run(fixed, method, max_steps=max_steps)
    return jax.lax.stop_gradient(value.coefficients)


def _correction(problem: Any, x: Array) -> Array:
    """A Newton step that is about zero in value, but not in its derivative."""
    loss = problem.loss
    strength, lower, upper = problem.penalty.at()
    image = loss.image(x)
    moving = (x > lower) & (x < upper) & ((x != 0) | (strength == 0))
    slope = loss.gradient(x, image) + strength * jnp.sign(x)
    fixed, inert = jax.lax.stop_gradient((loss, image))
    hessian = fixed.block_hessian(x, inert, jnp.arange(x.shape[0]))
    both = moving[:, None] & moving[None, :]
    inverse = jnp.linalg.pinv(jnp.where(both, hessian, 0.0), hermitian=True)
    # Coordinates at a bound move with it.
    held = jnp.where(x <= lower, lower, jnp.where(x >= upper, upper, 0.0))
    free = x - jax.lax.stop_gradient(x)
    shift = jnp.where((x <= lower) | (x >= upper), x - held, free)
    shift = jnp.where(jnp.isfinite(shift), shift, 0.0)
    coupled = hessian @ jnp.where(moving, 0.0, -shift)
    return jnp.where(moving, inverse @ (slope + coupled), shift)
