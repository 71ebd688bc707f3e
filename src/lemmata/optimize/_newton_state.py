"""What Newton methods on the exact augmented Lagrangian share: state and outer step."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float64, Int64, PRNGKeyArray

from ._constrained_method import RUNNING
from ._kkt import AbstractKKT, KKTOptions, KKTSystem
from ._lagrangian import Counts, FirstOrder, MeritParts, first_order, merit_parts
from ._merit_search import Accepted, search
from ._sketched_direction import Direction, Sample

DEGENERATE, FROZEN, SATURATED, SEARCH, SPENT, SINGULAR = range(1, 7)
"""Why a run stands still; `_newton_report` has a sentence for each."""


class History(eqx.Module):
    """Accepted iterates, for the claim of descent; rows beyond `steps` mean nothing."""

    points: Float64[Array, "K N"]
    alphas: Float64[Array, " k"]
    etas: Float64[Array, "k 2"]

    @classmethod
    def empty(cls, rows: int, size: int) -> "History":
        """Room for `rows` steps."""
        return cls(
            jnp.zeros((rows + 1, size)), jnp.zeros((rows,)), jnp.zeros((rows, 2))
        )


class Work(eqx.Module):
    """Products and steps of the inner solves, over the run.

    **Fields:** `sketch_steps`, `sketched_products` (columns of K S),
    `residual_products` (K d, to measure the residual), `estimates` (products that
    scaling and norms took), `inner_saturated` (solves that ended at their cap),
    `modified` (steps with B != H), `factorisations` of K, `slopes` (line-search trials
    that needed their own slope).
    """

    sketch_steps: Int64[Array, ""]
    sketched_products: Int64[Array, ""]
    residual_products: Int64[Array, ""]
    estimates: Int64[Array, ""]
    inner_saturated: Int64[Array, ""]
    modified: Int64[Array, ""]
    factorisations: Int64[Array, ""]
    slopes: Int64[Array, ""]

    @classmethod
    def none(cls) -> "Work":
        """Nothing done yet."""
        return cls(*[jnp.zeros((), jnp.int64)] * 8)


class NewtonState(eqx.Module):
    """The iterate, the penalties, and all that is reported of them."""

    x: Float64[Array, " n"]
    multipliers: Float64[Array, " m"]
    at: FirstOrder
    eta1: Float64[Array, ""]
    eta2: Float64[Array, ""]
    delta: Float64[Array, ""]
    alpha: Float64[Array, ""]
    theta: Float64[Array, ""]
    rank: Float64[Array, ""]
    curvature: Float64[Array, ""]
    modified: Any  # whether the last step had B != H
    counts: Counts
    work: Work
    steps: Int64[Array, ""]
    status: Int64[Array, ""]
    key: PRNGKeyArray
    history: History
    matrix: Any  # of the first system, unscaled, for the claims
    scale: Any
    sample: Sample | None


class Outer(eqx.Module):
    """Options of the outer iteration."""

    kkt: AbstractKKT
    superlinear: bool
    equilibrate: bool
    eta1: Any
    eta2: Any
    delta: Any
    xi: Any
    beta: Any
    curvature_floor: Any
    licq_floor: Any
    max_outer: int
    max_halvings: int
    record: int


Solve = Callable[
    [KKTSystem, FirstOrder, MeritParts, Array, NewtonState, Any], Direction
]


def begin(
    problem: Any, key: Any, x: Any, multipliers: Any, o: Outer, sample: Any
) -> NewtonState:
    """The state before the first step; one evaluation of f, c and their gradient."""
    x = jnp.asarray(x, jnp.float64)
    multipliers = jnp.asarray(multipliers, jnp.float64)
    unknown, size = jnp.asarray(jnp.nan), x.shape[0] + multipliers.shape[0]
    zero = jnp.zeros((), jnp.int64)
    at = first_order(problem, x, multipliers)
    history = History.empty(o.record, size)
    start = jnp.concatenate([x, multipliers])
    matrix = None if sample is None else jnp.zeros((size, size))
    history = eqx.tree_at(lambda h: h.points, history, history.points.at[0].set(start))
    return NewtonState(
        x=x,
        multipliers=multipliers,
        at=at,
        eta1=jnp.asarray(o.eta1, jnp.float64),
        eta2=jnp.asarray(o.eta2, jnp.float64),
        delta=jnp.asarray(o.delta, jnp.float64),
        alpha=jnp.zeros(()),
        theta=jnp.ones(()),
        rank=unknown,
        curvature=unknown,
        modified=jnp.asarray(False),
        counts=Counts.none().more(values=1, gradients=1),
        work=Work.none(),
        steps=zero,
        status=zero,
        key=key,
        history=history,
        matrix=matrix,
        scale=None if sample is None else jnp.ones(size),
        sample=sample,
    )


def advance(problem: Any, state: NewtonState, o: Outer, solve: Solve) -> NewtonState:
    """One outer step. Where there is nowhere to go, only status and counts change."""
    key, one, two = jax.random.split(state.key, 3)
    options = KKTOptions(o.xi, o.curvature_floor, o.equilibrate, one)
    system = o.kkt.system(problem, state.x, state.multipliers, options)
    parts = merit_parts(problem, state.x, state.multipliers, state.at)
    theta = jnp.minimum(1.0, state.at.residual) if o.superlinear else jnp.ones(())
    degenerate = ~(system.rank >= o.licq_floor)

    def go() -> NewtonState:
        d = solve(system, state.at, parts, theta, state, two)
        found = search(
            problem, state.x, state.multipliers, state.at, d, o.beta, o.max_halvings
        )
        return _moved(state, system, d, found, theta, o)

    def stay() -> NewtonState:
        return _stopped(state, system)

    after = jax.lax.cond(degenerate, stay, go)
    return eqx.tree_at(lambda s: s.key, after, key)


def _stopped(state: NewtonState, system: KKTSystem) -> NewtonState:
    counts = state.counts.more(jacobians=1, hessians=1)
    return eqx.tree_at(
        lambda s: (s.rank, s.curvature, s.counts, s.status, s.steps),
        state,
        (
            system.rank,
            system.curvature,
            counts,
            jnp.asarray(DEGENERATE, jnp.int64),
            state.steps + 1,
        ),
    )


def _moved(
    state: NewtonState,
    system: KKTSystem,
    d: Direction,
    found: Accepted,
    theta: Array,
    o: Outer,
) -> NewtonState:
    broken = ~jnp.isfinite(d.accuracy) | ~jnp.isfinite(d.slope)
    status = jnp.select(
        [broken, ~d.descends & d.saturated, ~d.descends, ~found.good],
        [SINGULAR, SATURATED, FROZEN, SEARCH],
        jnp.where(state.steps + 1 >= o.max_outer, SPENT, RUNNING),
    ).astype(jnp.int64)
    accepted = d.descends & found.good & ~broken
    x, multipliers, at, alpha = jax.tree.map(
        lambda new, old: jnp.where(accepted, new, old),
        (found.x, found.multipliers, found.at, found.alpha),
        (state.x, state.multipliers, state.at, jnp.zeros(())),
    )
    return eqx.tree_at(
        _changing,
        state,
        (
            x,
            multipliers,
            at,
            d.eta1,
            d.eta2,
            d.delta,
            alpha,
            theta,
            system.rank,
            system.curvature,
            system.modified,
            state.counts.more(
                values=found.trials,
                gradients=found.trials,
                jacobians=1,
                hessians=1,
            ),
            _worked(state.work, system, d, found),
            state.steps + 1,
            status,
            _recorded(state, x, multipliers, alpha, d, o.record),
            *_kept(state, system, d),
        ),
        is_leaf=lambda leaf: leaf is None,
    )


def _changing(s: NewtonState) -> tuple[Any, ...]:
    return (
        s.x,
        s.multipliers,
        s.at,
        s.eta1,
        s.eta2,
        s.delta,
        s.alpha,
        s.theta,
        s.rank,
        s.curvature,
        s.modified,
        s.counts,
        s.work,
        s.steps,
        s.status,
        s.history,
        s.matrix,
        s.scale,
        s.sample,
    )


def _kept(state: NewtonState, system: KKTSystem, d: Direction) -> tuple[Any, Any, Any]:
    """The first system and its first sketch steps, where the claims want them."""
    if state.sample is None:
        return None, None, None
    scale = system.scale
    # Powers of two: the unscaled matrix is exact.
    new = system.operator.matrix / scale / scale[:, None], scale, d.sample
    old = state.matrix, state.scale, state.sample
    first = state.steps == 0
    return jax.tree.map(lambda a, b: jnp.where(first, a, b), new, old)


def _worked(work: Work, system: KKTSystem, d: Direction, found: Accepted) -> Work:
    return Work(
        work.sketch_steps + d.sketch_steps,
        work.sketched_products + d.sketched,
        work.residual_products + d.checked,
        work.estimates + system.products,
        work.inner_saturated + d.saturated,
        work.modified + system.modified,
        work.factorisations + (d.sketched == 0),
        work.slopes + found.slopes,
    )


def _recorded(
    state: NewtonState,
    x: Array,
    multipliers: Array,
    alpha: Array,
    d: Direction,
    rows: int,
) -> History:
    """The history with this step; beyond its rows nothing is kept."""
    place = jnp.where(state.steps < rows, state.steps, rows)
    point = jnp.concatenate([x, multipliers])
    history, drop = state.history, "drop"
    after = jnp.where(state.steps < rows, place + 1, rows + 1)
    return History(
        history.points.at[after].set(point, mode=drop),
        history.alphas.at[place].set(alpha, mode=drop),
        history.etas.at[place].set(jnp.stack([d.eta1, d.eta2]), mode=drop),
    )
