"""What a network of directions is worth without conjugation, or with less of it.

Source: baselines of Kaneda et al., ICML 2023 (arXiv 2205.10763); Notay, SIAM J. Sci.
Comput. 22 (2000), for flexible conjugate gradients.
"""

from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ..core import AbstractMethod, Outcome, require
from ._direction_network import AbstractDirections, PretrainedDirections
from ._direction_steps import (
    INDEFINITE,
    MET,
    RUNNING,
    SPENT,
    STALLED,
    direction_outcome,
    projected,
    promise_met,
    propose,
)
from ._problem import LinearSolution


class OneShotState(eqx.Module):
    """x, (n,), whether its residual keeps the promise, and the number of steps."""

    x: Array
    residual: Array
    met: Array
    steps: Array


@final
class NetworkOnly(AbstractMethod):
    """The network's answer to b, scaled as best it can be, and nothing after it.

    **Options:** `network`, `normalise`, `grid`: as for `DeepConjugateDirection`.
    """

    network: AbstractDirections = PretrainedDirections()
    normalise: bool = True
    grid: tuple[int, ...] | None = None

    def init(self, problem: Any, key: Any) -> OneShotState:
        del key
        rhs = jnp.asarray(problem.rhs)
        none = jnp.zeros((), jnp.int64)
        zero = jnp.zeros_like(rhs)
        return OneShotState(zero, jnp.linalg.norm(rhs), jnp.asarray(False), none)

    def step(self, problem: Any, state: OneShotState) -> OneShotState:
        rhs = projected(problem, jnp.asarray(problem.rhs))
        d = propose(problem, self, rhs, jnp.linalg.norm(rhs))
        image = problem.apply(d)
        curvature = d @ image
        curved = jnp.isfinite(curvature) & (curvature > 0)
        step = jnp.where(curved, (rhs @ d) / jnp.where(curved, curvature, 1.0), 0.0)
        x = projected(problem, jnp.where(curved, step * d, 0.0))
        residual = problem.rhs - problem.apply(x)
        met = promise_met(problem, x, residual)
        return OneShotState(x, jnp.linalg.norm(residual), met, state.steps + 1)

    def done(self, problem: Any, state: OneShotState) -> Array:
        del problem
        return state.steps >= 1

    def finish(self, problem: Any, state: OneShotState) -> LinearSolution:
        del problem
        return LinearSolution(state.x)

    def observe(self, problem: Any, state: OneShotState) -> dict[str, Array]:
        return {"residual": state.residual / jnp.linalg.norm(problem.rhs)}

    def outcome(self, problem: Any, state: OneShotState) -> Outcome:
        del problem
        return Outcome(
            "one_shot",
            "The network was asked once, which meets no tolerance except by luck; use "
            "DeepConjugateDirection.",
        )

    def citations(self) -> tuple[str, ...]:
        return ("kaneda2023dcdm",)


class FlexibleState(eqx.Module):
    """Between two steps: x, residual, direction p and A p, all (n,)."""

    x: Array
    residual: Array
    direction: Array
    image: Array
    first: Array
    norm: Array
    fallbacks: Array
    steps: Array
    code: Array


@final
class FlexibleDirections(AbstractMethod):
    """Flexible conjugate gradients with the network as preconditioner.

    Polak-Ribiere's beta = z_k^T (r_k - r_{k-1}) / (z_{k-1}^T r_{k-1}) instead of
    explicit conjugation: a cross-check of `DeepConjugateDirection(window=1)`. The
    residual stands in for proposals that are not finite or not along the descent.

    **Options:** as for `DeepConjugateDirection`.
    """

    network: AbstractDirections = PretrainedDirections()
    normalise: bool = True
    grid: tuple[int, ...] | None = None
    max_steps: int = 1000

    def validate(self) -> None:
        most = self.max_steps
        require(self, "max_steps", most >= 1, expected=">= 1", got=most)

    def init(self, problem: Any, key: Any) -> FlexibleState:
        del key
        rhs = jnp.asarray(problem.rhs)
        residual = projected(problem, rhs)
        zero, none = jnp.zeros_like(rhs), jnp.zeros((), jnp.int64)
        norm = jnp.linalg.norm(residual)
        code = jnp.where(promise_met(problem, zero, residual), MET, RUNNING)
        return FlexibleState(zero, residual, zero, zero, norm, norm, none, none, code)

    def step(self, problem: Any, state: FlexibleState) -> FlexibleState:
        r = state.residual
        z = projected(problem, propose(problem, self, r, state.norm))
        z = jnp.where(z @ r < 0, -z, z)
        good = jnp.isfinite(z @ z) & (z @ r > 1e-8 * state.norm * jnp.linalg.norm(z))
        z = jnp.where(good, z, r)
        last = state.image @ state.direction
        return self._advance(problem, state, z, good, last)

    def _advance(
        self, problem: Any, state: FlexibleState, z: Array, good: Array, last: Array
    ) -> FlexibleState:
        """Beta = -z^T A p / p^T A p with the last direction p.

        That is Polak-Ribiere's value, since r_k - r_{k-1} = -alpha A p and, by the
        exact step, z_{k-1}^T r_{k-1} = alpha p^T A p.
        """
        beta = jnp.where(last > 0, -(z @ state.image) / last, 0.0)
        p = z + beta * state.direction
        image = problem.apply(p)
        curvature = p @ image
        usable = curvature > 0
        alpha = jnp.where(usable, (state.residual @ p) / curvature, 0.0)
        x = state.x + alpha * p
        residual = projected(problem, problem.rhs - problem.apply(x))
        steps = state.steps + 1
        code = jnp.where(steps >= self.max_steps, SPENT, RUNNING)
        code = jnp.where(jnp.all(x == state.x), STALLED, code)
        code = jnp.where(usable, code, INDEFINITE)
        code = jnp.where(promise_met(problem, x, residual), MET, code)
        return FlexibleState(
            x,
            residual,
            p,
            image,
            state.first,
            jnp.linalg.norm(residual),
            state.fallbacks + ~good,
            steps,
            code,
        )

    def done(self, problem: Any, state: FlexibleState) -> Array:
        del problem
        return (state.code != RUNNING) | jnp.isnan(state.norm)

    def finish(self, problem: Any, state: FlexibleState) -> LinearSolution:
        return LinearSolution(projected(problem, state.x))

    def observe(self, problem: Any, state: FlexibleState) -> dict[str, Array]:
        del problem
        return {
            "residual": state.norm / state.first,
            "fallbacks": state.fallbacks,
        }

    def outcome(self, problem: Any, state: FlexibleState) -> Outcome:
        del problem
        return direction_outcome(state)

    def citations(self) -> tuple[str, ...]:
        return ("kaneda2023dcdm", "notay2000flexible")
