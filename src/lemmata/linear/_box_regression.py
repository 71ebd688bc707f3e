"""Least squares in a box, from the sums of the normal equations.

Source: Bertsekas, SIAM J. Control Optim. 20 (1982), projected Newton steps.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

RIDGE = 1e-9  # of the mean diagonal: picks the least norm among near-minimisers
_HALVINGS = 0.5 ** np.arange(24.0)


def box_least_squares(gram: Array, moment: Array, limits: Array) -> Array:
    """Minimises theta^T G theta / 2 - g^T theta over |theta_j| <= limits_j.

    **Arguments:** `gram` G (m, m), positive semidefinite; `moment` g (m,); `limits`
    (m,), >= 0.

    The first step is the unconstrained solution, of least norm up to the ridge; where
    that lies in the box, it is the answer. Otherwise coordinates at a limit whose
    gradient holds them there are fixed, a Newton step is taken in the others, projected
    onto the box and shortened until the objective falls, until the optimality
    conditions hold.
    """
    m = moment.size
    size = jnp.trace(gram) / m
    regular = gram + jnp.eye(m) * (RIDGE * size + jnp.finfo(jnp.float64).tiny)
    small = 1e-12 * (jnp.max(jnp.abs(moment)) + size * jnp.max(limits))

    def objective(theta: Array) -> Array:
        return theta @ (0.5 * (regular @ theta) - moment)

    def held(theta: Array, slope: Array) -> Array:
        up, down = theta >= limits, theta <= -limits
        return (up & (slope <= 0)) | (down & (slope >= 0))

    def unfinished(carry):
        theta, steps, moved = carry
        slope = regular @ theta - moment
        free = jnp.where(held(theta, slope), 0.0, jnp.abs(slope))
        return (jnp.max(free) > small) & (steps < 60) & moved

    def advance(carry):
        theta, steps, _ = carry
        slope = regular @ theta - moment
        fixed = held(theta, slope)
        free = ~fixed
        mask = free[:, None] & free[None, :]
        system = jnp.where(mask, regular, jnp.diag(fixed.astype(jnp.float64)))
        direction = -_solve(system, jnp.where(free, slope, 0.0))
        trials = theta + _HALVINGS[:, None] * direction
        trials = jnp.clip(trials, -limits, limits)
        values = jax.vmap(objective)(trials)
        promised = 1e-4 * jnp.sum(slope * (trials - theta), axis=1)
        good = values <= objective(theta) + promised
        first = jnp.argmax(good)
        better = jnp.any(good)
        return jnp.where(better, trials[first], theta), steps + 1, better

    start = (jnp.zeros_like(moment), jnp.zeros((), jnp.int64), jnp.ones((), bool))
    theta, _, _ = jax.lax.while_loop(unfinished, advance, start)
    return theta


def _solve(matrix: Array, rhs: Array) -> Array:
    """By elimination, positive definite and tiny: no call into LAPACK."""
    m = rhs.size
    table = jnp.concatenate([matrix, rhs[:, None]], axis=1)

    def eliminate(k: Array, table: Array) -> Array:
        row = table[k] / table[k, k]
        table = table - jnp.outer(table[:, k], row)
        return table.at[k].set(row)

    return jax.lax.fori_loop(0, m, eliminate, table)[:, m]
