"""Solves a stream while learning the relaxation from iteration counts alone.

Source: Khodak, Chow, Balcan and Talwalkar, ICLR 2024 (arXiv 2310.02246).
"""

from collections.abc import Mapping
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import (
    CONVERGED,
    AbstractMethod,
    Claim,
    Outcome,
    TooLarge,
    Withheld,
    require,
)
from ._policy import AbstractPolicy, Choice, Round
from ._relaxed_solve import SHARE, Job, norm
from ._sequence import AbstractSequence, SequenceSolution, SequenceSystem
from ._ssor_pcg import kernel_of, solver_citations
from ._tsallis import BinnedTsallisINF, TsallisINF

LARGEST_ANSWER = 2**31  # bytes of solutions kept in memory
_TRACE_ID = "linear.ftrl_trace/1"


class Solved(eqx.Module):
    """One round: solution (n,), choice, iterations, loss (-1: nothing to learn).

    `ratio` is the residual over the criterion's reference, `failed` whether the cap
    came first, `outside` whether the context was not one the policy is made for.
    """

    x: Array
    choice: Choice
    count: Array
    loss: Array
    ratio: Array
    failed: Array
    outside: Array


def play_round(
    method: "LearnedRelaxation",
    stream: Any,
    system: SequenceSystem,
    index: Array,
    policy_state: Any,
    key: Any,
) -> tuple[Solved, Any]:
    """Chooses, solves, learns. Pure; `stream` gives schedule, tolerance, criterion."""
    kernel, fronts = kernel_of(method.solver), stream.fronts
    matrix = fronts.matrix(system.data)
    rhs, start = fronts.enter(system.rhs), fronts.enter(system.start)
    first = norm(rhs - matrix.product(start))
    reference = stream.criterion.reference(norm(rhs), first)
    cap = jnp.asarray(method.cap, jnp.int64)
    job = Job(matrix, rhs, start, SHARE * stream.rtol * reference, cap)

    def cost(relaxation: Array) -> Array:
        found = kernel(job, relaxation)
        return jnp.where(found.residual <= job.target, found.steps, cap)

    offer = Round(
        system.context,
        jax.random.fold_in(key, index),
        lambda: jnp.asarray(stream.jacobi_radius(index), jnp.float64),
        cost,
    )
    choice = method.policy.choose(policy_state, offer)
    found = kernel(job, choice.relaxation)
    zero = ~jnp.any(rhs != 0.0)
    # A solve that overflowed leaves the start, for the systems that follow it.
    sound = jnp.isfinite(found.residual)
    x = jnp.where(zero, 0.0, jnp.where(sound, found.x, start))
    failed = ~zero & ~(found.residual <= job.target)
    count = jnp.where(zero, 0, jnp.where(failed, cap, found.steps))
    learn = count > 0
    loss = jnp.where(learn, count - 1.0, -1.0)
    known = method.policy.learn(policy_state, choice, system.context, loss)
    known = jax.tree.map(lambda a, b: jnp.where(learn, a, b), known, policy_state)
    safe = jnp.where(reference > 0, reference, 1.0)
    ratio = jnp.where(sound, found.residual / safe, jnp.inf)
    ratio = jnp.where(zero, 0.0, ratio)
    outside = method.policy.outside(system.context)
    solved = Solved(fronts.leave(x), choice, count, loss, ratio, failed, outside)
    return solved, known


class RelaxationState(eqx.Module):
    """Systems done, the last round, the policy's memory, everything solved so far."""

    index: Array
    last: Solved
    policy: Any
    key: Any
    solutions: Array
    counts: Array
    relaxation: Array
    failures: Array


@final
class LearnedRelaxation(AbstractMethod):
    """One step solves one system; a policy picks its relaxation from earlier counts.

    **Options:**

    - `solver`: `SOR()`, `SSOR()` (stationary) or `SSORPCG()`; the relaxation of a
      solver itself is not used.
    - `policy`: `TsallisINF()`, `ChebCB(...)`, `FixedRelaxation(1.5)`, ...
    - `cap`: iterations after which a system is given up; it then costs `cap`, and the
      run's result says so.

    Each round's random key is the run's key folded with the round's number, so that a
    resumed run draws the same arms.
    """

    solver: Any
    policy: AbstractPolicy
    cap: int = 10_000

    def validate(self) -> None:
        kernel_of(self.solver)
        good = isinstance(self.policy, AbstractPolicy)
        got = type(self.policy).__name__
        require(self, "policy", good, expected="a policy, TsallisINF()", got=got)
        require(self, "cap", self.cap >= 1, expected=">= 1", got=self.cap)

    def init(self, problem: AbstractSequence, key: Any) -> RelaxationState:
        steps, n = problem.length, problem.size
        if steps * n * 8 > LARGEST_ANSWER:
            raise TooLarge(
                f"{steps} solutions of {n} numbers are too many to keep in memory; use "
                "solve_sequence(..., folder=...), which writes each to a file."
            )
        none = jnp.zeros((), bool)
        nothing = Solved(
            problem.beginning(),
            Choice.of(0.0),
            jnp.zeros((), jnp.int64),
            jnp.zeros(()) - 1.0,
            jnp.zeros(()),
            none,
            self.policy.outside(problem.context(0)),
        )
        return RelaxationState(
            jnp.zeros((), jnp.int64),
            nothing,
            self.policy.start(),
            key,
            jnp.zeros((steps, n)),
            jnp.full(steps, -1, jnp.int64),
            jnp.zeros(steps),
            jnp.zeros((), jnp.int64),
        )

    def step(
        self, problem: AbstractSequence, state: RelaxationState
    ) -> RelaxationState:
        index = state.index
        system = problem.system(index, state.last.x)
        solved, policy = play_round(
            self, problem, system, index, state.policy, state.key
        )
        following = jnp.minimum(index + 1, problem.length - 1)
        outside = self.policy.outside(problem.context(following))
        solved = eqx.tree_at(lambda s: s.outside, solved, outside)
        return RelaxationState(
            index + 1,
            solved,
            policy,
            state.key,
            state.solutions.at[index].set(solved.x),
            state.counts.at[index].set(solved.count),
            state.relaxation.at[index].set(solved.choice.relaxation),
            state.failures + solved.failed,
        )

    def done(self, problem: AbstractSequence, state: RelaxationState) -> Array:
        return (state.index >= problem.length) | state.last.outside

    def finish(
        self, problem: AbstractSequence, state: RelaxationState
    ) -> SequenceSolution:
        return SequenceSolution(state.solutions, state.counts, state.relaxation)

    def observe(
        self, problem: AbstractSequence, state: RelaxationState
    ) -> dict[str, Array]:
        last, choice = state.last, state.last.choice
        return {
            "count": last.count,
            "relaxation": choice.relaxation,
            "arm": choice.arm,
            "loss": last.loss,
            "probability": choice.probability,
            "draw": choice.draw,
            "normaliser": choice.normaliser,
            "scale": choice.scale,
            "group": choice.group,
            "ratio": last.ratio,
            "failures": state.failures,
        }

    def outcome(self, problem: AbstractSequence, state: RelaxationState) -> Outcome:
        index, failures = int(state.index), int(state.failures)
        if index < problem.length:
            context = float(problem.context(index))
            return Outcome(
                "context_outside",
                f"The context {context:g} of system {index} is outside the policy's "
                f"interval {_interval(self.policy)}; widen it.",
            )
        if failures:
            return Outcome(
                "unsolved",
                f"{failures} of {problem.length} systems reached the cap of "
                f"{self.cap} iterations, each counted as that; raise cap, or look "
                "whether they are positive definite.",
            )
        return CONVERGED

    def claims(
        self,
        problem: AbstractSequence,
        value: SequenceSolution,
        state: RelaxationState,
        trace: Mapping[str, np.ndarray],
    ) -> tuple[Claim | Withheld, ...]:
        del problem, value
        if not isinstance(self.policy, TsallisINF | BinnedTsallisINF):
            return ()
        if not trace:
            return (Withheld(_TRACE_ID, "no round was played"),)
        from ._trace_witness import ftrl_claim

        return (ftrl_claim(self.policy, state.policy, trace),)

    def citations(self) -> tuple[str, ...]:
        own = ("khodak2024learning", *solver_citations(self.solver))
        return (*own, *self.policy.citations())


def _interval(policy: Any) -> str:
    low, high = (float(bound) for bound in policy.domain())
    return f"[{low:g}, {high:g}]"
