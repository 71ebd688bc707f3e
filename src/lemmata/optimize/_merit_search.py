"""Armijo's rule for the exact augmented Lagrangian: one f and one c per trial.

Where the decrease drowns in rounding, the trapezoidal rule on the slopes at both ends
replaces the difference of values, as in Hager and Zhang, SIAM J. Optim. 16 (2005).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float64, Int64

from ._lagrangian import (
    FirstOrder,
    first_order,
    merit,
    merit_gradient,
    merit_parts,
    merit_size,
)

_ROUNDING = 64 * 2.0**-53  # relative to the sizes of the terms of the merit


class Accepted(eqx.Module):
    """The trial that was accepted, or the last one.

    **Fields:** `alpha`, its step length; `trials`, how many; `slopes`, how many needed
    their own slope.
    """

    x: Float64[Array, " n"]
    multipliers: Float64[Array, " m"]
    at: FirstOrder
    alpha: Float64[Array, ""]
    trials: Int64[Array, ""]
    slopes: Int64[Array, ""]
    good: Bool[Array, ""]


def search(
    problem: Any,
    x: Array,
    multipliers: Array,
    at: FirstOrder,
    direction: Any,
    beta: Array,
    max_halvings: int,
) -> Accepted:
    """Halves alpha = 1 until L_eta(z + alpha d) <= L_eta(z) + alpha beta slope."""
    eta1, eta2, slope = direction.eta1, direction.eta2, direction.slope
    n = x.shape[0]
    along, across = direction.step[:n], direction.step[n:]
    begun = merit(at, multipliers, eta1, eta2)
    size = merit_size(at, multipliers, eta1, eta2)

    def far_slope(x: Array, multipliers: Array, trial: FirstOrder) -> Array:
        parts = merit_parts(problem, x, multipliers, trial)
        return merit_gradient(trial, parts, eta1, eta2) @ direction.step

    def attempt(last: Accepted) -> Accepted:
        alpha = 0.5 * last.alpha
        there, multiplied = x + alpha * along, multipliers + alpha * across
        trial = first_order(problem, there, multiplied)
        excess = merit(trial, multiplied, eta1, eta2) - begun - alpha * beta * slope
        noise = _ROUNDING * (size + merit_size(trial, multiplied, eta1, eta2))
        unclear = jnp.abs(excess) <= noise
        far = jax.lax.cond(
            unclear,
            lambda: far_slope(there, multiplied, trial),
            lambda: jnp.asarray(jnp.inf),
        )
        by_slopes = 0.5 * (slope + far) <= beta * slope
        good = jnp.where(unclear, by_slopes, excess <= 0)
        return Accepted(
            there,
            multiplied,
            trial,
            alpha,
            last.trials + 1,
            last.slopes + unclear,
            good,
        )

    zero = jnp.zeros((), jnp.int64)
    start = Accepted(
        x, multipliers, at, jnp.asarray(2.0), zero, zero, jnp.asarray(False)
    )

    def unfinished(last: Accepted) -> Array:
        return ~last.good & (last.trials <= max_halvings)

    return jax.lax.while_loop(unfinished, attempt, start)
