"""Points of a box where the gradient is long: lower bounds on Lipschitz constants."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float64

from lemmata_checker.network import LINEAR

from ..core import require
from ..numerics.networks import PIECEWISE, Network

STRICT = 1e-9  # relative distance of every pre-activation to the kink
SLACK = 1e-9  # of a norm that the judge is to confirm


class Found(eqx.Module):
    """Points under way, and the best ones so far, per row."""

    points: Float64[Array, "r p d"]
    best: Float64[Array, "r d"]
    norms: Float64[Array, " r"]


@final
class PointSearch(eqx.Module):
    """Random points and corners, then ascent on a smoothed norm of the gradient.

    **Options:**

    - `candidates`: points per output, half of them corners, >= 1.
    - `steps`: steps of ascent, >= 1.
    - `sharpness`: kinks are smoothed over 1 / sharpness of the layer's spread, > 0.
    - `step_size`: first step, in units of the box's sides, > 0; falls to a tenth.
    """

    candidates: int = eqx.field(static=True, default=16)
    steps: int = eqx.field(static=True, default=20)
    sharpness: float | Array = 10.0
    step_size: float | Array = 0.2

    def check(self, method: Any) -> None:
        """Raises `InvalidMethod`."""
        good = self.candidates >= 1 and self.steps >= 1
        got = (self.candidates, self.steps)
        require(method, "search", good, expected="candidates, steps >= 1", got=got)
        good = self.sharpness > 0 and self.step_size > 0
        expected = "sharpness, step_size > 0"
        got = (self.sharpness, self.step_size)
        require(method, "search", good, expected=expected, got=got)

    def start(self, network: Network, box: Any, rows: Any, key: Any) -> Found:
        """Half corners, half random points, and the centre."""
        lower, upper = box
        shape = (len(rows), self.candidates, network.inputs)
        share = jax.random.uniform(key, shape, dtype=jnp.float64)
        corners = jnp.where(
            jnp.arange(self.candidates)[:, None] % 2, jnp.round(share), share
        )
        share = corners.at[:, 0].set(0.5)
        # a corner may round to the outside
        points = jnp.clip(lower + share * (upper - lower), lower, upper)
        centre = jnp.broadcast_to(points[:, 0], (len(rows), network.inputs))
        found = Found(points, centre, jnp.zeros(len(rows)))
        return self._kept(network, rows, found)

    def ascend(self, network: Network, box: Any, rows: Any, found: Found, step: Any):
        """One step of every point, the best ones kept."""
        lower, upper = box

        def length(x, row):
            return jnp.sum(jnp.abs(_smooth_row(network, x, row, self.sharpness)))

        rising = jax.vmap(jax.vmap(jax.grad(length), (0, None)))(found.points, rows)
        size = self.step_size * 0.1 ** (step / self.steps) * (upper - lower)
        points = jnp.clip(found.points + size * jnp.sign(rising), lower, upper)
        return self._kept(network, rows, Found(points, found.best, found.norms))

    def _kept(self, network: Network, rows: Any, found: Found) -> Found:
        def both(x, row):
            return strict_norm(network, x, row)

        norms = jax.vmap(jax.vmap(both, (0, None)))(found.points, rows)
        place = jnp.argmax(norms, axis=1)
        top = jnp.take_along_axis(norms, place[:, None], axis=1)[:, 0]
        point = jnp.take_along_axis(found.points, place[:, None, None], axis=1)[:, 0]
        better = top > found.norms
        best = jnp.where(better[:, None], point, found.best)
        return Found(found.points, best, jnp.where(better, top, found.norms))


def strict_norm(network: Network, x: Any, row: Any) -> Any:
    """||v'J(x)||_1, or 0 where some pre-activation is too close to a kink."""
    jacobian, before = row_at(network, x, row)
    far = jnp.asarray(True)
    for k, z in before.items():
        if network.nodes[k].op in PIECEWISE:
            size = jnp.abs(z)
            far &= jnp.all(size > STRICT * (1 + jnp.max(size)))
    return jnp.where(far, jnp.sum(jnp.abs(jacobian)), 0.0)


def row_at(network: Network, x: Any, row: Any) -> tuple[Any, dict[int, Any]]:
    """v'J(x), shape (d,), and the inputs of the activations."""

    def function(x):
        results, before = network.values(x)
        return jnp.sum(row * results[-1].reshape(-1)), before

    gradient, before = jax.grad(function, has_aux=True)(x)
    return gradient, before


def _smooth_row(network: Network, x: Any, row: Any, sharpness: Any) -> Any:
    """The row with each kink's derivative smoothed: a function of x with a gradient."""
    results, slopes = [], {}
    shaped = x.reshape(network.input_shape)
    for k, node in enumerate(network.nodes):
        given = [shaped if i < 0 else results[i] for i in node.inputs]
        if node.op in LINEAR:
            results.append(network.affine(k, given))
            continue
        z, a = given[0], node.low_slope
        if node.op in PIECEWISE:
            spread = jax.lax.stop_gradient(jnp.mean(jnp.abs(z)) + 1e-30)
            share = jax.nn.sigmoid(sharpness * z / spread)
            slopes[k] = a + (1 - a) * share
            results.append(jnp.where(z > 0, z, a * z))
        else:
            value, slopes[k] = jax.jvp(_curve(node.op), (z,), (jnp.ones_like(z),))
            results.append(value)
    return _pulled(network, slopes, row)


def _curve(op: str) -> Any:
    return {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "softplus": jax.nn.softplus}[
        op
    ]


def _pulled(network: Network, slopes: dict[int, Any], row: Any) -> Any:
    """V' times the product of layers with these slopes, down to the input."""
    last = len(network.nodes) - 1
    held = {last: row.reshape(network.nodes[last].shape)}
    for k in range(last, -1, -1):
        node, g = network.nodes[k], held.pop(k)
        parts = (g * slopes[k],) if k in slopes else network.transposed(k, g)
        for i, part in zip(node.inputs, parts, strict=True):
            held[i] = held[i] + part if i in held else part
    return held.get(-1, jnp.zeros(network.input_shape)).reshape(-1)
