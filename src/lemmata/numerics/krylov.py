"""Conjugate gradients for operators given as functions.

Source: Hestenes and Stiefel, J. Res. NBS 49 (1952); Saad, Iterative Methods for Sparse
Linear Systems (2003), algorithm 9.1.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array


class KrylovResult(eqx.Module):
    """What an inner solve ended with.

    **Fields:** `solution` (n,); `steps`, applications of the operator; `residual`,
    Euclidean norm of `rhs - A x` by the recurrence.
    """

    solution: Array
    steps: Array
    residual: Array


class CGState(eqx.Module):
    """Between two iterations of preconditioned conjugate gradients.

    **Fields:** `x`, `residual` r, `direction` p, all (n,); `energy` r^T M r with M the
    preconditioner, `curvature` p^T A p of the last step, `alpha` its length.
    """

    x: Array
    residual: Array
    direction: Array
    energy: Array
    curvature: Array
    alpha: Array


def cg_start(precondition: Callable[[Array], Array], x: Any, residual: Any) -> CGState:
    """The state at x with residual b - A x."""
    scaled = precondition(residual)
    zero = jnp.zeros(())
    return CGState(x, residual, scaled, residual @ scaled, zero, zero)


def cg_move(operator: Callable[[Array], Array], state: CGState) -> CGState:
    """Moves along the direction, nowhere if its curvature is not > 0.

    `direction` and `energy` are left for `cg_turn`.
    """
    image = operator(state.direction)
    curvature = state.direction @ image
    broken = ~(curvature > 0)
    alpha = jnp.where(broken, 0.0, state.energy / jnp.where(broken, 1.0, curvature))
    x = state.x + alpha * state.direction
    residual = state.residual - alpha * image
    return CGState(x, residual, state.direction, state.energy, curvature, alpha)


def cg_turn(
    precondition: Callable[[Array], Array], state: CGState, restart: Any = False
) -> CGState:
    """The next direction, conjugate to the last, or the steepest one on `restart`."""
    scaled = precondition(state.residual)
    energy = state.residual @ scaled
    beta = jnp.where(restart, 0.0, energy / state.energy)
    direction = scaled + beta * state.direction
    return CGState(
        state.x, state.residual, direction, energy, state.curvature, state.alpha
    )


def conjugate_gradients(
    operator: Callable[[Array], Array],
    rhs: Array,
    *,
    diagonal: Array | None = None,
    precondition: Callable[[Array], Array] | None = None,
    rtol: Array | float,
    scale: Array | float | None = None,
    max_steps: Array | int,
    project: Callable[[Array], Array] = lambda v: v,
) -> KrylovResult:
    """Solves `A x = rhs`, A symmetric positive semidefinite, from `x = 0`.

    **Arguments:**

    - `operator`: v -> A v, shape (n,) to (n,).
    - `diagonal`: positive diagonal (n,) of the Jacobi preconditioner.
    - `precondition`: r -> M r in its place, M symmetric positive definite; with neither
      there is none.
    - `rtol`: stops once the residual's Euclidean norm is <= `rtol * scale`.
    - `scale`: defaults to the norm of `rhs`.
    - `project`: orthogonal projection onto the range of A where A is singular; the
      residuals are kept in it.

    A direction of no curvature ends the iteration: A is then not positive definite on
    what is left.
    """
    scaling = 1.0 if diagonal is None else diagonal

    def scaled(residual: Array) -> Array:
        return residual / scaling

    improve = scaled if precondition is None else precondition
    residual = project(rhs)
    goal = (jnp.linalg.norm(residual) if scale is None else scale) * rtol

    def unfinished(carry):
        state, steps, broken = carry
        above = jnp.sqrt(state.residual @ state.residual) > goal
        return above & (steps < max_steps) & ~broken & (state.energy > 0)

    def advance(carry):
        state, steps, _ = carry
        state = cg_move(operator, state)
        broken = ~(state.curvature > 0)
        state = eqx.tree_at(lambda s: s.residual, state, project(state.residual))
        return cg_turn(improve, state), steps + 1, broken

    state = cg_start(improve, jnp.zeros_like(rhs), residual)
    start = (state, jnp.zeros((), jnp.int64), jnp.zeros((), bool))
    state, steps, _ = jax.lax.while_loop(unfinished, advance, start)
    return KrylovResult(state.x, steps, jnp.linalg.norm(state.residual))
