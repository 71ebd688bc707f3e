"""How the (semi-)dual is climbed: the options LBFGS() and Adam()."""

import abc
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import optax
from jax import Array

from ..core import InvalidMethod
from ..numerics.lbfgs import Function, LbfgsState, lbfgs_init, lbfgs_step
from ._cost import Real


class AbstractOptimizer(eqx.Module):
    """Minimises a function given as `x -> (value, gradient)`, one step at a time."""

    max_steps: eqx.AbstractVar[int]

    def validate(self) -> None:
        """Raises `InvalidMethod` for an option that does not fit."""
        for name in ("max_steps", "memory", "learning_rate"):
            value = getattr(self, name, 1)
            if not value > 0:
                raise InvalidMethod(f"{type(self).__name__}.{name}", "> 0", value)

    @abc.abstractmethod
    def init(self, function: Function, x: Array) -> Any:
        """State with `x`, `value`, `gradient` and `stalled`."""

    @abc.abstractmethod
    def step(self, function: Function, state: Any) -> Any:
        """One step."""


@final
class LBFGS(AbstractOptimizer):
    """Limited-memory BFGS with a line search that copes with kinks.

    **Options:**

    - `memory`: pairs kept, > 0.
    - `max_steps`: bound on the steps of one cap of the path, > 0.
    """

    memory: int = 20
    max_steps: int = 1000

    def init(self, function: Function, x: Array) -> LbfgsState:
        """See `lbfgs_init`."""
        return lbfgs_init(function, x, self.memory)

    def step(self, function: Function, state: LbfgsState) -> LbfgsState:
        """See `lbfgs_step`."""
        done = lbfgs_step(function, state)
        # Progress below what float64 tells from none.
        tiny = done.change <= 1e-15 * (1 + jnp.abs(done.value))
        return eqx.tree_at(lambda s: s.stalled, done, done.stalled | tiny)


class AdamState(eqx.Module):
    """`x`, `gradient` (d,); `value`; optax's own state; `stalled`: not finite."""

    x: Array
    value: Array
    gradient: Array
    moments: Any
    stalled: Array


@final
class Adam(AbstractOptimizer):
    """Adam (Kingma and Ba, 2015), as in the paper's experiments.

    **Options:**

    - `learning_rate`: > 0, in units of the cost.
    - `max_steps`: bound on the steps of one cap of the path, > 0.
    """

    learning_rate: Real = 1e-2
    max_steps: int = 1000

    def init(self, function: Function, x: Array) -> AdamState:
        """The state at `x`."""
        moments = self._rule().init(x)
        return AdamState(x, *function(x), moments, jnp.asarray(False))

    def step(self, function: Function, state: AdamState) -> AdamState:
        """One step."""
        update, moments = self._rule().update(state.gradient, state.moments)
        x = state.x + jnp.asarray(update)
        value, gradient = function(x)
        return AdamState(x, value, gradient, moments, ~jnp.isfinite(value))

    def _rule(self) -> optax.GradientTransformation:
        rate: Any = self.learning_rate
        return optax.adam(rate)
