"""Sinkhorn's iteration in the log domain, with over-relaxation.

Source: Cuturi, NeurIPS 2013; Schmitzer, SIAM J. Sci. Comput. 41 (2019) for scalings
against a kernel that absorbs the potentials; Thibault, Chizat, Dossal and Papadakis,
Algorithms 14 (2021), and Lehmann, von Renesse, Sambale and Uschmajew, Optimization
Letters 16 (2022) for relaxation and its best value.
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float64, Int64

from ..core import CONVERGED, AbstractMethod, Outcome, require
from ._cost import Real
from ._passes import (
    Scalings,
    block_size,
    dual_value,
    exact_columns,
    plan_matrix,
    row_update,
    stopping_errors,
    sweep,
)
from ._plan import TransportPlan
from ._values import transport_plan

_NEAR = 0.1  # L1 error from which on updates are relaxed
_ABSORB = 100.0  # scalings beyond exp(+-100) are absorbed into the potentials early


@final
class AdaptiveRelaxation(eqx.Module):
    """Plain sweeps until their rate theta has settled, then 2 / (1 + sqrt(1 - theta)).

    **Options:**

    - `settled`: relative change of theta between two checks that counts as settled.
    - `largest`: upper bound on the relaxation, < 2.
    """

    settled: Real = 0.02
    largest: Real = 1.98


class SinkhornState(eqx.Module):
    """Potentials, and what the stopping rule needs; `ratio` is of errors, per step."""

    x: Float64[Array, " n"]
    y: Float64[Array, " m"]
    error: Float64[Array, ""]
    dual: Float64[Array, ""]
    relaxation: Float64[Array, ""]
    ratio: Float64[Array, ""]
    best: Float64[Array, ""]
    tolerance: Float64[Array, ""]
    sweeps: Int64[Array, ""]


@final
class Sinkhorn(AbstractMethod):
    """Alternating exact updates of the two potentials; O(n + m) memory for points.

    **Options:**

    - `atol`: stops at this L1 marginal error, or earlier if the problem's `gap_tol`
      asks for less.
    - `relaxation`: in (0, 2), used once the error is below 0.1, and taken back where it
      makes the error grow; 1 is plain Sinkhorn; or `AdaptiveRelaxation()`.
    - `check_every`: sweeps per step.
    - `max_sweeps`: gives up after so many.
    """

    atol: Real = 1e-10
    relaxation: Real | AdaptiveRelaxation = 1.0
    check_every: int = 10
    max_sweeps: int = 100_000

    def validate(self) -> None:
        require(self, "atol", self.atol > 0, expected="> 0", got=self.atol)
        if not isinstance(self.relaxation, AdaptiveRelaxation):
            good = 0 < self.relaxation < 2
            got = self.relaxation
            require(self, "relaxation", good, expected="in (0, 2)", got=got)
        for field in ("check_every", "max_sweeps"):
            count = getattr(self, field)
            require(self, field, count >= 1, expected=">= 1", got=count)

    def init(self, problem: Any, key: Any) -> SinkhornState:
        del key  # deterministic
        n, m = problem.cost.shape
        return self._start(problem, jnp.zeros(n), jnp.zeros(m))

    def warm_start(self, problem: Any, value: TransportPlan, key: Any) -> SinkhornState:
        del key
        return self._start(problem, value.row_potential, value.column_potential)

    def _start(self, problem: Any, x: Any, y: Any) -> SinkhornState:
        unknown = jnp.asarray(jnp.inf)
        plain = isinstance(self.relaxation, AdaptiveRelaxation)
        relaxation = jnp.asarray(1.0 if plain else self.relaxation, jnp.float64)
        tolerance, _ = stopping_errors(problem, jnp.asarray(self.atol, jnp.float64))
        return SinkhornState(
            jnp.asarray(x),
            jnp.asarray(y),
            unknown,
            -unknown,
            relaxation,
            unknown,
            unknown,
            tolerance,
            jnp.zeros((), jnp.int64),
        )

    def step(self, problem: Any, state: SinkhornState) -> SinkhornState:
        scalings = problem.scalings()
        omega = jnp.where(state.error <= _NEAR, state.relaxation, 1.0)
        if block_size(problem.cost) == problem.cost.shape[0]:
            x, y, error, mass = _stored_sweeps(
                problem, scalings, state, omega, self.check_every
            )
        else:

            def again(_: Any, carry: Any) -> Any:
                return _relaxed_sweep(problem, scalings, carry[0], carry[1], omega)

            carry = (state.x, state.y, state.error, jnp.ones(()))
            x, y, error, mass = jax.lax.fori_loop(0, self.check_every, again, carry)
        relaxation, ratio = self._adapt(state, error)
        moved = SinkhornState(
            x,
            y,
            error,
            dual_value(scalings, x, y, mass),
            relaxation,
            ratio,
            jnp.minimum(state.best, error),
            state.tolerance,
            state.sweeps + self.check_every,
        )
        return _unless_worse(state, moved)

    def _adapt(self, state: SinkhornState, error: Array) -> tuple[Array, Array]:
        ratio = error / state.error
        if not isinstance(self.relaxation, AdaptiveRelaxation):
            return state.relaxation, ratio
        plain = state.relaxation == 1.0
        still = jnp.abs(ratio - state.ratio) <= self.relaxation.settled * state.ratio
        theta = jnp.clip(ratio, 0.0, 1.0) ** (1.0 / self.check_every)
        best = jnp.minimum(2.0 / (1.0 + jnp.sqrt(1.0 - theta)), self.relaxation.largest)
        chosen = jnp.where(plain & still & (ratio < 1), best, state.relaxation)
        return chosen, ratio

    def done(self, problem: Any, state: SinkhornState) -> Bool[Array, ""]:
        del problem
        reached = ~(state.error > state.tolerance)
        return reached | (state.sweeps >= self.max_sweeps)

    def finish(self, problem: Any, state: SinkhornState) -> TransportPlan:
        # A plain sweep: relaxation leaves neither marginal exact.
        x, y, _ = sweep(problem.cost, problem.scalings(), state.y)
        return transport_plan(problem, x, y)

    def observe(self, problem: Any, state: SinkhornState) -> dict[str, Array]:
        del problem
        return {
            "error": state.error,
            "dual": state.dual,
            "relaxation": state.relaxation,
            "sweeps": state.sweeps,
        }

    def outcome(self, problem: Any, state: SinkhornState) -> Outcome:
        del problem
        if state.error <= state.tolerance:
            return CONVERGED
        return Outcome(
            "max_sweeps",
            f"{int(state.sweeps)} sweeps left an L1 error of {float(state.error):.1e}; "
            "use SinkhornNewton() at small epsilon, AdaptiveRelaxation(), or raise "
            "max_sweeps.",
        )

    def citations(self) -> tuple[str, ...]:
        keys = ("cuturi2013sinkhorn", "altschuler2017nearlinear")
        adaptive = isinstance(self.relaxation, AdaptiveRelaxation)
        return (*keys, "lehmann2022overrelaxation") if adaptive else keys


def _unless_worse(old: SinkhornState, new: SinkhornState) -> SinkhornState:
    """Relaxation is safe near the optimum: where it blows up, relax half as far."""
    wrong = ~jnp.isfinite(new.error) | (new.error > 100.0 * old.best)
    wrong = wrong & (old.relaxation != 1.0)
    calmer = eqx.tree_at(
        lambda s: (s.relaxation, s.sweeps),
        old,
        (1.0 + 0.5 * (old.relaxation - 1.0), new.sweeps),
    )
    return jax.tree.map(lambda a, b: jnp.where(wrong, a, b), calmer, new)


def _relaxed_sweep(
    problem: Any, scalings: Scalings, x: Array, y: Array, omega: Array
) -> tuple[Array, Array, Array, Array]:
    """One pass; the error is that of (exact x, y), before the columns move."""

    def weights(exact: Array, start: Array, size: int) -> Array:
        old = jax.lax.dynamic_slice_in_dim(x, start, size)
        return jnp.exp(jnp.minimum((omega - 1.0) * scalings.eta * (exact - old), 500.0))

    exact, plain, moved = row_update(problem.cost, scalings, y, weights)
    new = x + omega * (exact - x)
    target = exact_columns(problem.cost, scalings, new, y, moved)
    error = jnp.sum(jnp.abs(scalings.target - plain))
    return new, y + omega * (target - y), error, jnp.ones(())


def _stored_sweeps(
    problem: Any, scalings: Scalings, state: SinkhornState, omega: Array, count: int
) -> tuple[Array, Array, Array, Array]:
    """One sweep in the log domain, then scalings of the stored plan by its products."""
    source, target, eta = scalings.source, scalings.target, scalings.eta
    x, y, _, _ = _relaxed_sweep(problem, scalings, state.x, state.y, omega)
    plan = plan_matrix(problem.cost, scalings, x, y)

    def relaxed(log_scaling: Array, weights: Array, sums: Array) -> Array:
        ratio = jnp.where(weights > 0, weights / sums, 1.0)
        return log_scaling + omega * (jnp.log(ratio) - log_scaling)

    def unfinished(carry: Any) -> Array:
        log_u, log_v, index = carry
        top = jnp.maximum(jnp.max(jnp.abs(log_u)), jnp.max(jnp.abs(log_v)))
        return (index < count) & (top < _ABSORB)

    def again(carry: Any) -> Any:
        log_u, log_v, index = carry
        log_u = relaxed(log_u, source, plan @ jnp.exp(log_v))
        log_v = relaxed(log_v, target, jnp.exp(log_u) @ plan)
        return log_u, log_v, index + 1

    start = (jnp.zeros_like(x), jnp.zeros_like(y), jnp.ones((), jnp.int64))
    log_u, log_v, _ = jax.lax.while_loop(unfinished, again, start)
    u, v = jnp.exp(log_u), jnp.exp(log_v)
    rows, columns = u * (plan @ v), v * (u @ plan)
    error = jnp.sum(jnp.abs(source - rows)) + jnp.sum(jnp.abs(target - columns))
    return x + log_u / eta, y + log_v / eta, error, jnp.sum(rows)
