"""Values made of potentials, inside and outside the driver."""

from typing import Any

import jax
import jax.numpy as jnp

from ._plan import TransportPlan
from ._rounding import normalised, round_plan


def transport_plan(problem: Any, x: jax.Array, y: jax.Array) -> TransportPlan:
    """The feasible plan that potentials stand for; inside the driver."""
    source, target = (jnp.asarray(w) for w in (problem.source, problem.target))
    scalings = problem.scalings()._replace(
        source=normalised(source), target=normalised(target)
    )
    epsilon = jnp.asarray(problem.epsilon, jnp.float64)
    return TransportPlan(problem, *round_plan(problem.cost, scalings, epsilon, x, y))
