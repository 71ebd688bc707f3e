"""Preconditioned conjugate gradients that stop on the true residual.

Source: Hestenes and Stiefel, J. Res. NBS 49 (1952); Saad, Iterative Methods for Sparse
Linear Systems (2003), algorithm 9.1; van der Vorst and Ye, SIAM J. Sci. Comput. 22
(2000), on residuals that drift from the recurrence.
"""

from collections.abc import Mapping
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import AbstractMethod, Outcome, require
from ..numerics.krylov import CGState, cg_move, cg_start, cg_turn
from ._hosted import Waiting, restored, waiting_at
from ._outcomes import (
    CONVERGED,
    INDEFINITE,
    MISLED,
    NAN,
    SINGULAR,
    STAGNATED,
    outcome_of,
)
from ._preconditioner import AbstractPreconditioner, Jacobi, Unchanged
from ._problem import LinearSolution
from ._stopping import Look, Target, look, target_of

_NEARER = 0.9  # of the norm that a look found wanting: where to look again, at most
_SUSPECT = 1e10  # ratio of step lengths from which on curvature is looked at closely
_NOISE = 32 * 2.0**-53  # curvature below this share of p^T D p is rounding
_ENCLOSURE = 0.1  # relative residual of A v = 1: then A v >= 0.9


class ConjugateGradientsState(eqx.Module):
    """Between two iterations.

    **Fields:** `cg`; `preconditioner`, r -> M r; `target`, the right-hand side and what
    its residual must fall below; `goal`, norm of the recurrence's residual at which the
    true one is looked at; `norm`, `checked`, norms of the residual now and at the last
    look; `best`, `best_step`, the smallest so far and when; `shortest`, least step
    length; `code`, why it stopped (0: it did not); `answer`, `answer_code`: x while the
    enclosing vector is computed.
    """

    cg: CGState
    preconditioner: Any
    target: Target
    goal: Array
    norm: Array
    checked: Array
    best: Array
    best_step: Array
    shortest: Array
    steps: Array
    code: Array
    answer: Array
    answer_code: Array


@final
class ConjugateGradients(AbstractMethod):
    """Conjugate gradients; one step is one iteration, one product with A.

    The residual of the recurrence only says when to look at the true one, b - A x; the
    iteration ends when that meets the promise in both norms with the judge's rounding
    added, and goes on from it otherwise.

    **Options:**

    - `preconditioner`: `Jacobi()`, `Identity()`, `SymmetricSOR(relaxation)`,
      `IncompleteCholesky()`, `AlgebraicMultigrid()` or one of your own.
    - `enclose`: solve A v = 1 as well, coarsely, for a bound on the error (where A has
      no positive entry off the diagonal): about twice the work or less.
    - `patience`: gives up after so many iterations without a residual smaller by a
      tenth; None: 10 n + 200.
    """

    preconditioner: AbstractPreconditioner = Jacobi()
    enclose: bool = eqx.field(static=True, default=False)
    patience: int | None = None

    def validate(self) -> None:
        known = isinstance(self.preconditioner, AbstractPreconditioner)
        got = type(self.preconditioner).__name__
        expected = "a preconditioner, such as Jacobi()"
        require(self, "preconditioner", known, expected=expected, got=got)
        good = self.patience is None or self.patience >= 1
        require(self, "patience", good, expected="None or >= 1", got=self.patience)

    def init(self, problem: Any, key: Any) -> ConjugateGradientsState | Waiting:
        del key  # deterministic
        return self.start(problem, jnp.zeros_like(jnp.asarray(problem.rhs)))

    def warm_start(self, problem: Any, value: Any, key: Any) -> Any:
        del key
        return _begin_at(problem, self, jnp.asarray(value.x))

    def start(self, problem: Any, x: Array) -> ConjugateGradientsState | Waiting:
        """At x, (n,); before its preconditioner is there, if the host must make it."""
        waiting = waiting_at(problem, x)
        if self.preconditioner.hosted:
            return waiting
        return self.ready(problem, self.preconditioner.prepare(problem), waiting)

    def ready(self, problem: Any, preconditioner: Any, waiting: Waiting) -> Any:
        """The state to begin from, once the preconditioner is there."""
        kept = jnp.zeros(waiting.x.size if self.enclose else 0)
        return _first(problem, preconditioner, waiting.target, waiting.x, kept)

    def step(self, problem: Any, state: Any) -> Any:
        if isinstance(state, Waiting):
            return state
        cg = cg_move(problem.apply, state.cg)
        norm = jnp.sqrt(cg.residual @ cg.residual)
        near = norm <= state.goal
        found = look(problem, state.target, cg.x, cg.residual, state.checked, near)
        cg = eqx.tree_at(lambda s: s.residual, cg, found.residual)
        cg = cg_turn(state.preconditioner, cg, restart=found.drifted)
        improved = found.norm < 0.9 * state.best
        steps = state.steps + 1
        shortest = jnp.where(cg.alpha > 0, cg.alpha, jnp.inf)
        nearer = jnp.clip(_NEARER / found.excess, 0.1, _NEARER) * found.norm
        moved = ConjugateGradientsState(
            cg,
            state.preconditioner,
            state.target,
            jnp.where(found.looked, nearer, state.goal),
            found.norm,
            jnp.where(found.looked, found.norm, state.checked),
            jnp.where(improved, found.norm, state.best),
            jnp.where(improved, steps, state.best_step),
            jnp.minimum(state.shortest, shortest),
            steps,
            state.code,
            state.answer,
            state.answer_code,
        )
        code = self._judge(problem, state, moved, found)
        return eqx.tree_at(lambda s: s.code, moved, code)

    def _judge(self, problem: Any, before: Any, after: Any, found: Look) -> Array:
        """Why to stop here; the first reason that applies."""
        limit = 10 * problem.size + 200 if self.patience is None else self.patience
        idle = after.steps - after.best_step > limit
        direction, curvature = before.cg.direction, after.cg.curvature
        suspect = ~(curvature > 0) | (after.cg.alpha > _SUSPECT * before.shortest)
        noise = _NOISE * _energy(problem, direction, suspect)
        flat = suspect & (jnp.abs(curvature) <= noise)
        reasons = (
            (found.good, CONVERGED),
            (~jnp.isfinite(after.norm + curvature), NAN),
            (flat, SINGULAR),
            (~(curvature > 0), INDEFINITE),
            (~(after.cg.energy > 0) & (after.norm > 0), MISLED),
            (found.lost | idle, STAGNATED),
        )
        code = jnp.zeros((), jnp.int64)
        for holds, reason in reversed(reasons):
            code = jnp.where(holds, reason, code)
        return code

    def done(self, problem: Any, state: Any) -> Array:
        del problem
        if isinstance(state, Waiting):
            return jnp.asarray(True)
        return (state.code != 0) | ~jnp.isfinite(state.norm)

    def finish(self, problem: Any, state: Any) -> LinearSolution:
        del problem
        if isinstance(state, Waiting):
            return state.solution(self.enclose)
        x = state.cg.x * state.target.scale
        if not self.enclose:
            return LinearSolution(x)
        first = state.answer_code == 0
        answer = jnp.where(first, x, state.answer)
        return LinearSolution(answer, jnp.where(first, 0.0, x))

    def observe(self, problem: Any, state: Any) -> dict[str, Array]:
        del problem
        if isinstance(state, Waiting):
            return {"residual": jnp.ones(())}
        return {"residual": state.norm / state.target.norm}

    def restage(self, problem: Any, state: Any) -> Any:
        if isinstance(state, Waiting):
            return _resume(problem, self, self.preconditioner.prepare(problem), state)
        first = int(state.answer_code) == 0
        if not (self.enclose and first and int(state.code) == CONVERGED):
            return None
        from ._enclosure import off_diagonal_max

        stored = getattr(problem, "operator", None)
        if stored is not None and off_diagonal_max(stored) > 0:
            return None  # a positive vector would show nothing
        return _second(problem, state)

    def outcome(self, problem: Any, state: Any) -> Outcome:
        code = int(state.answer_code) or int(state.code)
        return outcome_of(code, problem, state)

    def to_arrays(self, state: Any) -> dict[str, np.ndarray]:
        if self.preconditioner.hosted and not isinstance(state, Waiting):
            # Made again, rather than kept.
            state = eqx.tree_at(lambda s: s.preconditioner, state, Unchanged())
        return super().to_arrays(state)

    def from_arrays(self, problem: Any, arrays: Mapping[str, np.ndarray]) -> Any:
        if not self.preconditioner.hosted or ".code" not in arrays:
            return super().from_arrays(problem, arrays)
        waiting = _begin_at(problem, self, jnp.zeros_like(problem.rhs))
        prepared = self.preconditioner.prepare(problem)
        return restored(_resume(problem, self, prepared, waiting), arrays)

    def citations(self) -> tuple[str, ...]:
        own = ("hestenes1952methods", "vandervorst2000residual")
        return own + self.preconditioner.citations()


def _first(
    problem: Any, preconditioner: Any, target: Target, x: Array, answer: Array
) -> ConjugateGradientsState:
    """At x, with its true residual; done at once where x is good already."""
    always = jnp.asarray(True)
    found = look(problem, target, x, jnp.zeros_like(x), jnp.inf, always)
    cg = cg_start(preconditioner, x, found.residual)
    # A map that is not positive gives no direction to begin with.
    misled = jnp.where(~(cg.energy > 0), MISLED, 0)
    misled = jnp.where(jnp.isfinite(found.norm + cg.energy), misled, NAN)
    unknown, zero = jnp.asarray(jnp.inf), jnp.zeros((), jnp.int64)
    return ConjugateGradientsState(
        cg,
        preconditioner,
        target,
        goal=target.bound,
        norm=found.norm,
        checked=unknown,
        best=found.norm,
        best_step=zero,
        shortest=unknown,
        steps=zero,
        code=jnp.where(found.good, CONVERGED, misled),
        answer=answer,
        answer_code=zero,
    )


def _energy(problem: Any, direction: Array, wanted: Array) -> Array:
    """p^T D p where wanted, else 0; a loop of one turn, since `cond` copies."""

    def body(carry: Any) -> Any:
        return jnp.sum(problem.diagonal() * direction**2), jnp.asarray(False)

    zero = jnp.zeros(())
    return jax.lax.while_loop(lambda carry: carry[1], body, (zero, wanted))[0]


@eqx.filter_jit
def _begin_at(problem: Any, method: Any, x: Array) -> Any:
    return method.start(problem, x)


@eqx.filter_jit
def _resume(problem: Any, method: Any, preconditioner: Any, waiting: Waiting) -> Any:
    return method.ready(problem, preconditioner, waiting)


@eqx.filter_jit
def _second(problem: Any, state: Any) -> ConjugateGradientsState:
    """A v = 1, from v = 0."""
    ones = jnp.ones_like(state.cg.x)
    target, answer = target_of(ones, _ENCLOSURE), state.cg.x * state.target.scale
    second = _first(problem, state.preconditioner, target, jnp.zeros_like(ones), answer)
    return eqx.tree_at(
        lambda s: (s.answer_code, s.steps), second, (state.code, state.steps)
    )
