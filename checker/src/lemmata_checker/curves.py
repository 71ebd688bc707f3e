"""Elementary functions of balls with their first two derivatives, entry by entry.

exp and log come from `rigor`, square roots and reciprocals from IEEE arithmetic, the
rest from python-flint's balls. A function that is not twice differentiable on the whole
ball gives NaN there.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from flint import arb, ctx

from .curves_flint import TRIPLES, Triple
from .intervals import (
    INF,
    Ball,
    add,
    between,
    exact,
    multiply,
    negative,
    reciprocal,
    scale,
    square_root,
)
from .rigor import U, exp_bounds, log_enclosed

PRECISION = 96  # bits of flint's balls; widths stay that of the argument
ONE = exact(1.0)


class Curve(NamedTuple):
    """Function value and first two derivatives at each entry."""

    value: Ball
    slope: Ball
    bend: Ball


def _exp_ends(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`exp_bounds`, of scalars and NaN as well."""
    line = np.nan_to_num(np.atleast_1d(z), nan=-np.inf)
    low, high = (np.where(np.isnan(z), np.nan, e) for e in exp_bounds(line))
    return low.reshape(z.shape), high.reshape(z.shape)


def _exponential(u: Ball) -> Curve:
    value = between(_exp_ends(u.lower())[0], _exp_ends(u.upper())[1])
    return Curve(value, value, value)


def _log_ends(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on the log at two ends, both positive and finite."""
    low, below = log_enclosed(np.atleast_1d(lower))
    high, above = log_enclosed(np.atleast_1d(upper))
    bounds = np.nextafter(low - below, -INF), np.nextafter(high + above, INF)
    return bounds[0].reshape(lower.shape), bounds[1].reshape(upper.shape)


def _logarithm(u: Ball) -> Curve:
    lower, upper = u.lower(), u.upper()
    good = (lower > 0) & np.isfinite(upper)
    low, high = _log_ends(np.where(good, lower, 1.0), np.where(good, upper, 1.0))
    slope = reciprocal(u)
    value = between(np.where(good, low, np.nan), high)
    return Curve(value, slope, negative(multiply(slope, slope)))


def _root(u: Ball) -> Curve:
    value = square_root(u)
    slope = scale(reciprocal(value), 0.5)
    return Curve(value, slope, scale(multiply(slope, reciprocal(u)), -0.5))


def _reciprocal(u: Ball) -> Curve:
    value = reciprocal(u)
    square = multiply(value, value)
    return Curve(value, negative(square), scale(multiply(square, value), 2.0))


def _sigmoid_ends(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on 1 / (1 + exp(-z)), increasing in e = exp(-|z|) on one side of 0.

    One sum and one quotient round: 4u covers them.
    """
    low, high = _exp_ends(-np.abs(z))
    lower = np.where(z >= 0, 1 / (1 + high), low / (1 + low)) * (1 - 4 * U)
    upper = np.where(z >= 0, 1 / (1 + low), high / (1 + high)) * (1 + 4 * U)
    return lower, upper


def _sigmoid(u: Ball) -> tuple[Ball, Ball]:
    """s(u) and 1 - s(u) = s(-u)."""
    lower, upper = u.lower(), u.upper()
    rising = between(_sigmoid_ends(lower)[0], _sigmoid_ends(upper)[1])
    falling = between(_sigmoid_ends(-upper)[0], _sigmoid_ends(-lower)[1])
    return rising, falling


def _logistic(u: Ball) -> Curve:
    rising, falling = _sigmoid(u)
    slope = multiply(rising, falling)
    bend = multiply(slope, add(falling, negative(rising)))
    return Curve(rising, slope, bend)


def _softplus_ends(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on log(1 + exp(z)) = max(z, 0) + log(1 + e), e = exp(-|z|).

    The sum 1 + e rounds by u, so its log by 1.1u; the last sum rounds by nextafter.
    """
    low, high = _exp_ends(-np.abs(z))
    lower, upper = _log_ends(1 + low, 1 + high)
    base = np.maximum(z, 0.0)
    lower = np.nextafter(base + np.nextafter(lower - 2 * U, -INF), -INF)
    upper = np.nextafter(base + np.nextafter(upper + 2 * U, INF), INF)
    return np.maximum(lower, 0.0), upper


def _softplus(u: Ball) -> Curve:
    lower, upper = u.lower(), u.upper()
    good = np.isfinite(lower) & np.isfinite(upper)
    low = _softplus_ends(np.where(good, lower, 0.0))[0]
    high = _softplus_ends(np.where(good, upper, 0.0))[1]
    value = between(np.where(good, low, np.nan), high)
    rising, falling = _sigmoid(u)
    return Curve(value, rising, multiply(rising, falling))


def _absolute(u: Ball) -> Curve:
    sign = sign_of(u)
    zero = np.where(np.isnan(sign), np.nan, 0.0)
    lower, upper = u.lower(), u.upper()
    least = np.maximum(np.maximum(lower, -upper), 0.0)
    value = between(least, np.maximum(np.abs(lower), np.abs(upper)))
    return Curve(value, exact(sign), exact(zero))


def _sign(u: Ball) -> Curve:
    sign = sign_of(u)
    zero = exact(np.where(np.isnan(sign), np.nan, 0.0))
    return Curve(exact(sign), zero, zero)


def sign_of(u: Ball) -> np.ndarray:
    """1 or -1 where the ball has one sign, NaN elsewhere."""
    return np.where(u.lower() > 0, 1.0, np.where(u.upper() < 0, -1.0, np.nan))


def power(u: Ball, exponent: int) -> Curve:
    """u^k for an integer k, by repeated multiplication."""
    k = exponent
    value, slope, bend = (_power(u, k - drop) for drop in range(3))
    if k == 0:
        slope = bend = exact(np.zeros(u.shape))
    if k == 1:
        bend = exact(np.zeros(u.shape))
    factors = exact(float(k)), exact(float(k * (k - 1)))
    return Curve(value, multiply(factors[0], slope), multiply(factors[1], bend))


def _power(u: Ball, exponent: int) -> Ball:
    if exponent == 0:
        return exact(np.ones(u.shape))
    if exponent < 0:
        return _power(reciprocal(u), -exponent)
    half = _power(u, exponent // 2)
    whole = multiply(half, half) if exponent > 1 else exact(np.ones(u.shape))
    return multiply(whole, u) if exponent % 2 else whole


def through_flint(u: Ball, triple: Callable[[arb], Triple]) -> Curve:
    """`triple` of each entry, in flint's balls."""
    mid, rad = u.mid.reshape(-1).tolist(), u.radius.reshape(-1).tolist()
    ends = np.empty((3, 2, len(mid)))
    with ctx.workprec(PRECISION):
        for place, (m, r) in enumerate(zip(mid, rad, strict=True)):
            if not (math.isfinite(m) and math.isfinite(r)):
                ends[:, :, place] = np.nan
                continue
            for row, found in enumerate(triple(arb(m, r))):
                ends[row, :, place] = _ends(found)
    return Curve(*(between(low, high).reshape(u.shape) for low, high in ends))


def _ends(found: Any) -> tuple[float, float]:
    if not found.is_finite():
        return math.nan, math.nan
    low, high = float(found.lower()), float(found.upper())
    return math.nextafter(low, -math.inf), math.nextafter(high, math.inf)


def real_power(u: Ball, exponent: float) -> Curve:
    """u^p for u > 0 and a real constant p."""
    p = arb(exponent)

    def triple(t: arb) -> Triple:
        if not t > 0:
            return arb.nan(), arb.nan(), arb.nan()
        value = t**p
        slope = p * value / t
        return value, slope, (p - 1) * slope / t

    return through_flint(u, triple)


def _flint(triple: Callable[[arb], Triple]) -> Callable[[Ball], Curve]:
    return lambda u: through_flint(u, triple)


CURVES: dict[str, Callable[[Ball], Curve]] = {
    "exp": _exponential,
    "log": _logarithm,
    "sqrt": _root,
    "reciprocal": _reciprocal,
    "logistic": _logistic,
    "softplus": _softplus,
    "abs": _absolute,
    "sign": _sign,
    **{name: _flint(triple) for name, triple in TRIPLES.items()},
}
