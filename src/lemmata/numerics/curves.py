"""Activations between two lines over an interval, and ranges of their derivatives.

Sigmoid and tanh: chord where the curve bends towards it, else a tangent; where the
interval crosses the inflection, the tangent through the other end, found by bisection.
The judge chooses the same slopes and rounds its own intercepts outwards.

Source: Zhang et al., NeurIPS 2018 (arXiv 1811.00866), section 4.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .networks import PIECEWISE, NodeSpec

NEAR = 1e-9  # this close to 0, the side of the inflection does not matter
BISECTIONS = 30


class Lines(NamedTuple):
    """lower_slope z + lower <= f(z) <= upper_slope z + upper, elementwise."""

    lower_slope: Any
    lower: Any
    upper_slope: Any
    upper: Any


def _logistic(z: Any) -> Any:
    return 0.5 + 0.5 * jnp.tanh(0.5 * z)


CURVE = {
    "sigmoid": (_logistic, lambda z: _logistic(z) * _logistic(-z)),
    "tanh": (jnp.tanh, lambda z: 1.0 - jnp.tanh(z) ** 2),
    "softplus": (jax.nn.softplus, _logistic),
}


def value_range(node: NodeSpec, lo: Any, hi: Any) -> tuple[Any, Any]:
    """Bounds on f over [lo, hi]; every activation is non-decreasing."""
    if node.op in PIECEWISE:
        a = node.low_slope
        return jnp.where(lo > 0, lo, a * lo), jnp.where(hi > 0, hi, a * hi)
    value, _ = CURVE[node.op]
    return value(lo), value(hi)


def slope_range(node: NodeSpec, lo: Any, hi: Any, sign: Any) -> tuple[Any, Any]:
    """Bounds on Clarke's derivative over [lo, hi]; a fixed sign decides at the kink."""
    if node.op in PIECEWISE:
        a, on, off = node.low_slope, lo > 0, hi < 0
        if sign is not None:
            on, off = (on & (sign >= 0)) | (sign > 0), (off & (sign <= 0)) | (sign < 0)
        return jnp.where(on, 1.0, a), jnp.where(off, a, 1.0)
    _, rate = CURVE[node.op]
    if node.op == "softplus":
        return rate(lo), rate(hi)
    farthest = jnp.where(jnp.abs(lo) > jnp.abs(hi), lo, hi)
    return rate(farthest), rate(jnp.clip(0.0, lo, hi))


def lines(node: NodeSpec, lo: Any, hi: Any) -> Lines:
    """Lines below and above f over [lo, hi]."""
    if node.op in PIECEWISE:
        return _piecewise(node.low_slope, lo, hi)
    if node.op == "softplus":
        return _convex(lo, hi)
    above = _above(node.op, lo, hi)
    below = _above(node.op, -hi, -lo)
    shift = 1.0 if node.op == "sigmoid" else 0.0
    return Lines(below[0], shift - below[1], *above)


def _piecewise(a: float, lo: Any, hi: Any) -> Lines:
    on, off = lo >= 0, hi <= 0
    open_ = ~(on | off)
    width = jnp.where(open_, hi - lo, 1.0)
    chord = jnp.where(on, 1.0, jnp.where(off, a, (hi - a * lo) / width))
    top = jnp.where(open_, (a - chord) * lo, 0.0)
    low = jnp.where(hi > -lo * (1 - 1e-6), 1.0, a)  # a tie counts as positive
    low = jnp.where(on, 1.0, jnp.where(off, a, low))
    return Lines(low, jnp.zeros_like(low), chord, top)


def _convex(lo: Any, hi: Any) -> Lines:
    value, rate = CURVE["softplus"]
    middle = 0.5 * lo + 0.5 * hi
    wide = hi - lo > 1e-6
    width = jnp.where(wide, hi - lo, 1.0)
    chord = jnp.where(wide, (value(hi) - value(lo)) / width, rate(middle))
    top = jnp.maximum(value(lo) - chord * lo, value(hi) - chord * hi)
    slope = rate(middle)
    return Lines(slope, value(middle) - slope * middle, chord, top)


def _above(op: str, lo: Any, hi: Any) -> tuple[Any, Any]:
    """Slope and intercept of a line above an S-shaped curve, convex left of 0."""
    value, rate = CURVE[op]
    slope, anchor = _touching(op, lo, hi)
    start = jnp.maximum(lo, 0.0)
    top = jnp.full(lo.shape, -jnp.inf)
    convex = (lo < 0) | (hi <= 0)
    for z in (jnp.minimum(lo, 0.0), jnp.minimum(hi, 0.0)):
        top = jnp.where(convex, jnp.maximum(top, value(z) - slope * z), top)
    # concave right of 0: below its tangent at the anchor
    anchor = jnp.clip(anchor, start, jnp.maximum(hi, start))
    off = rate(anchor) - slope
    slack = jnp.maximum(off, 0) * (hi - anchor) + jnp.maximum(-off, 0) * (
        anchor - start
    )
    right = value(anchor) - slope * anchor + slack
    return slope, jnp.where(hi > 0, jnp.maximum(top, right), top)


def _touching(op: str, lo: Any, hi: Any) -> tuple[Any, Any]:
    """A good slope above, and where the line touches."""
    value, rate = CURVE[op]
    wide = hi - lo > 1e-6
    width = jnp.where(wide, hi - lo, 1.0)
    middle = 0.5 * (lo + hi)
    chord = jnp.where(wide, (value(hi) - value(lo)) / width, rate(middle))
    concave, convex = lo > -NEAR, hi <= 0
    straight = ~concave & (convex | (rate(hi) >= chord))

    def halve(_, ends):
        low, high = ends
        d = 0.5 * (low + high)
        short = rate(d) * (d - lo) > value(d) - value(lo)
        return jnp.where(short, d, low), jnp.where(short, high, d)

    ends = jnp.zeros_like(lo), jnp.maximum(hi, 0.0)
    ends = jax.lax.fori_loop(0, BISECTIONS, halve, ends)
    tangent = jax.lax.stop_gradient(0.5 * (ends[0] + ends[1]))
    anchor = jnp.where(concave, middle, jnp.where(straight, hi, tangent))
    slope = jnp.where(concave, rate(middle), rate(tangent))
    return jnp.where(straight, chord, slope), anchor
