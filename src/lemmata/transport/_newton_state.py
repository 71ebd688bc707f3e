"""State and options of the Newton iteration."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float64, Int64

from ._annealing import Geometric, count_levels
from ._passes import Scalings, extremes, stopping_errors


class Options(NamedTuple):
    """What the two methods set; see their docstrings."""

    n_warm: int
    n_newton: int
    interleave: bool
    schedule: Geometric | None
    on_stall: bool
    atol: Any


class NewtonState(eqx.Module):
    """Potentials of the last accepted point, and the trial that starts from it.

    **Fields:** `x`, `y`; `dx`, `dy`, `length`: the trial is (x, y) + length (dx, dy);
    `dual`, `slope`, `error` at (x, y); `level`: eta is that of the problem divided by
    factor^level; `levels`, how many there are; `newton`: whether the warm sweeps are
    over; counts of sweeps and Newton steps at this level and of all Newton steps,
    fallbacks, and fallbacks in a row; `best`, `since`: least error at this level up to
    a factor 2, and Newton steps since; `annealed`, `stalled`; `tolerance`, the error to
    stop at; `sufficient`, what the problem's `gap_tol` needs; `kept`, `inner_steps`,
    `dense`: of the last direction.
    """

    x: Float64[Array, " n"]
    y: Float64[Array, " m"]
    dx: Float64[Array, " n"]
    dy: Float64[Array, " m"]
    length: Float64[Array, ""]
    dual: Float64[Array, ""]
    slope: Float64[Array, ""]
    error: Float64[Array, ""]
    tolerance: Float64[Array, ""]
    sufficient: Float64[Array, ""]
    best: Float64[Array, ""]
    level: Int64[Array, ""]
    levels: Int64[Array, ""]
    newton: Bool[Array, ""]
    sweeps: Int64[Array, ""]
    steps_here: Int64[Array, ""]
    steps: Int64[Array, ""]
    since: Int64[Array, ""]
    fallbacks: Int64[Array, ""]
    in_a_row: Int64[Array, ""]
    annealed: Bool[Array, ""]
    stalled: Bool[Array, ""]
    kept: Int64[Array, ""]
    inner_steps: Int64[Array, ""]
    dense: Bool[Array, ""]


def replace(state: NewtonState, **changes: Any) -> NewtonState:
    """A copy with some fields changed, their dtypes kept."""
    names = tuple(changes)
    new = tuple(
        jnp.asarray(changes[name], jnp.asarray(getattr(state, name)).dtype)
        for name in names
    )
    return eqx.tree_at(lambda s: tuple(getattr(s, name) for name in names), state, new)


def begin(problem: Any, options: Options, x: Array, y: Array) -> NewtonState:
    """The state before the first sweep, from potentials."""
    low, high = extremes(problem.cost)
    eta = problem.scalings().eta
    levels = count_levels(options.schedule, eta, high - low)
    always = options.schedule is not None and not options.on_stall
    tolerance, sufficient = stopping_errors(problem, options.atol)
    inf, no = jnp.asarray(jnp.inf), jnp.zeros((), bool)
    none, zero = jnp.zeros((), jnp.int64), jnp.zeros(())
    x, y = jnp.asarray(x, jnp.float64), jnp.asarray(y, jnp.float64)
    return NewtonState(
        x=x,
        y=y,
        dx=jnp.zeros_like(x),
        dy=jnp.zeros_like(y),
        length=zero,
        dual=-inf,
        slope=zero,
        error=inf,
        tolerance=tolerance,
        sufficient=sufficient,
        best=inf,
        level=levels if always else none,
        levels=levels,
        newton=no,
        sweeps=none,
        steps_here=none,
        steps=none,
        since=none,
        fallbacks=none,
        in_a_row=none,
        annealed=jnp.asarray(always),
        stalled=no,
        kept=none,
        inner_steps=none,
        dense=no,
    )


def scalings_at(problem: Any, options: Options, level: Array) -> Scalings:
    """The problem's scalings at a level of the schedule."""
    scalings = problem.scalings()
    if options.schedule is None:
        return scalings
    return scalings._replace(eta=scalings.eta / options.schedule.factor**level)
