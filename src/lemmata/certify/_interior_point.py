"""A primal-dual interior-point method for M(theta) = base + sum of signed squares.

Minimises c'theta subject to M(theta) >= 0 and signs of theta. As every square has rank
one, the normal equations H_ij = <F_i, M^-1 F_j Y> are elementwise products of two
matrices of products u_r' (.) u_s: the cost of a step is that of a few dense
factorisations of order p, where a general conic solver handles vectors of p^2 / 2
entries per multiplier. Every iterate is strictly feasible, so each is a proof.

Source: the direction of Helmberg, Rendl, Vanderbei and Wolkowicz (1996) with Mehrotra's
predictor and corrector, as in Todd, Acta Numerica 10 (2001).
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float, Int

from ._inequality import Inequality
from ._interior_start import WIDE, interior_start

SHORT = 0.97  # of the way to the boundary
TRIALS = 40
LEAST_STEP = 1e-6
RIDGE = 1e-13  # of the diagonal, for redundant free multipliers


class InteriorState(eqx.Module):
    """Where the iteration stands.

    **Fields:** `theta` (m,), strictly feasible; `dual` Y (p, p), positive definite;
    `reduced` z (m,), >= 0, 0 where theta is free; `gap`: relative; `steps`;
    `stalled`: steps became too short, or something was not finite.
    """

    theta: Float[Array, " m"]
    dual: Float[Array, "p p"]
    reduced: Float[Array, " m"]
    gap: Float[Array, ""]
    steps: Int[Array, ""]
    stalled: Bool[Array, ""]


class _Move(NamedTuple):
    theta: Any
    matrix: Any
    dual: Any
    reduced: Any


def begin(inequality: Inequality) -> InteriorState:
    """A strictly feasible start whose dual is central."""
    layout = inequality.layout
    theta = interior_start(inequality, WIDE)
    matrix = inequality.matrix(theta)
    positive, cost = jnp.asarray(layout.positive), jnp.asarray(layout.cost)
    inverse = jnp.linalg.inv(matrix)
    count = len(matrix) + int(layout.positive.sum())
    mu = jnp.abs(cost @ theta) / count
    reduced = jnp.where(positive, mu / jnp.where(positive, theta, 1.0), 0.0)
    return InteriorState(
        theta,
        mu * (inverse + inverse.T) / 2,
        reduced,
        jnp.asarray(jnp.inf),
        jnp.asarray(0),
        jnp.asarray(False),
    )


def advance(inequality: Inequality, state: InteriorState) -> InteriorState:
    """One predictor-corrector step; a step that cannot be made sets `stalled`."""
    layout = inequality.layout
    positive, cost = jnp.asarray(layout.positive), jnp.asarray(layout.cost)
    system = _system(inequality, state)
    matrix, theta, dual = system.matrix, state.theta, state.dual
    count = len(matrix) + int(layout.positive.sum())
    mu = (jnp.sum(matrix * dual) + state.reduced @ theta) / count
    trial = _direction(inequality, state, system, 0.0, None)
    one, two = _lengths(state, system.factor, trial, positive, margin=1.0)
    ahead = jnp.sum((matrix + one * trial.matrix) * (dual + two * trial.dual))
    ahead = ahead + (theta + one * trial.theta) @ (state.reduced + two * trial.reduced)
    centring = jnp.clip((ahead / count / mu) ** 3, 1e-4, 1.0)
    move = _direction(inequality, state, system, centring * mu, trial)
    lengths = _lengths(state, system.factor, move, positive, margin=SHORT)
    return _moved(inequality, state, move, lengths, cost)


class _System(NamedTuple):
    """What both directions of a step share.

    `factor`: Cholesky factor of M; `solver`, `scale`: the scaled normal equations;
    `inverse_part`: <F_j, M^-1> + 1 / theta_j; `diagonal`: z / theta.
    """

    matrix: Any
    factor: Any
    solver: Any
    scale: Any
    inverse_part: Any
    diagonal: Any


def _system(inequality: Inequality, state: InteriorState) -> _System:
    positive = jnp.asarray(inequality.layout.positive)
    rows, theta = inequality.rows, state.theta
    matrix = inequality.matrix(theta)
    factor = jnp.linalg.cholesky(matrix)
    half = solve_triangular(factor, rows.T, lower=True)
    through_inverse = half.T @ half
    normal = _normal(inequality, through_inverse, rows @ state.dual @ rows.T)
    safe = jnp.where(positive, theta, 1.0)
    diagonal = jnp.where(positive, state.reduced / safe, 0.0)
    normal = normal + jnp.diag(diagonal)
    scale = 1 / jnp.sqrt(jnp.diag(normal) + 1e-300)
    ridge = RIDGE * jnp.eye(len(normal))
    solver = cho_factor(normal * scale * scale[:, None] + ridge)
    inverse_part = inequality.collect(jnp.diag(through_inverse))
    inverse_part = inverse_part + jnp.where(positive, 1 / safe, 0.0)
    return _System(matrix, factor, solver, scale, inverse_part, diagonal)


def _direction(
    inequality: Inequality,
    state: InteriorState,
    system: _System,
    mu: Any,
    second: _Move | None,
) -> _Move:
    """The direction towards M Y = mu I; `second`: the predictor, to correct for."""
    layout, rows, dual = inequality.layout, inequality.rows, state.dual
    positive, cost = jnp.asarray(layout.positive), jnp.asarray(layout.cost)
    safe, whole = jnp.where(positive, state.theta, 1.0), (system.factor, True)
    right = mu * system.inverse_part - cost
    shift, bend = jnp.zeros_like(dual), jnp.zeros_like(state.theta)
    if second is not None:
        product = cho_solve(whole, second.matrix @ second.dual)
        shift = (product + product.T) / 2
        bend = jnp.where(positive, second.theta * second.reduced / safe, 0.0)
        bent = inequality.collect(jnp.sum((rows @ shift) * rows, axis=1))
        right = right - bent - bend
    step = system.scale * cho_solve(system.solver, system.scale * right)
    change = inequality.homogeneous(step)
    mixed = cho_solve(whole, change @ dual)
    inverse = cho_solve(whole, jnp.eye(len(dual)))
    dual_step = mu * inverse - dual - (mixed + mixed.T) / 2 - shift
    reduced = mu / safe - state.reduced - system.diagonal * step - bend
    return _Move(step, change, dual_step, jnp.where(positive, reduced, 0.0))


def _normal(inequality: Inequality, one: Any, two: Any) -> Any:
    """H_ij = sum over squares r of i and s of j of sign sign' one_rs two_rs."""
    layout = inequality.layout
    signs, count = jnp.asarray(layout.signs), len(layout.kinds)
    owners = jnp.asarray(layout.owners)
    product = one * two * signs * signs[:, None]
    summed = jax.ops.segment_sum(product, owners, count)
    normal = jax.ops.segment_sum(summed.T, owners, count)
    return (normal + normal.T) / 2


def _lengths(state, factor, move: _Move, positive, margin: float) -> tuple[Any, Any]:
    """How far theta, M and Y, z may go, at most 1."""
    dual_factor = jnp.linalg.cholesky(state.dual)
    primal = jnp.minimum(
        _room(factor, move.matrix), _ratio(state.theta, move.theta, positive)
    )
    dual = jnp.minimum(
        _room(dual_factor, move.dual), _ratio(state.reduced, move.reduced, positive)
    )
    return jnp.minimum(1.0, margin * primal), jnp.minimum(1.0, margin * dual)


def _room(factor: Any, change: Any) -> Any:
    """The largest step that keeps L L' + step * change positive semidefinite."""
    inner = solve_triangular(factor, change, lower=True)
    inner = solve_triangular(factor, inner.T, lower=True)
    least = jnp.linalg.eigvalsh((inner + inner.T) / 2)[0]
    return jnp.where(least < 0, -1 / jnp.where(least < 0, least, -1.0), jnp.inf)


def _ratio(values: Any, change: Any, positive: Any) -> Any:
    falls = positive & (change < 0)
    ratios = jnp.where(falls, -values / jnp.where(falls, change, -1.0), jnp.inf)
    return jnp.min(ratios)


def _moved(inequality, state, move: _Move, lengths, cost) -> InteriorState:
    """The next iterate, shortened until both sides are definite."""
    positive = jnp.asarray(inequality.layout.positive)

    def primal(step: Any) -> Any:
        theta = state.theta + step * move.theta
        inside = jnp.all(jnp.where(positive, theta > 0, True))
        return inside & _definite(inequality.matrix(theta))

    def dual(step: Any) -> Any:
        return _definite(state.dual + step * move.dual)

    first, second = _shortened(primal, lengths[0]), _shortened(dual, lengths[1])
    theta = state.theta + first * move.theta
    after = state.dual + second * move.dual
    reduced = state.reduced + second * move.reduced
    matrix = inequality.matrix(theta)
    gap = jnp.sum(matrix * after) + reduced @ theta
    good = (first > LEAST_STEP) & jnp.isfinite(gap) & (second > LEAST_STEP)

    def keep(new: Array, old: Array) -> Array:
        return jnp.where(good, new, old)

    return InteriorState(
        keep(theta, state.theta),
        keep((after + after.T) / 2, state.dual),
        keep(reduced, state.reduced),
        keep(gap / jnp.abs(cost @ theta), state.gap),
        state.steps + 1,
        ~good,
    )


def _shortened(fits: Any, length: Any) -> Any:
    """The first of length, 0.8 length, ... that fits; 0 if none does."""

    def again(carry):
        step, trial = carry
        return (trial < TRIALS) & ~fits(step)

    def shorter(carry):
        return 0.8 * carry[0], carry[1] + 1

    length = jnp.where(jnp.isfinite(length), length, 0.0)
    step, trial = jax.lax.while_loop(again, shorter, (length, 0))
    return jnp.where(trial < TRIALS, step, 0.0)


def _definite(matrix: Any) -> Any:
    return jnp.all(jnp.isfinite(jnp.linalg.cholesky(matrix)))
