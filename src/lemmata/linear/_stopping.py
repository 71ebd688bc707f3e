"""The true residual against what was promised, in both norms, rounding included."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

_ROOM = 1 - 1e-6  # of the promise: norms are summed in another order by the judge
_DRIFT = 2.0  # a true residual so many times the recurrence's has left it
_GAIN = 0.5  # which is fine while it falls by this factor between two looks


class Target(eqx.Module):
    """A right-hand side, scaled, and the bounds on its residual.

    **Fields:** `scale`, a power of two near max|b|: the iteration is about b / scale
    and x / scale, lest squares overflow or vanish; `rhs` (n,), b / scale; `norm` its
    Euclidean norm, 1 where it is 0; `bound` on ||r||_2, `bound_max` on max|r|.
    """

    scale: Array
    rhs: Array
    norm: Array
    bound: Array
    bound_max: Array


class Look(eqx.Module):
    """What a look at the true residual found.

    **Fields:** `residual` (n,) and its `norm`; `good`: both promises hold; `drifted`:
    it has left the recurrence, and `lost`: without having fallen since the last look;
    `excess`, how many times too large it is (0 where nobody looked); `looked`.
    """

    residual: Array
    norm: Array
    good: Array
    drifted: Array
    lost: Array
    excess: Array
    looked: Array


def target_of(rhs: Array, rtol: Any) -> Target:
    """The bounds that `rtol` sets for `rhs`."""
    largest = jnp.max(jnp.abs(rhs), initial=0.0)
    scale = jnp.where(largest > 0, jnp.ldexp(1.0, jnp.frexp(largest)[1]), 1.0)
    rhs = rhs / scale
    norm = jnp.sqrt(rhs @ rhs)
    bounds = _ROOM * rtol * norm, _ROOM * rtol * largest / scale
    return Target(scale, rhs, jnp.where(norm > 0, norm, 1.0), *bounds)


def look(
    problem: Any, target: Target, x: Array, residual: Array, checked: Any, wanted: Any
) -> Look:
    """The true residual b - A x where wanted, else `residual` as it is.

    **Arguments:** `residual`, by recurrence; `checked`, norm at the last look.

    A loop of at most one turn: `cond` would copy the vectors that it returns.
    """
    no = jnp.asarray(False)
    norm = jnp.sqrt(residual @ residual)

    def body(carry: Any) -> Any:
        _, said, *_ = carry
        found = target.rhs - problem.apply(x)
        noise = problem.rounding(x)
        norm = jnp.sqrt(found @ found)
        size = norm + jnp.sqrt(noise @ noise)
        largest = jnp.max(jnp.abs(found) + noise, initial=0.0)
        good = (size <= target.bound) & (largest <= target.bound_max)
        drifted = ~(norm <= _DRIFT * said)
        excess = jnp.maximum(size / target.bound, largest / target.bound_max)
        return found, norm, good, drifted, excess, no

    start = (residual, norm, no, no, jnp.zeros(()), jnp.asarray(wanted))
    found, norm, good, drifted, excess, _ = jax.lax.while_loop(
        lambda carry: carry[5], body, start
    )
    lost = drifted & ~(norm <= _GAIN * checked)
    return Look(found, norm, good, drifted, lost, excess, jnp.asarray(wanted))
