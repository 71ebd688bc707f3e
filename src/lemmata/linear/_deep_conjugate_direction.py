"""Conjugate directions that a network proposes; correct whatever the network says.

Source: Kaneda, Akar, Chen, Kala, Hyde and Teran, ICML 2023 (arXiv 2205.10763),
algorithm 1. Differences: (1) both norms of the problem's promise end the run; (2)
directions are conjugated twice over, since once loses digits where a proposal nearly
repeats the last ones; (3) a proposal that is not finite, flat or orthogonal to the
residual is replaced by the residual, and counted.
"""

from collections.abc import Mapping
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import (
    AbstractMethod,
    Claim,
    Outcome,
    Withheld,
    require,
)
from ._descent_claims import conjugacy_claim, contraction_claim, descent_claim
from ._direction_network import (
    AbstractDirections,
    PretrainedDirections,
    ResidualDirections,
)
from ._direction_steps import (
    INDEFINITE,
    MET,
    RUNNING,
    SPENT,
    STALLED,
    direction_outcome,
    grid_of,
    projected,
    promise_met,
    propose,
)
from ._problem import LinearSolution

_FLAT = 1e-14  # d^T A d below this share of max(A_ii) ||d||^2 is no curvature
_ORTHOGONAL = 1e-8  # |r^T d| below this share of ||r|| ||d|| gains nothing
_NEGATIVE = 1e-10  # curvature below minus this share is not rounding


class DirectionState(eqx.Module):
    """Between two steps.

    **Fields:** `x`, `start` x_0, `residual` b - A x, all (n,); `directions`, `images`
    (A times them) and `curvatures` of the last window + 1 steps, newest last, zeros and
    ones before they exist; `first` and `norm` of the residual; `decrement` of
    ||x - x*||_A^2 in the last step; counts; `code`, why it stopped.
    """

    x: Array
    start: Array
    residual: Array
    directions: Array
    images: Array
    curvatures: Array
    first: Array
    norm: Array
    decrement: Array
    fallbacks: Array
    applications: Array
    steps: Array
    code: Array


@final
class DeepConjugateDirection(AbstractMethod):
    """Steps along what a network makes of the residual, conjugated to the last ones.

    Each step minimises ||x - x*||_A along its direction, so the error in that norm
    never grows, whatever is proposed. The residual is b - A x anew every time: two
    applications of A a step. Proposals are float32, everything else is float64.

    **Options:**

    - `network`: `DirectionNetwork`, `SavedDirections(path)`, or any
      `AbstractDirections`; with `ResidualDirections()` this is conjugate gradients.
    - `window`: how many last directions the next is made conjugate to, >= 0.
    - `normalise`: the network sees r / ||r||, as it was trained to.
    - `grid`: shape of the unknowns for a problem that has none of its own.
    - `max_steps`: gives up after so many.
    """

    network: AbstractDirections = PretrainedDirections()
    window: int = 2
    normalise: bool = True
    grid: tuple[int, ...] | None = None
    max_steps: int = 1000

    def validate(self) -> None:
        is_network = isinstance(self.network, AbstractDirections)
        got = type(self.network).__name__
        expected = "DirectionNetwork(...) or other AbstractDirections"
        require(self, "network", is_network, expected=expected, got=got)
        for field, least in (("window", 0), ("max_steps", 1)):
            count = getattr(self, field)
            whole = isinstance(count, int) and count >= least
            require(self, field, whole, expected=f"an integer >= {least}", got=count)

    def init(self, problem: Any, key: Any) -> DirectionState:
        del key  # deterministic
        return self._start(problem, jnp.zeros(problem.size), jnp.asarray(problem.rhs))

    def warm_start(
        self, problem: Any, value: LinearSolution, key: Any
    ) -> DirectionState:
        del key
        x = jnp.asarray(value.x)
        return self._start(problem, x, problem.rhs - problem.apply(x))

    def _start(self, problem: Any, x: Array, residual: Array) -> DirectionState:
        grid_of(problem, self)
        residual = projected(problem, residual)
        norm, zero = jnp.linalg.norm(residual), jnp.zeros(())
        none, count = jnp.zeros((), jnp.int64), self.window + 1
        stored = jnp.zeros((count, problem.size))
        state = DirectionState(
            x=x,
            start=x,
            residual=residual,
            directions=stored,
            images=stored,
            curvatures=jnp.ones(count),
            first=norm,
            norm=norm,
            decrement=zero,
            fallbacks=none,
            applications=none,
            steps=none,
            code=none,
        )
        code = jnp.where(promise_met(problem, x, residual), MET, RUNNING)
        return eqx.tree_at(lambda s: s.code, state, code)

    def step(self, problem: Any, state: DirectionState) -> DirectionState:
        proposal = propose(problem, self, state.residual, state.norm)
        d = self._conjugated(problem, state, proposal)
        found = _Direction(d, problem.apply(d), jnp.zeros((), jnp.int64))
        scale = jnp.max(problem.diagonal())
        bad = _unusable(state, found, scale)
        negative = _negative(found, scale)

        def instead() -> _Direction:
            d = self._conjugated(problem, state, state.residual)
            return _Direction(d, problem.apply(d), jnp.ones((), jnp.int64))

        found = jax.lax.cond(bad & ~negative, instead, lambda: found)
        curvature = found.curvature
        usable = jnp.isfinite(curvature) & (curvature > 0)
        moved = _move(problem, self, state, found)
        code = jnp.where(usable, moved.code, INDEFINITE)
        nothing = (moved.steps, jnp.zeros(()))
        stayed = eqx.tree_at(lambda s: (s.steps, s.decrement), state, nothing)
        chosen = jax.tree.map(lambda a, b: jnp.where(usable, a, b), moved, stayed)
        return eqx.tree_at(lambda s: s.code, chosen, code)

    def _conjugated(self, problem: Any, state: DirectionState, d: Array) -> Array:
        d = projected(problem, d)
        for _ in range(2):
            for j in range(1, self.window + 1):
                share = (d @ state.images[j]) / state.curvatures[j]
                d = d - share * state.directions[j]
        return d

    def done(self, problem: Any, state: DirectionState) -> Array:
        del problem
        return (state.code != RUNNING) | jnp.isnan(state.norm)

    def finish(self, problem: Any, state: DirectionState) -> LinearSolution:
        return LinearSolution(projected(problem, state.x))

    def observe(self, problem: Any, state: DirectionState) -> dict[str, Array]:
        del problem
        return {
            "residual": state.norm / state.first,
            "decrement": state.decrement,
            "fallbacks": state.fallbacks,
            "applications": state.applications,
        }

    def outcome(self, problem: Any, state: DirectionState) -> Outcome:
        del problem
        return direction_outcome(state)

    def claims(
        self,
        problem: Any,
        value: LinearSolution,
        state: DirectionState,
        trace: Mapping[str, np.ndarray],
    ) -> tuple[Claim | Withheld, ...]:
        return (
            descent_claim(state.start, trace),
            conjugacy_claim(state.directions, self.window, int(state.steps)),
            contraction_claim(problem, value, state, trace),
        )

    def citations(self) -> tuple[str, ...]:
        if isinstance(self.network, ResidualDirections):
            return ("hestenes1952methods",)
        return ("kaneda2023dcdm",)


class _Direction(eqx.Module):
    """A direction d, A d, and whether it stands in for the network's (0 or 1)."""

    d: Array
    image: Array
    fallback: Array

    @property
    def curvature(self) -> Array:
        return self.d @ self.image


def _unusable(state: DirectionState, found: _Direction, scale: Array) -> Array:
    d, size = found.d, found.d @ found.d
    gain = jnp.abs(state.residual @ d)
    curved = found.curvature > _FLAT * scale * size
    gains = gain > _ORTHOGONAL * state.norm * jnp.sqrt(size)
    return ~(jnp.isfinite(size) & jnp.isfinite(found.curvature) & curved & gains)


def _negative(found: _Direction, scale: Array) -> Array:
    """Curvature that rounding cannot explain: A is not positive semidefinite."""
    return found.curvature < -_NEGATIVE * scale * (found.d @ found.d)


def _move(
    problem: Any, method: Any, state: DirectionState, found: _Direction
) -> DirectionState:
    curvature = jnp.where(found.curvature > 0, found.curvature, 1.0)
    gain = state.residual @ found.d
    alpha = gain / curvature
    x = state.x + alpha * found.d
    residual = projected(problem, problem.rhs - problem.apply(x))
    steps = state.steps + 1
    code = jnp.where(steps >= method.max_steps, SPENT, RUNNING)
    code = jnp.where(jnp.all(x == state.x), STALLED, code)
    code = jnp.where(promise_met(problem, x, residual), MET, code)

    def shifted(old: Array, new: Array) -> Array:
        return jnp.concatenate([old[1:], new[None]])

    return DirectionState(
        x=x,
        start=state.start,
        residual=residual,
        directions=shifted(state.directions, found.d),
        images=shifted(state.images, found.image),
        curvatures=shifted(state.curvatures, curvature),
        first=state.first,
        norm=jnp.linalg.norm(residual),
        decrement=gain * alpha,
        fallbacks=state.fallbacks + found.fallback,
        applications=state.applications + 2 + found.fallback,
        steps=steps,
        code=code,
    )
