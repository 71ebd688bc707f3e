"""Linear bounds of networks and of their Jacobians over a box, in JAX.

Values: see `value_bounds`, whose names are here, too. Gradients: a functional of the
Jacobian's row is followed up to the output, each product g s replaced by its envelopes.
Nothing is rounded outwards; the judge (`lemmata_checker.rules`) has the same bounds
with rounding.

Source: Shi et al., NeurIPS 2022 (arXiv 2210.07394), sections 3 and 4.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from lemmata_checker.network import CURVES

from .curves import Lines, slope_range
from .networks import Network
from .value_bounds import (
    Bounds as Bounds,
    ValueBounds as ValueBounds,
    bound_values as bound_values,
    dot,
    entry_bounds as entry_bounds,
    linear,
    nonlinear_below as nonlinear_below,
    relaxed_below as relaxed_below,
    transposed,
)

CACHED = 2**17  # entries of coefficients that are held at once
Relaxation = Literal["envelope", "constant", "interval"]


class GradientBounds(NamedTuple):
    """Bounds on one row of the Jacobian over a box.

    **Fields:** `lower`, `upper`: (d,); `norm`: bound on the l_1 norm; `reach`: (d,),
    sums of absolute values, the scale of rounding; `weights[k]`: coefficients of the
    norm's functional at activation k; `entering[k]`: bounds on g there.
    """

    lower: Any
    upper: Any
    norm: Any
    reach: Any
    weights: dict[int, Any]
    entering: dict[int, Bounds]


def bound_gradient(
    network: Network,
    values: ValueBounds,
    row: Any,
    relaxation: Relaxation = "envelope",
) -> GradientBounds:
    """Bounds on v'J over the box of `values`.

    **Arguments:**

    - `row`: v, shape `(K,)`.
    - `relaxation`: of g s where g crosses 0: "envelope" (its convex and concave hulls),
      "constant" (its extremes: RecurJac, which then adds up its entries' bounds),
      "interval" (nothing linear at all).
    """
    return _Gradient(network, values, row, relaxation).found()


class _Gradient:
    def __init__(self, network, values, row, relaxation) -> None:
        self.network, self.values, self.relaxation = network, values, relaxation
        last = len(network.nodes) - 1
        self.row = jnp.reshape(row, network.nodes[last].shape)
        self.above: dict[int, Bounds] = {last: (self.row, self.row)}
        self.sizes = {last: jnp.abs(self.row)}
        self.envelopes: dict[int, Lines] = {}
        for k in range(last, -1, -1):
            if network.nodes[k].op in CURVES:
                self._product(k)
            else:
                self._linear(k)

    def _add(self, k: int, lo: Any, hi: Any, size: Any) -> None:
        if k in self.above:
            lo, hi = self.above[k][0] + lo, self.above[k][1] + hi
            size = self.sizes[k] + size
        self.above[k], self.sizes[k] = (lo, hi), size

    def _product(self, k: int) -> None:
        node = self.network.nodes[k]
        p, q = self._refined(k)
        below, above = self.values.before[k]
        low, high = slope_range(node, below, above, self.values.signs.get(k))
        self.envelopes[k] = envelope(p, q, low, high, self.relaxation == "constant")
        down, up = jnp.minimum(low * p, high * p), jnp.maximum(low * q, high * q)
        self._add(node.inputs[0], down, up, high * self.sizes[k])

    def _linear(self, k: int) -> None:
        lo, hi = self.above[k]
        mids = transposed(self.network, k, 0.5 * lo + 0.5 * hi)
        sizes = jnp.stack([0.5 * hi - 0.5 * lo, self.sizes[k]])
        spread = transposed(self.network, k, sizes, size=True)
        parts = zip(self.network.nodes[k].inputs, mids, spread, strict=True)
        for i, mid, (radius, size) in parts:
            self._add(i, mid - radius, mid + radius, size)

    def _refined(self, k: int) -> Bounds:
        """The interval at a node, intersected with its linear bounds."""
        lo, hi = self.above[k]
        if self.relaxation != "interval" and self.envelopes:
            size, shape = self.network.size(k), self.network.shape(k)
            unit = jnp.eye(size).reshape(size, *shape)
            found, _ = self.least(k, jnp.concatenate([unit, -unit]), unit=True)
            lo = jnp.maximum(lo, found[:size].reshape(shape))
            hi = jnp.minimum(hi, -found[size:].reshape(shape))
            lo, hi = jnp.minimum(lo, hi), jnp.maximum(lo, hi)
        self.above[k] = lo, hi
        return lo, hi

    def least(
        self, start: int, rows: Any, unit: bool = False
    ) -> tuple[Any, dict[int, Any]]:
        """Lower bounds (r,) on functionals (r, *shape) of g at a node; coefficients.

        **Arguments:** `unit`: the rows are the unit vectors, then their negatives.
        """
        network, last = self.network, len(self.network.nodes) - 1
        held, total, met = {start: rows}, 0.0, {}
        for k in range(max(start + 1, 0), last + 1):
            node = network.nodes[k]
            given = [held.get(i) for i in node.inputs]
            if all(c is None for c in given):
                continue
            if node.op in CURVES:
                c, own = jnp.asarray(held[node.inputs[0]]), self.envelopes[k]
                met[k] = c
                up, down = jnp.maximum(c, 0.0), jnp.minimum(c, 0.0)
                held[k] = up * own.lower_slope + down * own.upper_slope
                total = total + dot(up, own.lower) + dot(down, own.upper)
                continue
            whole = [
                jnp.zeros((len(rows), *network.shape(i))) if c is None else c
                for i, c in zip(node.inputs, given, strict=True)
            ]
            held[k] = linear(network, k, whole, unit and node.inputs == (start,))
        if last in held:
            total = total + dot(held[last], self.row)
        return jnp.broadcast_to(total, rows.shape[:1]), met

    def found(self) -> GradientBounds:
        network = self.network
        if -1 not in self.above:
            zeros = jnp.zeros(network.input_shape)
            self._add(-1, zeros, zeros, zeros)
        lo, hi = self._refined(-1)
        size = jnp.maximum(jnp.abs(lo), jnp.abs(hi))
        norm, weights = jnp.sum(size), {}
        if self.relaxation == "envelope" and self.envelopes:
            crossing = (lo < 0) & (hi > 0)
            width = jnp.where(crossing, hi - lo, 1.0)
            chord = (hi + lo) / width
            slope = jnp.where(crossing, chord, jnp.where(lo >= 0, 1.0, -1.0))
            constant = jnp.where(crossing, -2 * hi * lo / width, 0.0)
            least, met = self.least(-1, -slope[None])
            norm = jnp.minimum(norm, jnp.sum(constant) - least[0])
            weights = {k: c[0] for k, c in met.items()}
        lo, hi = lo.reshape(-1), hi.reshape(-1)
        entering = {k: self.above[k] for k in self.envelopes}
        reach = self.sizes[-1].reshape(-1)
        return GradientBounds(lo, hi, norm, reach, weights, entering)


def envelope(p: Any, q: Any, low: Any, high: Any, constant: bool = False) -> Lines:
    """Lines in g around g s for g in [p, q], s in [low, high], 0 <= low <= high."""
    free = (p < 0) & (q > 0) & (high > low)
    width = jnp.where(free, q - p, 1.0)
    upper_slope = jnp.where(p >= 0, high, low)
    lower_slope = jnp.where(p >= 0, low, high)
    upper_slope = jnp.where(high > low, upper_slope, high)
    lower_slope = jnp.where(high > low, lower_slope, high)
    if constant:
        above = below = jnp.zeros_like(p)
        top, bottom = high * q, high * p
    else:
        above, below = (high * q - low * p) / width, (low * q - high * p) / width
        top, bottom = (high - above) * q, (high - below) * p
    zero = jnp.zeros_like(p)
    return Lines(
        jnp.where(free, below, lower_slope),
        jnp.where(free, bottom, zero),
        jnp.where(free, above, upper_slope),
        jnp.where(free, top, zero),
    )


def product_bound(network: Network, row: Any) -> Any:
    """Product of l_inf operator norms and largest slopes, over all of space."""
    sizes = [jnp.asarray(1.0)]
    for k, node in enumerate(network.nodes):
        given = [sizes[i + 1] for i in node.inputs]
        if node.op in CURVES:
            sizes.append(given[0] * (0.25 if node.op == "sigmoid" else 1.0))
        elif node.op == "add":
            sizes.append(sum(given[1:], given[0]))
        elif node.op == "concatenate":
            sizes.append(jnp.max(jnp.stack(given)))
        elif k == len(network.nodes) - 1:
            break
        else:
            ones = jnp.ones(network.shape(node.inputs[0]))
            gain = jnp.max(network.linear(k, [ones], size=True))
            sizes.append(given[0] * gain)
    return _last_product(network, row, sizes)


def _last_product(network: Network, row: Any, sizes: list[Any]) -> Any:
    last = len(network.nodes) - 1
    node = network.nodes[last]
    v = jnp.reshape(row, node.shape)
    if len(sizes) == last + 2:
        return jnp.sum(jnp.abs(v)) * sizes[-1]
    (below,) = network.transposed(last, v)
    return jnp.sum(jnp.abs(below)) * sizes[node.inputs[0] + 1]


def gradient_rows(
    network: Network, values: ValueBounds, rows: Any, relaxation: Relaxation
) -> GradientBounds:
    """`bound_gradient` for rows (r, K), batched along the first axis.

    Rows are taken so many at a time that their functionals stay in the cache.
    """
    widest = max(network.size(k) for k in range(-1, len(network.nodes)))
    most = max(1, CACHED // (2 * widest**2))
    count = len(rows)
    size = max(b for b in range(1, count + 1) if count % b == 0 and b <= most)

    def one(v: Any) -> GradientBounds:
        return bound_gradient(network, values, v, relaxation)

    if size == count:
        return jax.vmap(one)(rows)
    return jax.lax.map(one, rows, batch_size=size)
