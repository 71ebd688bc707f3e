"""Dual points of composite problems: theta near -grad phi(A x), exactly in the domain.

For F(x) = phi(A x) + pen(x) and any theta, F(x) - min F <= [phi(z) + phi*(-theta) +
theta^T z] + sum_j [pen_j(x_j) + pen_j*((A^T theta)_j) - x_j (A^T theta)_j], z = A x
(Fenchel). The first bracket is ||theta - r||^2 / 2 for squares, r = y - z; for the
likelihoods the divergence KL(p' || p) of the label distributions that theta and z stand
for, at most sum (p' - p)^2 / p: a squared norm, so its parts may be added as norms.

No rounding is left out: theta is the float vector itself (or one within `slip` of it),
and what separates it from -grad phi is the part `away`.
"""

import math
from typing import NamedTuple

import numpy as np

from ..rigor import U, exp_bounds, gamma
from .optimize_composite_data import Setting, image, norm, total

FAR = 690.0  # margins beyond which exp leaves the float range


class Dual(NamedTuple):
    """A dual point.

    - `theta`: (m,) or (m, classes); `slip`: the point meant is within this norm of it.
    - `factor`: F - D has factor ((1 - s) room + s away)^2 + extra from phi when the
      point is scaled by s.
    - `convexity` of phi*: a gap confines the optimal point to sqrt(2 gap / convexity).
    - `weights`: of the Hessian of phi, (m,) or p, (m, classes), as floats; `ratio`: by
      what factor they may exceed the exact ones.
    - `near`: theta is within this norm of -grad phi(A x).
    """

    theta: np.ndarray
    slip: float
    away: float
    room: float
    extra: float
    factor: float
    convexity: float
    weights: np.ndarray
    ratio: float
    near: float


def dual_point(at: Setting) -> Dual:
    """Theta = -grad phi(A x), rounded into the dual domain."""
    if at.loss == "least_squares":
        return _squares(at)
    return _logistic(at) if at.loss == "logistic" else _softmax(at)


def _squares(at: Setting) -> Dual:
    z, error = image(at.matrix, at.x)
    theta = at.target - z
    away = norm(error + 2 * U * np.abs(theta))
    room = norm(theta) + away
    ones = np.ones(theta.size)
    return Dual(theta, 0.0, away, room, 0.0, 0.5, 1.0, ones, 1.0, away)


def margins(z: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds on exp(z) for z known to `error`."""
    wide = error + 4 * U * (np.abs(z) + error)
    return exp_bounds(z - wide)[0], exp_bounds(z + wide)[1]


class Odds(NamedTuple):
    """Enclosed probabilities of the wrong label (u) and of the true one (v), (m,)."""

    u_low: np.ndarray
    u_high: np.ndarray
    v_low: np.ndarray
    v_high: np.ndarray
    safe: np.ndarray  # margin so large that u counts as 0
    lost: bool  # some margin is so negative that nothing can be said


def odds(at: Setting) -> Odds:
    """U = 1 / (1 + exp(y z)), v = 1 - u, for the logistic loss."""
    z, error = image(at.matrix, at.x)
    t = at.target * z
    reach = np.abs(t) + error
    inner = np.clip(t, -FAR, FAR)
    low, high = margins(-np.abs(inner), error)
    small = low / (1 + low) * (1 - 4 * U), high / (1 + high) * (1 + 4 * U)
    large = 1 / (1 + high) * (1 - 4 * U), 1 / (1 + low) * (1 + 4 * U)
    right, far = t >= 0, reach > FAR
    lost = (far & ~right) | (far & (error > 0.01)) | ~np.isfinite(reach)
    return Odds(
        np.where(right, small[0], large[0]),
        np.where(right, small[1], large[1]),
        np.where(right, large[0], small[0]),
        np.where(right, large[1], small[1]),
        right & far,
        bool(np.any(lost)),
    )


def _logistic(at: Setting) -> Dual:
    found = odds(at)
    u = np.minimum(0.5 * (found.u_low + found.u_high), 1.0)
    u = np.where(found.safe, 0.0, u)
    used = ~found.safe
    wide = (found.u_high - found.u_low)[used] * (1 + 2 * U)
    spread = (found.u_low * found.v_low)[used] * (1 - 2 * U)
    away = norm(wide / np.sqrt(spread) * (1 + 4 * U))
    room = math.sqrt(total((found.u_high / found.v_low)[used]) * (1 + 4 * U))
    if found.lost:
        away = room = math.inf
    weights = u * (1 - u)
    ratio = float(np.max(weights[used] / spread, initial=1.0)) * (1 + 4 * U)
    # A row left out is predicted right but for exp(-690): KL(0 || u) = -log(1 - u).
    extra = 1.1e-299 * float(np.sum(found.safe))
    theta, room = at.target * u, room * (1 + 4 * U)
    near = norm(wide) + 1e-290 * math.sqrt(u.size)
    return Dual(theta, 0.0, away, room, extra, 1.0, 4.0, weights, ratio, near)


def _softmax(at: Setting) -> Dual:
    """P' takes p rounded at the false classes and what is left at the true one."""
    low, high, p = softmax_bounds(at)
    m, k = p.shape
    rows, label = np.arange(m), at.target.astype(np.int64)
    others = np.ones((m, k), bool)
    others[rows, label] = False
    tiny = others & (low < 1e-290)
    p = np.where(tiny | ~others, 0.0, p)
    left = np.sum(p, axis=1)
    wide = np.where(others, (high - low) * (1 + 2 * U), 0.0)
    wide = np.where(tiny, high, wide)
    off = np.sum(wide, axis=1) * (1 + gamma(k + 2))  # of the true class
    part = np.where(tiny, high, wide * wide / np.where(low > 0, low, 1.0))
    part[rows, label] = off * off / low[rows, label]
    away = math.sqrt(total(part) * (1 + 8 * U)) * (1 + 4 * U)
    wrong = np.sum(np.where(others, high, 0.0), axis=1) * (1 + gamma(k + 2))
    room = math.sqrt(total(wrong / low[rows, label]) * (1 + 8 * U)) * (1 + 4 * U)
    if not np.all(low[rows, label] > 1e-290):
        away = room = math.inf
    theta = -p
    theta[rows, label] = left
    slip = gamma(k + 2) * norm(left)
    weights = p.copy()
    weights[rows, label] = 1 - left
    compared = (weights > 0) & (low > 0)
    ratio = np.max(weights[compared] / low[compared], initial=1.0) * (1 + 8 * U)
    near = (norm(wide) + norm(off) + slip) * (1 + 4 * U)
    return Dual(theta, slip, away, room, 0.0, 1.0, 2.0, weights, float(ratio), near)


def softmax_bounds(at: Setting) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(low, high, near) of the class probabilities, (m, classes)."""
    columns = at.x.reshape(-1, at.classes).T
    found = [image(at.matrix, np.ascontiguousarray(column)) for column in columns]
    z = np.stack([one.value for one in found], axis=1)
    error = np.stack([one.error for one in found], axis=1)
    low, high = margins(z - np.max(z, axis=1, keepdims=True), error + 2 * U * abs(z))
    k = at.classes
    share = 1 + gamma(k + 4)
    bottom = low / (np.sum(high, axis=1, keepdims=True) * share) * (1 - 4 * U)
    top = high / (np.sum(low, axis=1, keepdims=True) / share) * (1 + 4 * U)
    return bottom, top, 0.5 * (bottom + top)
