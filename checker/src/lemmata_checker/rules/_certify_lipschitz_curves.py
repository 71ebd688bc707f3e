"""Activations: enclosures of values and derivatives, and lines above and below.

A line is a float slope and an intercept that is right for this very slope: the
supremum of f(z) - slope z over [l, u], rounded up, or the infimum, rounded down. So any
slope is sound, and a good one only makes the bound small.

Source: the slopes are those of Zhang et al., NeurIPS 2018 (arXiv 1811.00866); the
intercepts follow from convexity on each side of the inflection at 0.
"""

from typing import NamedTuple

import numpy as np

from ..network import Node
from ..rigor import U, exp_bounds

Array = np.ndarray
WIDE = 2.0**-47  # relative; covers the few roundings beside those of exp
PIECEWISE = ("relu", "leaky_relu")
NEAR = 1e-9  # this close to 0, the side of the inflection does not matter


class Lines(NamedTuple):
    """lower_slope z + lower <= f(z) <= upper_slope z + upper, elementwise."""

    lower_slope: Array
    lower: Array
    upper_slope: Array
    upper: Array


def low_slope(node: Node) -> float:
    """The slope left of 0 of a piecewise linear activation."""
    return float(node.options["slope"]) if node.op == "leaky_relu" else 0.0


def clip(lo: Array, hi: Array, sign: Array | None) -> tuple[Array, Array]:
    """Bounds on z where its sign is given."""
    if sign is None:
        return lo, hi
    lo = np.where(sign > 0, np.maximum(lo, 0.0), lo)
    return lo, np.where(sign < 0, np.minimum(hi, 0.0), hi)


def value_bounds(node: Node, lo: Array, hi: Array) -> tuple[Array, Array]:
    """Bounds on f over [lo, hi]; every activation is non-decreasing."""
    if node.op in PIECEWISE:
        a = low_slope(node)
        down = np.where(lo > 0, lo, np.nextafter(a * lo, -np.inf) if a else 0.0)
        up = np.where(hi > 0, hi, np.nextafter(a * hi, np.inf) if a else 0.0)
        return down, up
    return _enclosure(node.op, lo)[0], _enclosure(node.op, hi)[1]


def slope_bounds(
    node: Node, lo: Array, hi: Array, sign: Array | None
) -> tuple[Array, Array]:
    """Bounds on Clarke's derivative over [lo, hi].

    Where a split fixed the sign, the kink belongs to both sides: there the derivative
    is that of the side, as a multi-affine function is largest at a vertex.
    """
    if node.op in PIECEWISE:
        a = low_slope(node)
        on, off = lo > 0, hi < 0
        if sign is not None:
            on, off = (on & (sign >= 0)) | (sign > 0), (off & (sign <= 0)) | (sign < 0)
        return np.where(on, 1.0, a), np.where(off, a, 1.0)
    if node.op == "softplus":
        return _enclosure("sigmoid", lo)[0], _enclosure("sigmoid", hi)[1]
    nearest = np.clip(0.0, lo, hi)
    farthest = np.where(np.abs(lo) > np.abs(hi), lo, hi)
    return _derivative(node.op, farthest)[0], _derivative(node.op, nearest)[1]


def lines(node: Node, lo: Array, hi: Array, slope: Array | None) -> Lines:
    """Lines over [lo, hi]; `slope`: the lower one where the sign is open."""
    if node.op in PIECEWISE:
        return _piecewise(low_slope(node), lo, hi, slope)
    if node.op == "softplus":
        return _convex(lo, hi)
    above = _above(node.op, lo, hi)
    below = _above(node.op, -hi, -lo)
    # f(-z) = 1 - f(z) for the logistic function, -f(z) for tanh
    shift = 1.0 if node.op == "sigmoid" else 0.0
    lower = np.nextafter(shift - below[1], -np.inf)
    return Lines(below[0], lower, *above)


def default_slope(a: float, lo: Array, hi: Array) -> Array:
    """1 where most of [lo, hi] is positive, else `a`; a tie counts as positive."""
    return np.where(hi > -lo * (1 - 1e-6), 1.0, a)


def _piecewise(a: float, lo: Array, hi: Array, slope: Array | None) -> Lines:
    on, off = lo >= 0, hi <= 0
    open_ = ~(on | off)
    width = np.where(open_, hi - lo, 1.0)
    chord = np.clip((hi - a * lo) / width, a, 1.0)
    chord = np.where(on, 1.0, np.where(off, a, chord))
    # convex: f(z) - chord z is largest at an end: (a - chord) l or (1 - chord) u
    ends = np.maximum((a - chord) * lo, (1.0 - chord) * hi)
    top = np.where(open_, ends * (1 + 4 * U) + 2.0**-1020, 0.0)
    low = default_slope(a, lo, hi) if slope is None else slope
    low = np.where(on, 1.0, np.where(off, a, low))
    return Lines(low, np.zeros_like(low), chord, np.maximum(top, 0.0))


def _convex(lo: Array, hi: Array) -> Lines:
    """Softplus: chord above, tangent at the middle below."""
    first, last = _enclosure("softplus", lo), _enclosure("softplus", hi)
    middle = 0.5 * lo + 0.5 * hi
    at, rate = _enclosure("softplus", middle), _enclosure("sigmoid", middle)
    wide = hi - lo > 1e-6
    width = np.where(wide, hi - lo, 1.0)
    chord = np.where(wide, (last[1] - first[0]) / width, 0.5 * (rate[0] + rate[1]))
    chord = np.clip(chord, 0.0, 1.0)
    upper = np.maximum(
        _up(first[1], chord, lo),
        _up(last[1], chord, hi),
    )
    slope = 0.5 * (rate[0] + rate[1])
    steep, flat = np.maximum(rate[1] - slope, 0), np.maximum(slope - rate[0], 0)
    slack = steep * (middle - lo) + flat * (hi - middle)
    lower = -_up(-at[0], -slope, middle) - slack * (1 + WIDE)
    return Lines(slope, np.nextafter(lower, -np.inf), chord, upper)


def _above(op: str, lo: Array, hi: Array) -> tuple[Array, Array]:
    """Slope and intercept of a line above an S-shaped curve, convex left of 0."""
    slope, anchor = _touching(op, lo, hi)
    left, cut = np.minimum(lo, 0.0), np.minimum(hi, 0.0)
    start = np.maximum(lo, 0.0)
    top = np.full(lo.shape, -np.inf)
    convex = (lo < 0) | (hi <= 0)
    for z in (left, cut):
        value = _up(_enclosure(op, z)[1], slope, z)
        top = np.where(convex, np.maximum(top, value), top)
    # concave right of 0: below its tangent at the anchor
    anchor = np.clip(anchor, start, np.maximum(hi, start))
    rate = _derivative(op, anchor)
    rising, falling = np.maximum(rate[1] - slope, 0), np.maximum(slope - rate[0], 0)
    slack = (rising * (hi - anchor) + falling * (anchor - start)) * (1 + WIDE)
    value = np.nextafter(_up(_enclosure(op, anchor)[1], slope, anchor) + slack, np.inf)
    return slope, np.where(hi > 0, np.maximum(top, value), top)


def _touching(op: str, lo: Array, hi: Array) -> tuple[Array, Array]:
    """A good slope above, and where the line touches; floats, not trusted."""
    value, rate = PLAIN[op]
    wide = hi - lo > 1e-6
    width = np.where(wide, hi - lo, 1.0)
    middle = 0.5 * (lo + hi)
    chord = np.where(wide, (value(hi) - value(lo)) / width, rate(middle))
    concave, convex = lo > -NEAR, hi <= 0
    touches = rate(hi) >= chord
    low, high = np.zeros_like(lo), np.maximum(hi, 0.0)
    for _ in range(BISECTIONS):
        d = 0.5 * (low + high)
        short = rate(d) * (d - lo) > value(d) - value(lo)
        low, high = np.where(short, d, low), np.where(short, high, d)
    tangent = 0.5 * (low + high)
    anchor = np.where(concave, middle, np.where(convex | touches, hi, tangent))
    slope = np.where(concave, rate(middle), rate(tangent))
    straight = ~concave & (convex | touches)
    return np.where(straight, chord, slope), anchor


BISECTIONS = 30


def _logistic(z: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * z)


PLAIN = {
    "sigmoid": (_logistic, lambda z: _logistic(z) * _logistic(-z)),
    "tanh": (np.tanh, lambda z: 1.0 - np.tanh(z) ** 2),
}
"""Value and derivative in plain floats, for the choice of slopes alone."""


def _up(value: Array, slope: Array, z: Array) -> Array:
    """Value - slope z, rounded up."""
    size = np.abs(value) + np.abs(slope * z)
    return (value - slope * z) + 4 * U * size + 2.0**-1020


def _enclosure(op: str, z: Array) -> tuple[Array, Array]:
    """Bounds on f(z)."""
    factor = 2.0 if op == "tanh" else 1.0
    small = exp_bounds(-factor * np.abs(z))  # exp(-|z|), at most 1
    small = (small[0], np.minimum(small[1], 1.0))
    if op == "softplus":
        low, high = (_log1p(e) for e in small)
        low, high = low[0] + np.maximum(z, 0.0), high[1] + np.maximum(z, 0.0)
        return low * (1 - WIDE), high * (1 + WIDE)
    if op == "tanh":
        low, high = (1 - small[1]) / (1 + small[1]), (1 - small[0]) / (1 + small[0])
        low, high = low * (1 - WIDE), np.minimum(high * (1 + WIDE), 1.0)
        return np.where(z < 0, -high, low), np.where(z < 0, -low, high)
    low, high = 1 / (1 + small[1]), 1 / (1 + small[0])
    tail_low, tail_high = small[0] / (1 + small[0]), small[1] / (1 + small[1])
    low, high = np.where(z < 0, tail_low, low), np.where(z < 0, tail_high, high)
    return low * (1 - WIDE), np.minimum(high * (1 + WIDE), 1.0)


def _derivative(op: str, z: Array) -> tuple[Array, Array]:
    """Bounds on f'(z): c e / (1 + e)^2 with e = exp(-|z|) or exp(-2 |z|)."""
    factor = 4.0 if op == "tanh" else 1.0
    e = exp_bounds(-(2.0 if op == "tanh" else 1.0) * np.abs(z))
    low, high = (factor * e / (1 + e) ** 2 for e in (e[0], np.minimum(e[1], 1.0)))
    most = 1.0 if op == "tanh" else 0.25
    return low * (1 - WIDE), np.minimum(high * (1 + WIDE), most)


def _log1p(e: Array) -> tuple[Array, Array]:
    """Bounds on log(1 + e), 0 <= e <= 1: 2 artanh(y), y = e / (2 + e) <= 1/3.

    Twenty terms of the series leave less than 9^-20 of the first.
    """
    y = e / (2 + e)
    square, total = y * y, np.zeros_like(y)
    for k in range(19, -1, -1):
        total = total * square + 1.0 / (2 * k + 1)
    value = 2 * y * total
    return value * (1 - WIDE), value * (1 + WIDE)
