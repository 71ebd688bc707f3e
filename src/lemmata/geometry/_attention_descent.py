"""Gradient descent and normalised gradient descent on attention weights.

Source: Ataee Tarzanagh, Li, Thrampoulidis and Oymak (arXiv 2308.16898), algorithms
W-GD and KQ-GD, and the normalised steps of their experiments.
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float64, Int64

from ..core import AbstractMethod, require
from ._attention_parameters import (
    AbstractGradient,
    AbstractParameterization,
    Factored,
    Joint,
    Parts,
    StableGradient,
    check_counts,
)
from ._attention_training import AttentionTraining, Real
from ._attention_value import TrainedAttention


class DescentState(eqx.Module):
    """The parts, how many gradient steps were taken, and what was last seen."""

    parts: Parts
    steps: Int64[Array, ""]
    size: Float64[Array, ""]
    probability: Float64[Array, ""]
    log_gradient: Float64[Array, ""]


class AbstractAttentionDescent(AbstractMethod):
    """Steps along minus the gradient; `move` says how long."""

    parameterization: eqx.AbstractVar[AbstractParameterization]
    step_size: eqx.AbstractVar[Real]
    steps: eqx.AbstractVar[int]
    start_scale: eqx.AbstractVar[Real]
    gradient: eqx.AbstractVar[AbstractGradient]
    check_every: eqx.AbstractVar[int]

    def move(self, gradient: Array, scale: Array) -> Array:
        """The step that a gradient e^scale G of one part is worth."""
        raise NotImplementedError

    def validate(self) -> None:
        check_counts(self, "steps", "check_every")
        positive = self.step_size > 0
        require(self, "step_size", positive, expected="> 0", got=self.step_size)
        scale = self.start_scale
        require(self, "start_scale", scale >= 0, expected=">= 0", got=scale)
        if isinstance(self.parameterization, Factored):
            expected = "> 0: K = Q = 0 is a stationary point"
            require(self, "start_scale", scale > 0, expected=expected, got=scale)

    def init(self, problem: AttentionTraining, key: Any) -> DescentState:
        d = problem.tokens.shape[2]
        return self._state(
            problem, self.parameterization.start(d, self.start_scale, key)
        )

    def warm_start(
        self, problem: AttentionTraining, value: TrainedAttention, key: Any
    ) -> DescentState:
        del key
        return self._state(problem, self.parameterization.of(value))

    def _state(self, problem: AttentionTraining, parts: Parts) -> DescentState:
        steps = jnp.asarray(0, dtype=jnp.int64)
        nothing = jnp.zeros(())
        return self._seen(problem, DescentState(parts, steps, *(3 * (nothing,))))

    def _seen(self, problem: AttentionTraining, state: DescentState) -> DescentState:
        weights = self.parameterization.weights(state.parts)
        chance = jnp.exp(jnp.max(problem.attend(weights).log_probability, axis=1))
        slope, scale = self.gradient(problem, weights)
        size = jnp.sqrt(jnp.sum(slope * slope))
        return DescentState(
            state.parts,
            state.steps,
            jnp.sqrt(jnp.sum(weights * weights)),
            jnp.mean(chance),
            scale + jnp.log(jnp.maximum(size, 1e-300)),
        )

    def step(self, problem: AttentionTraining, state: DescentState) -> DescentState:
        def again(_: Any, parts: Parts) -> Parts:
            weights = self.parameterization.weights(parts)
            slope, scale = self.gradient(problem, weights)
            pulled = self.parameterization.pull_back(parts, slope)
            return Parts(
                parts.first - self.move(pulled.first, scale),
                parts.second - self.move(pulled.second, scale),
            )

        left = jnp.minimum(self.check_every, self.steps - state.steps)
        parts = jax.lax.fori_loop(0, left, again, state.parts)
        moved = DescentState(
            parts,
            state.steps + left,
            state.size,
            state.probability,
            state.log_gradient,
        )
        return self._seen(problem, moved)

    def done(self, problem: AttentionTraining, state: DescentState) -> Bool[Array, ""]:
        del problem
        return (state.steps >= self.steps) | ~jnp.isfinite(state.size)

    def finish(
        self, problem: AttentionTraining, state: DescentState
    ) -> TrainedAttention:
        del problem
        return self.parameterization.value(state.parts)

    def observe(
        self, problem: AttentionTraining, state: DescentState
    ) -> dict[str, Array]:
        del problem
        return {
            "gradient_steps": state.steps,
            "norm": state.size,
            "probability": state.probability,
            "log_gradient": state.log_gradient,
        }

    def citations(self) -> tuple[str, ...]:
        return ("tarzanagh2023transformers",)


@final
class NormalizedGradient(AbstractAttentionDescent):
    """Steps of constant length, W <- W - eta grad / ||grad||_F; K and Q each their own.

    Reaches directions that plain descent would need exponentially many steps for. The
    authors add lambda (||K||^2 + ||Q||^2) with lambda = 2.2e-16, which is left out: it
    is less than rounding on the scale of a gradient that does not underflow.

    **Options:**

    - `parameterization`: `Joint()` or `Factored(width)`.
    - `step_size`: eta, > 0, in units of W (of K and of Q).
    - `steps`: gradient steps.
    - `start_scale`: entries of the start are uniform in this times (-1, 1) / sqrt(d);
      0 starts at zero (`Joint` only).
    - `gradient`: `StableGradient()` or `TextbookGradient()`.
    - `check_every`: gradient steps between two rows of the trace.
    """

    parameterization: AbstractParameterization = Joint()
    step_size: Real = 0.1
    steps: int = 10_000
    start_scale: Real = 1.0
    gradient: AbstractGradient = StableGradient()
    check_every: int = 20

    def move(self, gradient: Array, scale: Array) -> Array:
        del scale
        # Divided by the largest entry first: a square may underflow.
        largest = jnp.max(jnp.abs(gradient), initial=0.0)
        unit = gradient / jnp.where(largest > 0, largest, 1.0)
        size = jnp.sqrt(jnp.sum(unit * unit))
        return unit * (self.step_size / jnp.where(size > 0, size, 1.0))


@final
class GradientDescent(AbstractAttentionDescent):
    """Steps along minus the gradient with a constant factor, W <- W - eta grad.

    **Options:** as for `NormalizedGradient`; `step_size` in units of W / gradient.
    """

    parameterization: AbstractParameterization = Joint()
    step_size: Real = 0.1
    steps: int = 10_000
    start_scale: Real = 1.0
    gradient: AbstractGradient = StableGradient()
    check_every: int = 20

    def move(self, gradient: Array, scale: Array) -> Array:
        return jnp.asarray(self.step_size) * jnp.exp(scale) * gradient
