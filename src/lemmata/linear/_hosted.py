"""States before and after what must be set up on the host."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ._problem import LinearSolution
from ._stopping import Target, target_of


class Waiting(eqx.Module):
    """Where an iteration will start (x scaled as `target` is), once `restage` was here.

    Another type than the state that follows, so that nothing large is compiled for it.
    """

    x: Array
    target: Target

    def solution(self, vector: bool = False) -> LinearSolution:
        """No answer rather than zero: `run` never visits the host."""
        nothing = jnp.full_like(self.x, jnp.nan)
        return LinearSolution(nothing, nothing if vector else None)


def waiting_at(problem: Any, x: Any) -> Waiting:
    """At x, or at zero where b is zero, whatever a warm start says."""
    target = target_of(jnp.asarray(problem.rhs), problem.rtol)
    x = jnp.where(target.bound_max > 0, x / target.scale, jnp.zeros_like(target.rhs))
    return Waiting(x, target)


def restored(state: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The state with those leaves that have a name in `arrays` replaced."""

    def restore(path: Any, leaf: Any) -> Any:
        found = arrays.get(jax.tree_util.keystr(path))
        return leaf if found is None else jnp.asarray(found)

    return jax.tree_util.tree_map_with_path(restore, state)
