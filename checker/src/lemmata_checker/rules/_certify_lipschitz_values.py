"""Bounds on every pre-activation over a box, by backward linear propagation.

A functional sum_j A_j h_j of one layer is followed down to the input, each activation
replaced by a line. A is taken as the float array that it is: what a product rounds,
times a bound on the values that it multiplies, goes into an error that is subtracted
at the end. So no radius travels with A.

Source: Zhang et al., NeurIPS 2018 (arXiv 1811.00866), with outward rounding.
"""

from collections.abc import Mapping

import numpy as np

from ..network import CURVES, Network
from ..network_actions import constant, forward, interval, terms, transposed
from ..rigor import TINY, U, gamma
from ._certify_lipschitz_curves import Lines, clip, lines, low_slope, value_bounds

Array = np.ndarray
Bounds = tuple[Array, Array]
ENLARGE = 1 + 2.0**-20  # covers the rounding of the errors themselves
CHUNK = 2**21  # entries of coefficients held at once


def weighted(sizes: Array, weights: Array) -> Array:
    """sum_j sizes[b, r, j] weights[b, j], shape (b, r)."""
    flat = sizes.reshape(*sizes.shape[:2], -1)
    return (flat @ weights.reshape(len(weights), -1, 1))[..., 0]


class Values:
    """Bounds for a batch of domains: a box (d,) or boxes (b, d), signs of some neurons.

    **Attributes:** `before[k]`: bounds (b, *shape) on the input of activation k;
    `bounds[i + 1]`: bounds on node i; `lines[k]`.
    """

    def __init__(
        self,
        network: Network,
        box: Bounds,
        signs: Mapping[int, Array],
        above: Mapping[int, Bounds] | None = None,
        slopes: Mapping[tuple[int, int], Array] | None = None,
        batch: int = 1,
        linear: bool = True,
        fixed: bool = False,
    ) -> None:
        self.network, self.signs, self.batch = network, signs, batch
        self.fixed = fixed  # True: bounds `above` are changed by signs alone
        self.linear = linear  # False: interval arithmetic alone, enough for points
        self.slopes = slopes or {}
        self.box = tuple(side.reshape(-1, *network.input_shape) for side in box)
        self.bounds: list[Bounds] = [(self.box[0], self.box[1])]
        self.before: dict[int, Bounds] = {}
        self.lines: dict[int, Lines] = {}
        self.reach: dict[int, Array] = {}  # |W| |h|, per linear node
        self.empty = np.zeros(batch, dtype=bool)
        for k, node in enumerate(network.nodes):
            if node.op in CURVES:
                self._activation(k, (above or {}).get(k))
            else:
                given = [self.bounds[i + 1] for i in node.inputs]
                shapes = [network.shape(i) for i in node.inputs]
                sizes = [np.maximum(np.abs(lo), np.abs(hi)) for lo, hi in given]
                reach = forward(node, list(sizes), shapes, size=True)
                assert reach is not None
                self.reach[k] = reach * ENLARGE
                self.bounds.append(interval(network, k, given))

    def _activation(self, k: int, above: Bounds | None) -> None:
        node = self.network.nodes[k]
        source = node.inputs[0]
        lo, hi = self.bounds[source + 1]
        if self.linear and not (self.fixed and above) and self._nonlinear(source):
            found = self._linear(source, None)
            lo, hi = np.maximum(lo, found[0]), np.minimum(hi, found[1])
            chosen = {a: s for (t, a), s in self.slopes.items() if t == k}
            if chosen:
                found = self._linear(source, chosen)
                lo, hi = np.maximum(lo, found[0]), np.minimum(hi, found[1])
        if above is not None and self.fixed:
            lo, hi = above
        elif above is not None:
            lo, hi = np.maximum(lo, above[0]), np.minimum(hi, above[1])
        lo, hi = clip(lo, hi, self.signs.get(k))
        void = lo > hi
        if np.any(void):  # no point of the box has these signs
            self.empty |= np.any(void.reshape(len(void), -1), axis=1)
            lo, hi = np.minimum(lo, hi), np.maximum(lo, hi)
        self.before[k] = lo, hi
        self.lines[k] = lines(node, lo, hi, None)
        self.bounds.append(value_bounds(node, lo, hi))

    def _nonlinear(self, source: int) -> bool:
        """Whether an activation stands below."""
        pending, seen = [source], set()
        while pending:
            i = pending.pop()
            if i < 0 or i in seen:
                continue
            seen.add(i)
            if self.network.nodes[i].op in CURVES:
                return True
            pending += self.network.nodes[i].inputs
        return False

    def _linear(self, source: int, slopes: Mapping[int, Array] | None) -> Bounds:
        """Bounds on each entry of one node, of +e_j and of -e_j."""
        shape, size = self.network.shape(source), self.network.size(source)
        widest = max(self.network.size(i) for i in range(-1, source + 1))
        step = max(1, CHUNK // (2 * widest * self.batch))
        low, high = [], []
        for start in range(0, size, step):
            rows = np.arange(start, min(start + step, size))
            unit = np.zeros((len(rows), size))
            unit[np.arange(len(rows)), rows] = 1.0
            both = np.stack([unit, -unit]).reshape(1, -1, *shape)
            picked = _picked(slopes, rows)
            found = self.least({source: both}, picked)
            low.append(found[:, : len(rows)])
            high.append(-found[:, len(rows) :])
        full = (self.batch, *shape)
        lo = np.broadcast_to(np.concatenate(low, axis=1), (self.batch, size))
        hi = np.broadcast_to(np.concatenate(high, axis=1), (self.batch, size))
        return lo.reshape(full), hi.reshape(full)

    def least(
        self,
        start: Mapping[int, Array],
        slopes: Mapping[int, Array] | None = None,
    ) -> Array:
        """Lower bounds (b, r) on sums over nodes of rows (b or 1, r, *shape)."""
        network, pending = self.network, dict(start)
        count = next(iter(start.values())).shape[1]
        total, error = np.zeros((1, count)), np.zeros((1, count))
        for k in range(max(start), -1, -1):
            a = pending.pop(k, None)
            if a is None:
                continue
            node = network.nodes[k]
            if node.op in CURVES:
                a, constant_, off = self._relaxed(k, a, slopes)
                parts = [a]
            else:
                shapes = [network.shape(i) for i in node.inputs]
                parts = transposed(node, a, shapes, size=False)
                size, bias = np.abs(a), constant(node)
                off = gamma(terms(node, backward=True)) * weighted(size, self.reach[k])
                constant_ = np.zeros((1, 1))
                if bias is not None:
                    constant_ = weighted(a, bias[None])
                    count = gamma(node.size + 1)
                    off = off + count * weighted(size, np.abs(bias)[None])
            total = total + constant_
            error = error + off + U * np.abs(total)
            for i, part in zip(node.inputs, parts, strict=True):
                if i in pending:
                    part = pending[i] + part
                    error = error + U * weighted(np.abs(part), self._size(i))
                pending[i] = part
        return self._concrete(pending.get(-1), total, error)

    def _relaxed(self, k: int, a: Array, slopes: Mapping[int, Array] | None):
        """Each h replaced by a line below sum_j A_j h_j."""
        node, own = self.network.nodes[k], self.lines[k]
        lower_slope = own.lower_slope[:, None]
        if slopes is not None and k in slopes:
            lo, hi = self.before[k]
            open_ = ((lo < 0) & (hi > 0))[:, None]
            shape = (1, slopes[k].shape[0], *node.shape)
            lower_slope = np.where(open_, slopes[k].reshape(shape), lower_slope)
        up, down = np.maximum(a, 0.0), np.minimum(a, 0.0)
        new = up * lower_slope + down * own.upper_slope[:, None]
        constant_ = weighted(up, own.lower) + weighted(down, own.upper)
        most = np.maximum(np.abs(own.lower), np.abs(own.upper))
        off = gamma(node.size + 3) * weighted(up - down, most)
        off = off + 2 * U * weighted(np.abs(new), self._size(node.inputs[0], k))
        return new, constant_, off

    def _size(self, i: int, consumer: int | None = None) -> Array:
        lo, hi = self.bounds[i + 1] if consumer is None else self.before[consumer]
        return np.maximum(np.abs(lo), np.abs(hi))

    def _concrete(self, a: Array | None, total: Array, error: Array) -> Array:
        lo, hi = self.box
        scale = 1.0 + sum(float(np.max(np.sum(_flat(s), axis=1))) for s in self._all())
        error = error + TINY * scale
        if a is not None:
            value = weighted(np.maximum(a, 0), lo) + weighted(np.minimum(a, 0), hi)
            size = np.maximum(np.abs(lo), np.abs(hi))
            error = error + gamma(2 * self.network.inputs + 4) * weighted(
                np.abs(a), size
            )
            total = total + value
        error = error + 4 * U * np.abs(total)
        return np.nextafter(total - error * ENLARGE, -np.inf)

    def _all(self) -> list[Array]:
        return [np.maximum(np.abs(lo), np.abs(hi)) for lo, hi in self.bounds]


def _flat(a: Array) -> Array:
    return a.reshape(len(a), -1)


def _picked(slopes: Mapping[int, Array] | None, rows: Array) -> dict[int, Array] | None:
    """Slopes (2, r or 1, n) for the rows +e_j and then -e_j, shape (2 r, n)."""
    if slopes is None:
        return None
    picked = {}
    for a, table in slopes.items():
        chosen = table[:, rows] if table.shape[1] > 1 else table
        wide = np.broadcast_to(chosen, (2, len(rows), table.shape[2]))
        picked[a] = wide.reshape(2 * len(rows), -1)
    return picked


def slopes_in_range(network: Network, slopes: Mapping[tuple[int, int], Array]) -> bool:
    """Whether every slope lies between the activation's two."""
    return all(
        np.all((s >= low_slope(network.nodes[a])) & (s <= 1))
        for (_, a), s in slopes.items()
    )
