"""When and how the regularisation is approached from above."""

from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ._cost import Real


class AbstractAnnealing(eqx.Module):
    """A schedule eta_k = eta / factor^k, k falling to 0."""


@final
class Geometric(AbstractAnnealing):
    """From `eta = start / range(C)` upwards by `factor`, always.

    **Options:** `factor`, > 1; `start`, > 0; `loose`, the L1 marginal error at which an
    intermediate eta is left.
    """

    factor: Real = 2.0
    start: Real = 20.0
    loose: Real = 1e-2


@final
class OnStall(AbstractAnnealing):
    """Starts over with `schedule` once the Newton stage has stalled."""

    schedule: Geometric = Geometric()


def schedule_of(annealing: AbstractAnnealing | None) -> Geometric | None:
    """The schedule to be used at some time, if any."""
    if isinstance(annealing, OnStall):
        return annealing.schedule
    return annealing if isinstance(annealing, Geometric) else None


def count_levels(schedule: Geometric | None, eta: Array, spread: Any) -> Array:
    """Number of etas below the last; 0 without a schedule."""
    if schedule is None:
        return jnp.zeros((), jnp.int64)
    first = schedule.start / jnp.maximum(spread, 1e-300)
    levels = jnp.ceil(jnp.log(eta / first) / jnp.log(schedule.factor))
    return jnp.clip(levels, 0, 200).astype(jnp.int64)
