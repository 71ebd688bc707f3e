"""Bounds on rows of Clarke's generalised Jacobian over a domain, and on their l_1 norm.

The row of an output is g_out = v, followed down: g passes an activation as g s, with
s in the interval of its derivative. A functional sum_i c_i g_i of the row at one node
is followed *up* to the output, where g is known; at an activation g s is replaced by
lines in g that are its envelopes on [p, q] x [s_lo, s_hi].

Source: Shi et al., NeurIPS 2022 (arXiv 2210.07394), sections 3 and 4; rounding as in
`_certify_lipschitz_values`.
"""

from typing import NamedTuple

import numpy as np

from ..network import CURVES
from ..network_actions import forward, terms, transposed
from ..rigor import TINY, U, gamma
from ._certify_lipschitz_curves import slope_bounds
from ._certify_lipschitz_values import CHUNK, ENLARGE, Values, weighted

Array = np.ndarray


class _Envelope(NamedTuple):
    """lower_slope g + lower <= g s <= upper_slope g + upper."""

    lower_slope: Array
    lower: Array
    upper_slope: Array
    upper: Array


class Gradients:
    """Rows v of a batch of domains.

    **Attributes:** `entries`: bounds (b, d) on the row of the Jacobian;
    `norm`: (b,) upper bound on its l_1 norm, -inf where the domain is empty.
    """

    def __init__(self, values: Values, rows: Array, linear: bool = True) -> None:
        self.linear = linear
        self.values, self.network, self.rows = values, values.network, rows
        self.batch = len(rows)
        self.above: dict[int, tuple[Array, Array]] = {}  # of g at a node's result
        self.envelopes: dict[int, _Envelope] = {}
        self.reach: dict[int, list[Array]] = {}  # |W|'|g| for each input
        network = self.network
        last = len(network.nodes) - 1
        shaped = rows.reshape(self.batch, *network.nodes[last].shape)
        self._add(last, shaped, shaped)
        for k in range(last, -1, -1):
            self._step(k)
        lo, hi = self.above.get(-1, self._zeros(-1))
        if linear and self.envelopes:
            lo, hi = self._refined(-1, lo, hi)
            self.above[-1] = lo, hi
        self.entries = lo.reshape(self.batch, -1), hi.reshape(self.batch, -1)
        self.norm = np.where(values.empty, -np.inf, self._norm(lo, hi))

    def _zeros(self, k: int) -> tuple[Array, Array]:
        zeros = np.zeros((self.batch, *self.network.shape(k)))
        return zeros, zeros

    def _add(self, k: int, lo: Array, hi: Array) -> None:
        if k in self.above:
            old = self.above[k]
            lo, hi = old[0] + lo, old[1] + hi
            lo, hi = np.nextafter(lo, -np.inf), np.nextafter(hi, np.inf)
        self.above[k] = lo, hi

    def _step(self, k: int) -> None:
        """From g at the result of node k to g at its inputs."""
        if k not in self.above:
            return
        node, (lo, hi) = self.network.nodes[k], self.above[k]
        if node.op not in CURVES:
            self._linear(k, lo, hi)
            return
        if self.linear and self.envelopes:
            lo, hi = self._refined(k, lo, hi)
            self.above[k] = lo, hi
        before = self.values.before[k]
        low, high = slope_bounds(node, *before, self.values.signs.get(k))
        self.envelopes[k] = _envelope(lo, hi, low, high)
        # s >= 0: the product is least and largest at ends
        down = np.minimum(low * lo, high * lo)
        up = np.maximum(low * hi, high * hi)
        zero_down, zero_up = down == 0, up == 0
        down = np.where(zero_down, 0.0, np.nextafter(down, -np.inf))
        up = np.where(zero_up, 0.0, np.nextafter(up, np.inf))
        self._add(node.inputs[0], down, up)

    def _linear(self, k: int, lo: Array, hi: Array) -> None:
        node = self.network.nodes[k]
        shapes = [self.network.shape(i) for i in node.inputs]
        mid = 0.5 * lo + 0.5 * hi
        radius = np.maximum(hi - mid, mid - lo) * (1 + 2.0**-50)
        radius = np.where(radius > 0, radius + TINY, 0.0)
        size = np.abs(mid) + radius
        count = terms(node, backward=True) + 4
        moved = transposed(node, mid, shapes, size=False)
        spread = transposed(node, radius, shapes, size=True)
        reach = transposed(node, size * ENLARGE, shapes, size=True)
        self.reach[k] = reach
        parts = zip(node.inputs, moved, spread, reach, strict=True)
        for i, middle, wide, full in parts:
            off = (wide + gamma(count) * full) * (1 + gamma(count + 4)) + count * TINY
            self._add(i, middle - off, middle + off)

    def _refined(self, k: int, lo: Array, hi: Array) -> tuple[Array, Array]:
        """The interval of each entry, intersected with its linear bounds."""
        shape, size = self.network.shape(k), self.network.size(k)
        widest = max(self.network.size(i) for i in range(k, len(self.network.nodes)))
        step = max(1, CHUNK // (2 * widest * self.batch))
        low, high = [], []
        for start in range(0, size, step):
            rows = np.arange(start, min(start + step, size))
            unit = np.zeros((len(rows), size))
            unit[np.arange(len(rows)), rows] = 1.0
            both = np.stack([unit, -unit]).reshape(1, -1, *shape)
            found = self._least(k, both)
            low.append(found[:, : len(rows)])
            high.append(-found[:, len(rows) :])
        full = (self.batch, *shape)
        new_lo = np.concatenate(low, axis=1).reshape(full)
        new_hi = np.concatenate(high, axis=1).reshape(full)
        lo, hi = np.maximum(lo, new_lo), np.minimum(hi, new_hi)
        return np.minimum(lo, hi), np.maximum(lo, hi)  # crossed on an empty domain

    def _least(self, start: int, rows: Array) -> Array:
        """Lower bounds (b, r) on functionals (b or 1, r, *shape) of g at a node."""
        network, last = self.network, len(self.network.nodes) - 1
        held: dict[int, Array] = {start: rows}
        total, error = np.zeros((1, rows.shape[1])), np.zeros((1, rows.shape[1]))
        result = None
        for k in range(max(start + 1, 0), last + 1):
            node = network.nodes[k]
            given = [held.get(i) for i in node.inputs]
            if all(c is None for c in given) or k not in self.above:
                continue
            if node.op in CURVES:
                assert given[0] is not None
                held[k], add, off = self._relaxed(k, given[0])
                total = total + add
            else:
                shapes = [network.shape(i) for i in node.inputs]
                whole = _broadcast(given)
                out = forward(node, whole, shapes, size=False)
                assert out is not None
                held[k], off = out, 0.0
                factor = gamma(terms(node, backward=False) + 1)
                for c, reach in zip(whole, self.reach[k], strict=True):
                    if c is not None:
                        off = off + factor * weighted(np.abs(c), reach)
            error = error + off + U * np.abs(total)
        result = held.get(last)
        if result is not None:
            shaped = self.rows.reshape(self.batch, *network.nodes[last].shape)
            value = weighted(result, shaped)
            count = gamma(network.outputs + 3)
            error = error + count * weighted(np.abs(result), np.abs(shaped))
            total = total + value
        total = np.broadcast_to(total, (self.batch, rows.shape[1]))
        scale = 1.0 + sum(float(np.max(np.abs(a))) * a[0].size for a in self._all())
        error = error + TINY * scale + 4 * U * np.abs(total)
        return np.nextafter(total - error * ENLARGE, -np.inf)

    def _relaxed(self, k: int, c: Array) -> tuple[Array, Array, Array]:
        """Each g s replaced by an envelope below sum_j c_j g_j s_j."""
        own, (lo, hi) = self.envelopes[k], self.above[k]
        up, down = np.maximum(c, 0.0), np.minimum(c, 0.0)
        new = up * own.lower_slope[:, None] + down * own.upper_slope[:, None]
        add = weighted(up, own.lower) + weighted(down, own.upper)
        most = np.maximum(np.abs(own.lower), np.abs(own.upper))
        off = gamma(self.network.size(k) + 3) * weighted(up - down, most)
        size = np.maximum(np.abs(lo), np.abs(hi))
        return new, add, off + 2 * U * weighted(np.abs(new), size)

    def _all(self) -> list[Array]:
        return [np.maximum(np.abs(lo), np.abs(hi)) for lo, hi in self.above.values()]

    def _norm(self, lo: Array, hi: Array) -> Array:
        """The lesser of sum max(|p|, |q|) and one more linear bound of sum |g_i|."""
        most = np.maximum(np.abs(lo), np.abs(hi)).reshape(self.batch, -1)
        plain = np.sum(most, axis=1) * (1 + gamma(most.shape[1] + 2))
        plain = np.nextafter(plain, np.inf)
        if not self.linear or not self.envelopes:
            return plain
        crossing = (lo < 0) & (hi > 0)
        width = np.where(crossing, hi - lo, 1.0)
        slope = np.where(crossing, (hi + lo) / width, np.where(lo >= 0, 1.0, -1.0))
        slope = np.clip(slope, -1.0, 1.0)
        # |g| is convex: largest over its chord at an end
        ends = np.maximum(-(1.0 + slope) * lo, (1.0 - slope) * hi)
        top = np.where(crossing, np.maximum(ends * (1 + 4 * U), 0.0) + TINY, 0.0)
        top = top.reshape(self.batch, -1)
        constant = np.sum(top, axis=1) * (1 + gamma(top.shape[1] + 2))
        linear = -self._least(-1, -slope[:, None])[:, 0]
        both = np.nextafter(linear + constant, np.inf)
        return np.minimum(plain, np.nextafter(both, np.inf))


def _broadcast(given: list[Array | None]) -> list[Array | None]:
    """The same batch for every input that is there."""
    batch = max(len(c) for c in given if c is not None)
    return [
        c if c is None or len(c) == batch else np.broadcast_to(c, (batch, *c.shape[1:]))
        for c in given
    ]


def _envelope(p: Array, q: Array, low: Array, high: Array) -> _Envelope:
    """Lines in g around g s, g in [p, q], s in [low, high], 0 <= low <= high.

    Crossing zero, max(low g, high g) is convex: below its chord; and so on.
    """
    low, high = np.broadcast_arrays(low, high)
    low = np.broadcast_to(low, p.shape)
    high = np.broadcast_to(high, p.shape)
    free = (p < 0) & (q > 0) & (high > low)
    width = np.where(free, q - p, 1.0)
    above = np.clip((high * q - low * p) / width, low, high)
    below = np.clip((low * q - high * p) / width, low, high)
    upper_slope = np.where(free, above, np.where(p >= 0, high, low))
    lower_slope = np.where(free, below, np.where(p >= 0, low, high))
    same = high <= low
    upper_slope, lower_slope = (
        np.where(same, high, slope) for slope in (upper_slope, lower_slope)
    )
    # max over the ends of max(low g, high g) - slope g, and the like
    top = np.maximum((low - upper_slope) * p, (high - upper_slope) * q)
    bottom = np.minimum((high - lower_slope) * p, (low - lower_slope) * q)
    upper = np.where(free, np.maximum(top * (1 + 4 * U), 0.0) + TINY, 0.0)
    lower = np.where(free, np.minimum(bottom * (1 + 4 * U), 0.0) - TINY, 0.0)
    return _Envelope(lower_slope, lower, upper_slope, upper)
