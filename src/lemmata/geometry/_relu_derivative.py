"""The optimum of the convex program as a differentiable function of its data.

Danskin: at the minimiser, only the data's own place in the objective counts.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..core import run
from ._convex_relu import ConvexReLU
from ._relu_admm import ADMM


def optimal_cost(problem: ConvexReLU, *, method: Any = None, max_steps: int = 5000):
    """Least cost over networks with the problem's patterns, traceable.

    Differentiable in the fields `targets` and `weight_decay` (which may be traced), not
    in `inputs`, where the cones move, too. As exact as the steps allow.

    **Arguments:**

    - `method`: compiled, such as `ADMM()`, the default.
    - `max_steps`: static.
    """
    method = ADMM(look_every=max_steps + 1) if method is None else method

    def fields(p: Any) -> tuple[Any, Any]:
        return p.targets, p.weight_decay

    targets, decay = map(jnp.asarray, fields(problem))
    fixed = jax.lax.stop_gradient((targets, decay))
    at = eqx.tree_at(fields, problem, fixed)
    value, _, _ = run(at, method, max_steps=max_steps)
    hidden, output = value.hidden_weights, value.output_weights
    size = 0.5 * (jnp.sum(hidden**2) + jnp.sum(output**2))
    f, size = jax.lax.stop_gradient((at.predictions(hidden, output, jnp), size))
    share = at.criterion.share(f.shape[0])
    return share * at.criterion.value(f, targets, jnp) + decay * size
