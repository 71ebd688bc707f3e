"""Conjugate gradients for operators given as functions.

Source: Hestenes and Stiefel, J. Res. NBS 49 (1952); Saad, Iterative Methods for Sparse
Linear Systems (2003), algorithm 9.1.
"""

from collections.abc import Callable

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


def conjugate_gradients(
    operator: Callable[[Array], Array],
    rhs: Array,
    *,
    diagonal: Array,
    rtol: Array | float,
    scale: Array | float | None = None,
    max_steps: Array | int,
    project: Callable[[Array], Array] = lambda v: v,
) -> KrylovResult:
    """Solves `A x = rhs`, A symmetric positive semidefinite, from `x = 0`.

    **Arguments:**

    - `operator`: v -> A v, shape (n,) to (n,).
    - `diagonal`: positive diagonal (n,) of the Jacobi preconditioner.
    - `rtol`: stops once the residual's Euclidean norm is <= `rtol * scale`.
    - `scale`: defaults to the norm of `rhs`.
    - `project`: orthogonal projection onto the range of A where A is singular; the
      residuals are kept in it.

    A direction of no curvature ends the iteration: A is then not positive definite on
    what is left.
    """
    residual = project(rhs)
    goal = (jnp.linalg.norm(residual) if scale is None else scale) * rtol
    scaled = residual / diagonal
    energy = residual @ scaled

    def unfinished(carry):
        _, residual, _, energy, steps, broken = carry
        above = jnp.sqrt(residual @ residual) > goal
        return above & (steps < max_steps) & ~broken & (energy > 0)

    def advance(carry):
        x, residual, direction, energy, steps, _ = carry
        image = operator(direction)
        curvature = direction @ image
        broken = ~(curvature > 0)
        length = jnp.where(broken, 0.0, energy / jnp.where(broken, 1.0, curvature))
        residual = project(residual - length * image)
        scaled = residual / diagonal
        new = residual @ scaled
        x, direction = x + length * direction, scaled + (new / energy) * direction
        return x, residual, direction, new, steps + 1, broken

    start = (
        jnp.zeros_like(rhs),
        residual,
        scaled,
        energy,
        jnp.zeros((), jnp.int64),
        jnp.zeros((), bool),
    )
    x, residual, _, _, steps, _ = jax.lax.while_loop(unfinished, advance, start)
    return KrylovResult(x, steps, jnp.linalg.norm(residual))
