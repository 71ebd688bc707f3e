"""Successive over-relaxation, one-way and symmetric, in the order of the unknowns.

Source: Young, Iterative Solution of Large Linear Systems (1971); Saad, Iterative
Methods for Sparse Linear Systems (2003), section 4.1.
"""

import abc
from collections.abc import Mapping
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import AbstractMethod, Outcome, require
from ._hosted import Waiting, restored, waiting_at
from ._outcomes import CONVERGED, DIVERGED, LIMIT, NAN, STAGNATED, outcome_of
from ._preconditioner import (
    SymmetricSOR,
    Unchanged,
    check_relaxation,
    stored_matrix,
    swept,
)
from ._problem import LinearSolution, Real
from ._stopping import Target, look
from ._wavefront import SweptMatrix

_BLOWN_UP = 1e8  # growth of the residual: for definite A the energy never grows


class StationaryState(eqx.Module):
    """Between two sweeps: x and its true residual, scaled as `target` is.

    **Fields:** `correct`, r -> the change of x; `norm` of the residual, `first` at the
    start; `code`, why it stopped (0: it did not).
    """

    x: Array
    residual: Array
    correct: Any
    target: Target
    norm: Array
    first: Array
    steps: Array
    code: Array


class _Sweep(eqx.Module):
    """r -> (D / w + L)^{-1} r."""

    matrix: SweptMatrix
    relaxation: Array

    def __call__(self, residual: Array) -> Array:
        fronts = self.matrix.fronts
        found = self.matrix.forward(fronts.enter(residual), self.relaxation)
        return self.relaxation * fronts.leave(found)


class AbstractStationary(AbstractMethod):
    """x <- x + P^{-1} (b - A x), one step a sweep, stopping on the true residual."""

    relaxation: eqx.AbstractVar[Real]
    max_sweeps: eqx.AbstractVar[int]

    @abc.abstractmethod
    def correction(self, problem: Any) -> Any:
        """The map r -> P^{-1} r, set up on the host."""

    def validate(self) -> None:
        check_relaxation(self, self.relaxation)
        count = self.max_sweeps
        require(self, "max_sweeps", count >= 1, expected=">= 1", got=count)

    def init(self, problem: Any, key: Any) -> Waiting:
        del key  # deterministic
        return waiting_at(problem, jnp.zeros_like(jnp.asarray(problem.rhs)))

    def warm_start(self, problem: Any, value: Any, key: Any) -> Waiting:
        del key
        return waiting_at(problem, jnp.asarray(value.x))

    def step(self, problem: Any, state: Any) -> Any:
        if isinstance(state, Waiting):
            return state
        x = state.x + state.correct(state.residual)
        residual = state.target.rhs - problem.apply(x)
        norm = jnp.sqrt(residual @ residual)
        near = norm <= state.target.bound
        found = look(problem, state.target, x, residual, jnp.inf, near)
        steps = state.steps + 1
        reasons = (
            (found.good, CONVERGED),
            (~jnp.isfinite(norm), NAN),
            (norm > _BLOWN_UP * state.first, DIVERGED),
            (jnp.all(x == state.x), STAGNATED),
            (steps >= self.max_sweeps, LIMIT),
        )
        code = jnp.zeros((), jnp.int64)
        for holds, reason in reversed(reasons):
            code = jnp.where(holds, reason, code)
        return StationaryState(
            x, residual, state.correct, state.target, norm, state.first, steps, code
        )

    def done(self, problem: Any, state: Any) -> Array:
        del problem
        if isinstance(state, Waiting):
            return jnp.asarray(True)
        return (state.code != 0) | ~jnp.isfinite(state.norm)

    def finish(self, problem: Any, state: Any) -> LinearSolution:
        del problem
        if isinstance(state, Waiting):
            return state.solution()
        return LinearSolution(state.x * state.target.scale)

    def observe(self, problem: Any, state: Any) -> dict[str, Array]:
        del problem
        if isinstance(state, Waiting):
            return {"residual": jnp.ones(())}
        return {"residual": state.norm / state.target.norm}

    def restage(self, problem: Any, state: Any) -> Any:
        if not isinstance(state, Waiting):
            return None
        return _ready(problem, self.correction(problem), state)

    def outcome(self, problem: Any, state: StationaryState) -> Outcome:
        return outcome_of(int(state.code), problem, state)

    def to_arrays(self, state: Any) -> dict[str, np.ndarray]:
        if not isinstance(state, Waiting):  # the schedule is made again, not kept
            state = eqx.tree_at(lambda s: s.correct, state, Unchanged())
        return super().to_arrays(state)

    def from_arrays(self, problem: Any, arrays: Mapping[str, np.ndarray]) -> Any:
        if ".code" not in arrays:
            return super().from_arrays(problem, arrays)
        waiting = waiting_at(problem, jnp.zeros_like(problem.rhs))
        return restored(_ready(problem, self.correction(problem), waiting), arrays)


@final
class SOR(AbstractStationary):
    """x <- x + (D / w + L)^{-1} (b - A x), A = L + D + L^T; w = 1 is Gauss-Seidel.

    **Options:**

    - `relaxation`: w, in (0, 2); converges for every one where A is definite.
    - `max_sweeps`: gives up after so many.
    """

    relaxation: Real = 1.0
    max_sweeps: int = 100_000

    def correction(self, problem: Any) -> _Sweep:
        matrix = swept(stored_matrix("SOR", problem))
        return _Sweep(matrix, jnp.asarray(self.relaxation, jnp.float64))

    def citations(self) -> tuple[str, ...]:
        return ("young1971iterative",)


@final
class SSOR(AbstractStationary):
    """x <- x + w (2 - w) (D + w L^T)^{-1} D (D + w L)^{-1} (b - A x).

    **Options:**

    - `relaxation`: w, in (0, 2); converges for every one where A is definite.
    - `max_sweeps`: gives up after so many.
    """

    relaxation: Real = 1.0
    max_sweeps: int = 100_000

    def correction(self, problem: Any) -> Any:
        return SymmetricSOR(self.relaxation).prepare(problem)

    def citations(self) -> tuple[str, ...]:
        return ("young1971iterative",)


@eqx.filter_jit
def _ready(problem: Any, correct: Any, waiting: Waiting) -> StationaryState:
    """At x, with its true residual; done at once where x is good already."""
    x, target, always = waiting.x, waiting.target, jnp.asarray(True)
    found = look(problem, target, x, jnp.zeros_like(x), jnp.inf, always)
    broken = jnp.where(jnp.isfinite(found.norm), 0, NAN)
    code = jnp.where(found.good, CONVERGED, broken)
    count, norm = jnp.zeros((), jnp.int64), found.norm
    return StationaryState(x, found.residual, correct, target, norm, norm, count, code)
