"""Ascent of a dual along a path of caps, then a plan whose rows are right.

Source: Liu, Puigcerver, Blondel (2023), sections 3 and 4, for both duals. Ours are the
interior point that finishes the maximisation where top-k sets tie, and the recovery of
a feasible k-sparse plan; the paper returns the selection plan.
"""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import CONVERGED, AbstractMethod, InvalidMethod, Outcome
from ..numerics.lbfgs import Function
from ._barrier import BarrierState, barrier_init, barrier_step, empty_barrier
from ._marginals import smallest_marginal_tol
from ._optimizers import LBFGS, AbstractOptimizer
from ._recovery import averaged_plan, best_potential, polish, vertex
from ._sparse_options import (
    AbstractPath,
    AbstractRecovery,
    Averaging,
    Barrier,
    Halving,
    Polish,
)
from ._sparse_plan import SparsePlan
from ._sparse_problem import SparseTransport
from ._support import Entries
from ._topk import Oriented, cost_range, costs_made_finite, semi_dual

_GRADIENT = 1e-13  # L1 mass at which the rows are right up to rounding
_GAP = 1e-10  # of the range of the cost, at which the interior point stops
_BARRIER_STEPS = 100

UNBALANCED = Outcome(
    "unbalanced",
    "No plan within the cap with these marginals was found; raise cap or marginal_tol, "
    "or Polish(searches=..., sweeps=...).",
)

STALLED = Outcome(
    "stalled",
    "The ascent stopped with rows still off, as it does where top-k choices tie; use "
    "recovery=Polish(), or raise cap.",
)


class AscentState(eqx.Module):
    """Where the method stands; which phase it is in shows in the shapes.

    **Fields:**

    - `stage`: place on the path of caps; `limit`: the cap there; `steps` in this stage.
    - `inner`: the optimizer's state.
    - `alpha` (f,), `value`: the potential and the dual value that go with `limit`; from
      the interior point on, the best so far.
    - `barrier`: the interior point, with empty arrays until it starts.
    - `free`, `capped`, `mass` (e,): the recovered plan, empty until the end.
    """

    stage: Array
    limit: Array
    steps: Array
    inner: Any
    alpha: Array
    value: Array
    barrier: BarrierState
    free: Array
    capped: Array
    mass: Array

    @property
    def phase(self) -> str:
        """`"ascent"`, `"barrier"` or `"recovered"`."""
        if self.mass.size:
            return "recovered"
        return "barrier" if self.barrier.point.p.size else "ascent"


class AbstractAscent(AbstractMethod):
    """What both duals share; they differ in the function that is climbed."""

    optimizer: AbstractOptimizer = LBFGS()
    path: AbstractPath = Halving()
    recovery: AbstractRecovery = Polish()

    @abc.abstractmethod
    def function(self, data: Oriented, limit: Array) -> Function:
        """Minus the dual at cap `limit`, and minus its gradient."""

    @abc.abstractmethod
    def start(self, data: Oriented, alpha: Array) -> Array:
        """The optimizer's variables that stand for a potential (f,)."""

    @abc.abstractmethod
    def potential(self, data: Oriented, x: Array) -> Array:
        """Inverse of `start`, (f,)."""

    def validate(self) -> None:
        for name in ("optimizer", "path", "recovery"):
            option = getattr(self, name)
            kind = type(self).__dataclass_fields__[name].type
            if not isinstance(option, kind):
                where = f"{type(self).__name__}.{name}"
                got = type(option).__name__
                raise InvalidMethod(where, f"an instance of {kind.__name__}", got)
            option.validate()

    def init(self, problem: SparseTransport, key: Any) -> AscentState:
        del key  # deterministic
        data = problem.oriented()
        cap = self.path.caps(data.cap, data.free.shape[0])[0]
        zero = jnp.zeros_like(data.free)
        return self.opened(data, zero, jnp.asarray(cap), jnp.asarray(0))

    def warm_start(self, problem: Any, value: SparsePlan, key: Any) -> AscentState:
        del key
        data = problem.oriented()
        alpha = value.alpha if problem.axis == "columns" else value.beta
        last = len(self.path.caps(data.cap, data.free.shape[0])) - 1
        return _reopened(self, problem, jnp.asarray(alpha), data.cap, last)

    def opened(
        self, data: Oriented, alpha: Array, limit: Array, stage: Array
    ) -> AscentState:
        """The state at the start of a stage, from a potential (f,)."""
        inner = self.optimizer.init(self.function(data, limit), self.start(data, alpha))
        none = jnp.zeros(0, dtype=jnp.int64)
        return AscentState(
            stage=stage,
            limit=limit,
            steps=jnp.asarray(0),
            inner=inner,
            alpha=alpha,
            value=-inner.value,
            barrier=empty_barrier(data),
            free=none,
            capped=none,
            mass=jnp.zeros(0),
        )

    def step(self, problem: SparseTransport, state: AscentState) -> AscentState:
        data = problem.oriented()
        if state.phase == "recovered":
            return state
        if state.phase == "ascent":
            function = self.function(data, state.limit)
            inner = self.optimizer.step(function, state.inner)
            new = inner, self.potential(data, inner.x), -inner.value, state.steps + 1
            return eqx.tree_at(
                lambda s: (s.inner, s.alpha, s.value, s.steps), state, new
            )
        barrier = barrier_step(costs_made_finite(data), state.barrier, data.cap)
        alpha = barrier.point.alpha
        value = semi_dual(data, alpha).value
        better = value > state.value
        alpha, value = (
            jnp.where(better, new, old)
            for new, old in ((alpha, state.alpha), (value, state.value))
        )
        new = barrier, alpha, value, state.steps + 1
        return eqx.tree_at(lambda s: (s.barrier, s.alpha, s.value, s.steps), state, new)

    def done(self, problem: SparseTransport, state: AscentState) -> Array:
        if state.phase == "recovered":
            return jnp.asarray(True)
        if state.phase == "barrier":
            small = ~(state.barrier.gap > _GAP * cost_range(problem.oriented()))
            return small | state.barrier.stalled | (state.steps >= _BARRIER_STEPS)
        small = ~(jnp.sum(jnp.abs(state.inner.gradient)) > _GRADIENT)
        most, mixture = self.optimizer.max_steps, self._exact(problem.oriented())
        most = most if mixture is None else min(most, mixture.after)
        # With one entry per column the problem is linear: a vertex is exact.
        bound = self.path.steps_at(state.limit, problem.cap, most)
        return small | state.inner.stalled | (state.steps >= bound * (problem.cap > 1))

    def observe(self, problem: SparseTransport, state: AscentState) -> dict[str, Array]:
        residual = state.inner.gradient
        if state.phase == "barrier":
            residual = problem.oriented().free - jnp.sum(state.barrier.point.t, axis=0)
        error = jnp.sum(jnp.abs(residual))
        return {"dual": state.value, "row_error": error, "cap": state.limit}

    def restage(self, problem: SparseTransport, state: AscentState):
        if state.phase == "recovered":
            return None
        data = problem.oriented()
        if state.phase == "ascent":
            caps = self.path.caps(data.cap, data.free.shape[0])
            following = int(state.stage) + 1
            if following < len(caps) and data.cap > 1:
                return _reopened(self, problem, state.alpha, caps[following], following)
            recovery = self.recovery
            if not isinstance(recovery, Polish):
                return None
            if self._exact(data) and 1 < data.cap < data.free.shape[0]:
                value, barrier = _started(problem, state.alpha)
                new = (barrier, value, jnp.asarray(0))
                return eqx.tree_at(lambda s: (s.barrier, s.value, s.steps), state, new)
        return self._recovered(problem, data, state)

    def _exact(self, data: Oriented) -> Barrier | None:
        """The option by which the maximiser is found to rounding, if one applies."""
        recovery = self.recovery
        if not (isinstance(recovery, Polish) and isinstance(recovery.mixture, Barrier)):
            return None
        serves = data.free.shape[0] <= recovery.mixture.largest
        return recovery.mixture if serves else None

    def _recovered(self, problem: Any, data: Oriented, state: AscentState) -> Any:
        host, recovery = problem.host_data(), self.recovery
        assert isinstance(recovery, Polish)
        alpha = np.asarray(state.alpha)
        if host.cap == 1:
            mean, alpha = vertex(host)
        elif host.cap == host.free.size:
            mean = np.ones(host.cost.shape)  # every entry is admitted
        elif state.phase == "barrier":
            mean = np.asarray(state.barrier.point.t)
        else:
            mixture = recovery.mixture
            mixture = mixture if isinstance(mixture, Averaging) else Averaging()
            mean = np.asarray(averaged_plan(data, alpha, mixture.steps, mixture.length))
        found = polish(host, alpha, mean, int(recovery.searches), int(recovery.sweeps))
        best, value = best_potential(
            data, (found.alpha, alpha, np.asarray(state.alpha))
        )
        entries = (jnp.asarray(part) for part in found.entries)
        return eqx.tree_at(
            lambda s: (s.alpha, s.value, s.free, s.capped, s.mass),
            state,
            (jnp.asarray(best), jnp.asarray(value), *entries),
        )

    def outcome(self, problem: SparseTransport, state: AscentState) -> Outcome:
        tol = problem.marginal_tol
        tol = smallest_marginal_tol(*problem.cost.shape) if tol is None else float(tol)
        if state.phase != "recovered":
            off = float(jnp.sum(jnp.abs(state.inner.gradient)))
            return STALLED if problem.cap > 1 and off > tol else CONVERGED
        entries = Entries(*map(np.asarray, (state.free, state.capped, state.mass)))
        error = entries.row_error(problem.host_data())
        return CONVERGED if error <= tol else UNBALANCED

    def finish(self, problem: SparseTransport, state: AscentState) -> SparsePlan:
        data = problem.oriented()
        found = semi_dual(data, state.alpha)
        chosen = found.topk
        places = jnp.arange(data.capped.shape[0])[:, None]
        places = jnp.broadcast_to(places, chosen.indices.shape).ravel()
        selection = chosen.indices.ravel(), places, chosen.mass.ravel()
        entries = selection
        if state.phase == "recovered":
            entries = state.free, state.capped, state.mass
        free, capped, mass = entries
        used = jnp.where(mass > 0, data.cost[capped, free], 0.0)
        objective = used @ mass + data.gamma / 2 * (mass @ mass)
        alpha, beta = state.alpha, -chosen.threshold
        rows, columns, chosen_rows, chosen_columns = free, capped, *selection[:2]
        if problem.axis == "rows":
            alpha, beta = beta, alpha
            rows, columns = columns, rows
            chosen_rows, chosen_columns = chosen_columns, chosen_rows
        return SparsePlan(
            rows=rows,
            columns=columns,
            mass=mass,
            selection_rows=chosen_rows,
            selection_columns=chosen_columns,
            selection_mass=selection[2],
            alpha=alpha,
            beta=beta,
            objective=objective,
            dual_value=found.value,
        )

    def citations(self) -> tuple[str, ...]:
        cited = ("liu2023sparsity",)
        exact = isinstance(self.recovery, Polish)
        return (*cited, "argyriou2012ksupport") if exact else cited


def _reopened(
    method: AbstractAscent, problem: Any, alpha: Array, limit: int, stage: int
) -> AscentState:
    return _open(method, problem, alpha, jnp.asarray(limit), jnp.asarray(stage))


@eqx.filter_jit
def _open(
    method: AbstractAscent, problem: Any, alpha: Array, limit: Array, stage: Array
) -> AscentState:
    return method.opened(problem.oriented(), alpha, limit, stage)


@eqx.filter_jit
def _started(problem: Any, alpha: Array) -> tuple[Array, BarrierState]:
    data = problem.oriented()
    return semi_dual(data, alpha).value, barrier_init(costs_made_finite(data), data.cap)
