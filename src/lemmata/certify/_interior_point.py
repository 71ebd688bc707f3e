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
from jax.lax.linalg import cholesky, triangular_solve
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Float, Int

from ._parts import Parts, transposed

SHORT = 0.97  # of the way to the boundary
TRIALS = 40
LEAST_STEP = 1e-6
RIDGE = 1e-13  # of the diagonal, for redundant free multipliers


class InteriorState(eqx.Module):
    """Where the iteration stands.

    **Fields:** `theta` (m,), strictly feasible; `dual` Y (c, p, p), positive definite;
    `reduced` z (m,), >= 0, 0 where theta is free; `gap`: relative; `steps`;
    `stalled`: steps became too short, or something was not finite.
    """

    theta: Float[Array, " m"]
    dual: Float[Array, "c p p"]
    reduced: Float[Array, " m"]
    gap: Float[Array, ""]
    steps: Int[Array, ""]
    stalled: Bool[Array, ""]


class _Move(NamedTuple):
    theta: Any
    matrix: Any
    dual: Any
    reduced: Any


def begin(parts: Parts, theta: Any) -> InteriorState:
    """A start at a strictly feasible `theta` (m,) whose dual is central."""
    layout = parts.layout
    matrix = parts.matrix(theta)
    positive, cost = jnp.asarray(layout.positive), jnp.asarray(layout.cost)
    root = _inverted(_factor(matrix))
    mu = jnp.abs(cost @ theta) / (parts.order + int(layout.positive.sum()))
    reduced = jnp.where(positive, mu / jnp.where(positive, theta, 1.0), 0.0)
    return InteriorState(
        theta,
        mu * transposed(root) @ root,
        reduced,
        jnp.asarray(jnp.inf),
        jnp.asarray(0),
        jnp.asarray(False),
    )


def advance(parts: Parts, state: InteriorState) -> InteriorState:
    """One predictor-corrector step; a step that cannot be made sets `stalled`."""
    layout = parts.layout
    system = _system(parts, state)
    count = parts.order + int(layout.positive.sum())
    mu = (jnp.sum(system.matrix * state.dual) + state.reduced @ state.theta) / count

    def turn(_, carry):
        """Predicts from no move and no centring, then corrects."""
        trial, centring, _ = carry
        move = _direction(parts, state, system, centring * mu, trial)
        one, two = _lengths(state, system.roots, move, jnp.asarray(layout.positive))
        first, second = jnp.minimum(1.0, one), jnp.minimum(1.0, two)
        after = (system.matrix + first * move.matrix) * (
            state.dual + second * move.dual
        )
        ahead = jnp.sum(after) + (state.theta + first * move.theta) @ (
            state.reduced + second * move.reduced
        )
        return move, jnp.clip((ahead / count / mu) ** 3, 1e-4, 1.0), (one, two)

    none = _Move(
        jnp.zeros_like(state.theta),
        jnp.zeros_like(state.dual),
        jnp.zeros_like(state.dual),
        jnp.zeros_like(state.reduced),
    )
    nowhere = jnp.asarray(0.0)
    start = (none, nowhere, (nowhere, nowhere))
    move, _, lengths = jax.lax.fori_loop(0, 2, turn, start)
    return _moved(parts, state, move, lengths)


class _System(NamedTuple):
    """What both directions of a step share.

    `roots`: (2, c, p, p), inverses of the Cholesky factors of M and of Y; `inverse`:
    of M; `solver`, `scale`: the scaled normal equations; `inverse_part`:
    <F_j, M^-1> + 1 / theta_j; `diagonal`: z / theta.
    """

    matrix: Any
    roots: Any
    inverse: Any
    solver: Any
    scale: Any
    inverse_part: Any
    diagonal: Any


def _system(parts: Parts, state: InteriorState) -> _System:
    positive = jnp.asarray(parts.layout.positive)
    rows, theta = parts.rows, state.theta
    matrix = parts.matrix(theta)
    roots = _inverted(_factor(jnp.stack([matrix, state.dual])))
    half = roots[0] @ transposed(rows)
    through_inverse = transposed(half) @ half
    normal = parts.pairs(through_inverse * (rows @ state.dual @ transposed(rows)))
    safe = jnp.where(positive, theta, 1.0)
    diagonal = jnp.where(positive, state.reduced / safe, 0.0)
    normal = normal + jnp.diag(diagonal)
    scale = 1 / jnp.sqrt(jnp.diag(normal) + 1e-300)
    ridge = RIDGE * jnp.eye(len(normal))
    solver = _factor(normal * scale * scale[:, None] + ridge)
    inverse_part = parts.collect(jnp.sum(half * half, axis=1))
    inverse_part = inverse_part + jnp.where(positive, 1 / safe, 0.0)
    inverse = transposed(roots[0]) @ roots[0]
    return _System(matrix, roots, inverse, solver, scale, inverse_part, diagonal)


def _direction(
    parts: Parts, state: InteriorState, system: _System, mu: Any, second: _Move
) -> _Move:
    """The direction towards M Y = mu I; `second`: the predictor, to correct for."""
    layout, rows, dual = parts.layout, parts.rows, state.dual
    positive, cost = jnp.asarray(layout.positive), jnp.asarray(layout.cost)
    safe, inverse = jnp.where(positive, state.theta, 1.0), system.inverse
    shift = _symmetric(inverse @ second.matrix @ second.dual)
    bend = jnp.where(positive, second.theta * second.reduced / safe, 0.0)
    bent = parts.collect(jnp.sum((rows @ shift) * rows, axis=2))
    right = mu * system.inverse_part - cost - bent - bend
    step = system.scale * cho_solve((system.solver, True), system.scale * right)
    change = parts.homogeneous(step)
    mixed = _symmetric(inverse @ change @ dual)
    reduced = mu / safe - state.reduced - system.diagonal * step - bend
    reduced = jnp.where(positive, reduced, 0.0)
    return _Move(step, change, mu * inverse - dual - mixed - shift, reduced)


def _factor(matrices: Any) -> Any:
    """Lower triangular Cholesky factors, NaN where there is none."""
    return cholesky(matrices, symmetrize_input=False)


def _inverted(factor: Any) -> Any:
    """Inverses of lower triangular matrices (..., p, p)."""
    unit = jnp.broadcast_to(jnp.eye(factor.shape[-1]), factor.shape)
    return triangular_solve(factor, unit, left_side=True, lower=True)


def _symmetric(matrices: Any) -> Any:
    return (matrices + transposed(matrices)) / 2


def _lengths(state, roots, move: _Move, positive) -> tuple[Any, Any]:
    """How far theta, M and Y, z may go."""
    changes = jnp.stack([move.matrix, move.dual])
    inner = roots @ changes @ transposed(roots)
    least = jnp.min(jnp.linalg.eigvalsh(inner, symmetrize_input=False), axis=(1, 2))
    falls = least < 0
    room = jnp.where(falls, -1 / jnp.where(falls, least, -1.0), jnp.inf)
    one = jnp.minimum(room[0], _ratio(state.theta, move.theta, positive))
    return one, jnp.minimum(room[1], _ratio(state.reduced, move.reduced, positive))


def _ratio(values: Any, change: Any, positive: Any) -> Any:
    falls = positive & (change < 0)
    ratios = jnp.where(falls, -values / jnp.where(falls, change, -1.0), jnp.inf)
    return jnp.min(ratios)


def _moved(parts: Parts, state: InteriorState, move: _Move, lengths) -> InteriorState:
    """The next iterate, shortened until both sides are definite."""
    positive, cost = jnp.asarray(parts.layout.positive), jnp.asarray(parts.layout.cost)

    def fits(steps):
        theta = state.theta + steps[0] * move.theta
        both = [parts.matrix(theta), state.dual + steps[1] * move.dual]
        factors = _factor(jnp.stack(both))
        inside = jnp.all(jnp.isfinite(factors), axis=(1, 2, 3))
        signs = jnp.all(jnp.where(positive, theta > 0, True))
        return inside & jnp.stack([signs, jnp.asarray(True)])

    def again(carry):
        return (carry[2] < TRIALS) & ~jnp.all(carry[1])

    def shorter(carry):
        steps, good, trial = carry
        steps = jnp.where(good, steps, 0.8 * steps)
        return steps, fits(steps), trial + 1

    steps = jnp.minimum(1.0, SHORT * jnp.stack(lengths))
    steps = jnp.where(jnp.isfinite(steps), steps, 0.0) / 0.8
    start = (steps, jnp.zeros(2, dtype=bool), jnp.asarray(0))
    steps, good, _ = jax.lax.while_loop(again, shorter, start)
    theta = state.theta + steps[0] * move.theta
    dual = _symmetric(state.dual + steps[1] * move.dual)
    reduced = state.reduced + steps[1] * move.reduced
    gap = jnp.sum(parts.matrix(theta) * dual) + reduced @ theta
    good = jnp.all(good & (steps > LEAST_STEP)) & jnp.isfinite(gap)

    def keep(new: Array, old: Array) -> Array:
        return jnp.where(good, new, old)

    return InteriorState(
        keep(theta, state.theta),
        keep(dual, state.dual),
        keep(reduced, state.reduced),
        keep(gap / jnp.abs(cost @ theta), state.gap),
        state.steps + 1,
        ~good,
    )
