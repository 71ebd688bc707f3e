"""The semi-dual maximised to the last digits where top-k sets tie: an interior point.

The biconjugate of `gamma/2 |t|^2 + [at most k non-zeros]` is the perspective
`min over eta in [0, 1]^f, sum(eta) <= k of gamma/2 sum t_i^2 / eta_i`, so D has the
same maximum as the dual of a smooth convex program (one plan t and one share eta per
pair). With multipliers named after the primal quantities its optimality conditions are

    p >= x,  p >= 0,  y >= p^2/(2 gamma) - omega_j,  y >= 0,
        x_ji = alpha_i - tau_j - c_ji,
    t (p - x) = mu,  u p = mu,  eta (y - p^2/(2 gamma) + omega) = mu,  v y = mu,
    eta + v = 1,  eta p / gamma = t + u,  and the sums of t, t and eta.

Eliminating the pairs leaves a system of the size of alpha. Source: Argyriou, Foygel,
Srebro, Sparse prediction with the k-support norm (2012), for the biconjugate;
Mehrotra, On the implementation of a primal-dual interior point method (1992).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ._topk import Oriented

_BACK_OFF = 0.98  # share of the way to the boundary


class Iterate(NamedTuple):
    """Potentials (f,), (c,), (c,); everything else per pair, (c, f), positive."""

    alpha: Array
    tau: Array
    omega: Array
    p: Array
    gap: Array  # p - x
    t: Array
    u: Array
    y: Array
    v: Array
    eta: Array
    z: Array  # y - p^2/(2 gamma) + omega, up to a residual that Newton removes


class Targets(NamedTuple):
    """Right-hand sides: four products, and the residuals of z and of p."""

    p: Array
    gap: Array
    y: Array
    z: Array
    z_residual: Array
    p_residual: Array


class BarrierState(eqx.Module):
    """An interior point.

    **Fields:** `point`; `gap`: sum of the complementarity products, cost times mass;
    `stalled`: the last step found no room and left the point unchanged.
    """

    point: Iterate
    gap: Array
    stalled: Array


def barrier_init(data: Oriented, cap: Array | int) -> BarrierState:
    """A well-centred start of the size of the costs, which must be finite.

    `cap` < f may be traced, so that one compiled program serves several.
    """
    spread = jnp.max(data.cost) - jnp.min(data.cost)
    spread = jnp.where(spread > 0, spread, jnp.max(jnp.abs(data.cost)) + 1.0)
    c, f = data.cost.shape
    zero = jnp.zeros_like(data.free)
    tau = jnp.max(-data.cost, axis=1) - data.gamma * data.capped / cap
    x = -data.cost - tau[:, None]
    p = jnp.maximum(x, 0.0) + 0.1 * spread
    square = p * p / (2 * data.gamma)
    omega = jnp.mean(square, axis=1)
    level = jnp.mean(omega)
    t = data.capped[:, None] * data.free[None, :]
    eta = jnp.full((c, f), cap / f)
    point = Iterate(
        alpha=zero,
        tau=tau,
        omega=omega,
        p=p,
        gap=p - x,
        t=t,
        u=jnp.maximum(eta * p / data.gamma - t, 0.01 * t),
        y=jnp.full((c, f), level),
        v=1 - eta,
        eta=eta,
        z=jnp.maximum(level - square + omega[:, None], 0.1 * level),
    )
    return BarrierState(point, _complementarity(point), jnp.asarray(False))


def empty_barrier(data: Oriented) -> BarrierState:
    """A state that has not started: every array empty, every scalar zero."""
    like = eqx.filter_eval_shape(barrier_init, data, 1)
    return jax.tree.map(lambda s: jnp.zeros((0,) * len(s.shape), s.dtype), like)


def _complementarity(w: Iterate) -> Array:
    return jnp.sum(w.p * w.u + w.gap * w.t + w.y * w.v + w.z * w.eta)


class _Reduced(NamedTuple):
    """What every right-hand side shares: weights of the pairs and a factor."""

    xx: Array
    xw: Array
    ww: Array
    inner: Array
    weight: Array
    factor: Array
    inverse: tuple[Array, Array, Array]


def _reduce(data: Oriented, w: Iterate) -> _Reduced:
    slope = w.p / data.gamma
    ratio_y, ratio_z, ratio = w.v / w.y, w.eta / w.z, w.t / w.gap
    weight = ratio_z * ratio_y / (ratio_y + ratio_z)
    bend = w.u / w.p + w.eta / data.gamma
    inner = bend + ratio + weight * slope * slope
    xx = ratio * (bend + weight * slope * slope) / inner
    xw = ratio * slope * weight / inner
    ww = weight * (bend + ratio) / inner
    k11, k12, k22 = (jnp.sum(h, axis=1) for h in (xx, xw, ww))
    determinant = k11 * k22 - k12 * k12
    inverse = (k22 / determinant, -k12 / determinant, k11 / determinant)
    i11, i12, i22 = (i[:, None] for i in inverse)
    schur = xx.T @ (i11 * xx + i12 * xw) + xw.T @ (i12 * xx + i22 * xw)
    matrix = jnp.diag(jnp.sum(xx, axis=0)) - (schur + schur.T) / 2
    return _Reduced(xx, xw, ww, inner, weight, _factor(matrix), inverse)


def _factor(matrix: Array) -> Array:
    """Cholesky factor, the diagonal lifted by as little as makes it exist.

    A constant added to alpha and tau changes nothing, so the matrix is singular.
    """
    diagonal = jnp.diagonal(matrix)

    def attempt(lift):
        lifted = jnp.diag(lift * (diagonal + jnp.max(diagonal)))
        return jnp.linalg.cholesky(matrix + lifted)

    def failed(carry):
        lift, factor = carry
        return ~jnp.all(jnp.isfinite(factor)) & (lift < 1e-4)

    def again(carry):
        lift = 30 * carry[0]
        return lift, attempt(lift)

    least = jnp.asarray(1e-13, matrix.dtype)
    return jax.lax.while_loop(failed, again, (least, attempt(least)))[1]


def _newton(
    data: Oriented, cap: Array | int, w: Iterate, r: _Reduced, goal: Targets
) -> Iterate:
    slope, ratio, weight = w.p / data.gamma, w.t / w.gap, r.weight
    ratio_y, ratio_z = w.v / w.y, w.eta / w.z
    both = ratio_y + ratio_z
    y0 = goal.y / w.y + goal.z / w.z - 1
    eta0 = goal.z / w.z - w.eta - ratio_z * y0 / both - weight * goal.z_residual
    p0 = goal.p / w.p + goal.gap / w.gap - w.eta * slope - goal.p_residual
    p0 = (p0 - slope * eta0) / r.inner
    t0 = goal.gap / w.gap - w.t - ratio * p0
    e0 = eta0 + weight * slope * p0
    rows = data.free - jnp.sum(w.t + t0, axis=0)
    columns = data.capped - jnp.sum(w.t + t0, axis=1)
    shares = cap - jnp.sum(w.eta + e0, axis=1)
    i11, i12, i22 = r.inverse
    a, b = i11 * columns + i12 * shares, i12 * columns + i22 * shares
    rhs = rows - r.xx.T @ a - r.xw.T @ b
    alpha = jax.scipy.linalg.cho_solve((r.factor, True), rhs)
    a, b = r.xx @ alpha - columns, r.xw @ alpha - shares
    tau, omega = i11 * a + i12 * b, i12 * a + i22 * b
    x = alpha[None, :] - tau[:, None]
    p = p0 + (ratio * x + slope * weight * omega[:, None]) / r.inner
    gap = p - x
    q = slope * p - omega[:, None] - goal.z_residual
    y = (y0 + ratio_z * q) / both
    return Iterate(
        alpha=alpha,
        tau=tau,
        omega=omega,
        p=p,
        gap=gap,
        t=goal.gap / w.gap - w.t - ratio * gap,
        u=goal.p / w.p - w.u - w.u / w.p * p,
        y=y,
        v=goal.y / w.y - w.v - ratio_y * y,
        eta=goal.z / w.z - w.eta - ratio_z * (y - q),
        z=y - q,
    )


def _longest(w: Iterate, d: Iterate) -> Array:
    def room(value, change):
        safe = jnp.where(change < 0, -change, 1.0)
        return jnp.min(jnp.where(change < 0, value / safe, jnp.inf))

    rooms = [room(value, change) for value, change in zip(w[3:], d[3:], strict=True)]
    return jnp.min(jnp.stack(rooms))


def _moved(w: Iterate, d: Iterate, length: Array) -> Iterate:
    return Iterate(
        *(value + length * change for value, change in zip(w, d, strict=True))
    )


def barrier_step(data: Oriented, state: BarrierState, cap: Array | int) -> BarrierState:
    """One predictor-corrector step; without room the point stays and is `stalled`."""
    w = state.point
    reduced = _reduce(data, w)
    zero = jnp.zeros_like(w.p)
    residual = w.y - w.p * w.p / (2 * data.gamma) + w.omega[:, None] - w.z
    mu = state.gap / (4 * w.p.size)

    def following(turn: Array, step: Iterate) -> Targets:
        """After the predictor the corrector; after that, a plain centring step."""
        ahead = _moved(w, step, jnp.minimum(1.0, _longest(w, step)))
        ratio = _complementarity(ahead) / state.gap
        first = turn == 0
        centring = jnp.where(first, jnp.maximum(ratio**3, 1e-6), 0.5) * mu
        second = jnp.where(first, 1.0, 0.0)
        return Targets(
            p=centring - second * step.p * step.u,
            gap=centring - second * step.gap * step.t,
            y=centring - second * step.y * step.v,
            z=centring - second * step.z * step.eta,
            z_residual=residual - second * step.p**2 / (2 * data.gamma),
            p_residual=second * step.eta * step.p / data.gamma,
        )

    def unfinished(carry):
        turn, step, _ = carry
        # Where second order leads to the boundary, plain centring is safer.
        short = ~(_BACK_OFF * _longest(w, step) > 0.1)
        return (turn < 2) | ((turn == 2) & short)

    def advance(carry):
        turn, _, goal = carry
        step = _newton(data, cap, w, reduced, goal)
        return turn + 1, step, following(turn, step)

    # One loop, so that the long expression above is compiled once, not thrice.
    goal = Targets(zero, zero, zero, zero, residual, zero)
    start = (jnp.asarray(0), jax.tree.map(jnp.zeros_like, w), goal)
    _, step, _ = jax.lax.while_loop(unfinished, advance, start)
    length = jnp.minimum(1.0, _BACK_OFF * _longest(w, step))
    point = _moved(w, step, length)
    finite = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in point])
    good = jnp.all(finite) & (length > 1e-9)
    point = jax.tree.map(lambda a, b: jnp.where(good, a, b), point, w)
    return BarrierState(point, _complementarity(point), ~good)
