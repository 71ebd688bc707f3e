"""Sinkhorn sweeps, then Newton steps: the iteration that two methods share.

Every step costs one pass of exponentials. A Newton step evaluates P at the trial point
that the previous step proposed; if that is accepted, the same P gives the sweep, the
gradient and the next direction, and if not, the next step tries half the length.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._direction import Solver, Tangent, no_direction
from ._newton_state import NewtonState, Options, replace, scalings_at
from ._passes import Scalings, dual_value, plan_matrix, sweep

_ARMIJO = 1e-4
_SHORTEST = 1e-6
_TINY = 1e-280
_MANY = 99
_PATIENCE = 8  # Newton steps in which the error must halve, or the stage has stalled


def advance(
    problem: Any, options: Options, state: NewtonState, solver: Solver
) -> NewtonState:
    """One step: a warm sweep, or a trial of the Newton stage."""
    scalings = scalings_at(problem, options, state.level)
    return jax.lax.cond(
        state.newton,
        lambda: _trial(problem, options, scalings, state, solver),
        lambda: _warm(problem, options, scalings, state),
    )


def finished(options: Options, state: NewtonState) -> Array:
    """Converged at the last eta, stalled, out of Newton steps, or not a number."""
    last = state.level == 0
    converged = last & (state.error <= state.tolerance)
    spent = state.steps_here >= options.n_newton
    return converged | state.stalled | (last & spent) | jnp.isnan(state.error)


def _warm(
    problem: Any, options: Options, scalings: Scalings, state: NewtonState
) -> NewtonState:
    x, y, error = sweep(problem.cost, scalings, state.y)
    sweeps = state.sweeps + 1
    zero = jnp.zeros(())
    swept = replace(
        state,
        x=x,
        y=y,
        dx=jnp.zeros_like(x),
        dy=jnp.zeros_like(y),
        length=zero,
        slope=zero,
        error=error,
        dual=dual_value(scalings, x, y, 1.0),
        sweeps=sweeps,
        newton=sweeps >= options.n_warm,
    )
    return _leave_level(options, swept)


def _leave_level(options: Options, state: NewtonState) -> NewtonState:
    """To the next larger eta, if this one was an intermediate one and is done with."""
    if options.schedule is None:
        return state
    enough = (state.error <= options.schedule.loose) & (state.sweeps > 0)
    leave = (state.level > 0) & (enough | (state.steps_here >= options.n_newton))
    lowered = replace(
        state,
        level=state.level - 1,
        newton=False,
        sweeps=0,
        steps_here=0,
        since=0,
        in_a_row=0,
        best=jnp.inf,
        error=jnp.inf,  # unknown at the new eta, as is f
        dual=-jnp.inf,
    )
    return _where(leave, lowered, state)


def _where(condition: Array, new: NewtonState, old: NewtonState) -> NewtonState:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def _trial(
    problem: Any,
    options: Options,
    scalings: Scalings,
    state: NewtonState,
    solver: Solver,
) -> NewtonState:
    x = state.x + state.length * state.dx
    y = state.y + state.length * state.dy
    plan = plan_matrix(problem.cost, scalings, x, y)
    rows, columns = jnp.sum(plan, axis=1), jnp.sum(plan, axis=0)
    dual = dual_value(scalings, x, y, jnp.sum(rows))
    # Near the optimum f changes by less than its own rounding.
    allowance = 1e-14 * (1.0 + jnp.abs(state.dual))
    enough = state.dual + _ARMIJO * state.length * state.slope - allowance
    whole = jnp.all((rows > _TINY) | (scalings.source == 0))
    whole &= jnp.all((columns > _TINY) | (scalings.target == 0))
    good = (dual >= enough) & jnp.isfinite(dual) & whole
    moved = replace(state, x=x, y=y, dual=dual)
    return jax.lax.cond(
        good,
        lambda: _accept(options, scalings, moved, plan, rows, columns, solver),
        lambda: _reject(options, state),
    )


def _accept(
    options: Options,
    scalings: Scalings,
    state: NewtonState,
    plan: Array,
    rows: Array,
    columns: Array,
    solver: Solver,
) -> NewtonState:
    if options.interleave:
        state, tangent = _swept(scalings, state, plan, rows)
    else:
        gaps = scalings.source - rows, scalings.target - columns
        tangent = Tangent(plan, rows, columns, *gaps, state.since)
    counted = _counted(state, tangent.error)
    # A shortened step: what was dropped may have mattered, so drop nothing.
    shortened = (state.length < 1.0) & ((state.length > 0) | (state.in_a_row > 0))
    tangent = tangent._replace(slow=counted.since + jnp.where(shortened, _MANY, 0))
    goal = state.tolerance
    if options.schedule is not None:
        goal = jnp.where(state.level == 0, goal, options.schedule.loose)
    last = no_direction(tangent, state.kept, state.dense)
    found = jax.lax.cond(tangent.error > goal, solver, lambda _: last, tangent)
    dx, dy = found.dx / scalings.eta, found.dy / scalings.eta
    proposed = replace(
        counted,
        dx=dx,
        dy=dy,
        length=1.0,
        slope=tangent.row_gap @ dx + tangent.column_gap @ dy,
        kept=found.kept,
        inner_steps=found.inner_steps,
        dense=found.dense,
    )
    return _leave_level(options, _restart_if_stalled(options, proposed))


def _counted(state: NewtonState, error: Array) -> NewtonState:
    took_step = state.length > 0
    better = error < 0.5 * state.best
    counted = replace(
        state,
        error=error,
        best=jnp.where(better, error, state.best),
        since=jnp.where(better, 0, state.since + took_step),
        in_a_row=jnp.where(took_step, 0, state.in_a_row),
        steps=state.steps + took_step,
        steps_here=state.steps_here + took_step,
    )
    return _judge_progress(counted)


def _swept(
    scalings: Scalings, state: NewtonState, plan: Array, rows: Array
) -> tuple[NewtonState, Tangent]:
    """A Sinkhorn sweep by scaling P: no exponentials. Columns and mass become exact."""
    source, target, eta = scalings.source, scalings.target, scalings.eta
    u = jnp.where(source > 0, source / rows, 1.0)
    columns = u @ plan
    v = jnp.where(target > 0, target / columns, 1.0)
    x, y = state.x + jnp.log(u) / eta, state.y + jnp.log(v) / eta
    plan = u[:, None] * plan * v
    rows, columns = jnp.sum(plan, axis=1), jnp.sum(plan, axis=0)
    gaps = source - rows, target - columns
    tangent = Tangent(plan, rows, columns, *gaps, state.since)
    return replace(state, x=x, y=y, dual=dual_value(scalings, x, y, 1.0)), tangent


def _reject(options: Options, state: NewtonState) -> NewtonState:
    """Half the length; below the shortest, a Sinkhorn sweep is next instead."""
    length = 0.5 * state.length
    swept = replace(
        state,
        dx=jnp.zeros_like(state.dx),
        dy=jnp.zeros_like(state.dy),
        length=0.0,
        slope=0.0,
        newton=False,
        sweeps=options.n_warm - 1,
        fallbacks=state.fallbacks + 1,
        in_a_row=state.in_a_row + 1,
        steps=state.steps + 1,
        steps_here=state.steps_here + 1,
    )
    return _where(length < _SHORTEST, swept, replace(state, length=length))


def _judge_progress(state: NewtonState) -> NewtonState:
    """Stalled: two failed line searches in a row, or an error that does not halve."""
    stuck = (state.in_a_row >= 2) | (state.since >= _PATIENCE)
    last = state.level == 0
    return replace(state, stalled=last & stuck & (state.error > state.tolerance))


def _restart_if_stalled(options: Options, state: NewtonState) -> NewtonState:
    if options.schedule is None:
        return state
    restart = state.stalled & ~state.annealed & (state.levels > 0)
    fresh = replace(
        state,
        x=jnp.zeros_like(state.x),
        y=jnp.zeros_like(state.y),
        level=state.levels,
        newton=False,
        sweeps=0,
        steps_here=0,
        since=0,
        in_a_row=0,
        best=jnp.inf,
        error=jnp.inf,  # unknown at the new eta, as is f
        dual=-jnp.inf,
        annealed=True,
        stalled=False,
    )
    return _where(restart, fresh, state)
