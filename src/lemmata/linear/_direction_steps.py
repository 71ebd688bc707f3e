"""What the methods that step along a network's directions share."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import CONVERGED, InvalidMethod, Outcome

_ROOM = 0.999  # of the promise: the last bits of norms computed in two places
RUNNING, MET, INDEFINITE, STALLED, SPENT = range(5)


def grid_of(problem: Any, method: Any) -> tuple[int, ...]:
    """The shape in which the network sees the unknowns.

    **Raises:** `InvalidMethod` if there is none, or the network takes other ones.
    """
    grid = getattr(problem, "grid", None) or method.grid
    where = type(method).__name__
    if grid is None or int(np.prod(grid)) != problem.size:
        expected = f"the shape of a grid of {problem.size} unknowns"
        raise InvalidMethod(f"{where}.grid", expected, grid)
    dimension = method.network.dimension()
    if dimension is not None and dimension != len(grid):
        expected = f"a network of dim = {len(grid)} for this grid {tuple(grid)}"
        raise InvalidMethod(f"{where}.network", expected, f"dim = {dimension}")
    return tuple(grid)


def propose(problem: Any, method: Any, residual: Array, norm: Array) -> Array:
    """The network's direction in float64, zero on inactive cells, shape (n,)."""
    seen = residual
    if method.normalise:
        seen = residual / jnp.where(norm > 0, norm, 1.0)
    field = seen.reshape(grid_of(problem, method))
    if not method.network.exact:
        field = field.astype(jnp.float32)
    d = method.network(field).reshape(-1).astype(jnp.float64)
    active = getattr(problem, "active", None)
    return d if active is None else d * jnp.asarray(active).reshape(-1)


def projected(problem: Any, vector: Array) -> Array:
    """Without what A maps to zero, where the problem knows it."""
    project = getattr(problem, "project", None)
    return vector if project is None else project(vector)


def promise_met(problem: Any, x: Array, residual: Array) -> Array:
    """Whether the judge will find both norms below the promise, its rounding added."""
    goal = _ROOM * problem.rtol * jnp.linalg.norm(problem.rhs)
    goal_max = _ROOM * problem.rtol * jnp.max(jnp.abs(problem.rhs))

    def below(size: Array) -> Array:
        return (jnp.linalg.norm(size) <= goal) & (jnp.max(size) <= goal_max)

    plain = jnp.abs(residual)
    return jax.lax.cond(
        below(plain),
        lambda: below(plain + problem.rounding(x)),
        lambda: jnp.zeros((), bool),
    )


def direction_outcome(state: Any) -> Outcome:
    """Why a run of conjugate directions stopped."""
    code, steps = int(state.code), int(state.steps)
    left = f"{float(state.norm / state.first):.1e} of the first residual was left"
    if code == INDEFINITE:
        return Outcome(
            "indefinite",
            f"Step {steps} met a direction d with d^T A d <= 0: the operator is not "
            "positive definite, so neither this method nor conjugate gradients apply; "
            "check its sign, or solve it by a direct or indefinite method.",
        )
    if code == STALLED:
        return Outcome(
            "stagnated",
            f"Step {steps} no longer changed x and {left}: float64 resolves no more of "
            "this system; ask for a larger rtol.",
        )
    if code == SPENT:
        return Outcome(
            "max_steps",
            f"{steps} steps were taken and {left}, {int(state.fallbacks)} of them "
            "along the residual; train the network for this operator, use "
            "ConjugateGradients(), or raise max_steps.",
        )
    return CONVERGED
