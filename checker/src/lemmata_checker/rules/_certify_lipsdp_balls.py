"""Arrays with entrywise radii, and what linear operations do to them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..case import Malformed
from ..network import Node
from ..network_actions import forward, terms
from ..rigor import TINY, U, gamma
from ._certify_lipsdp_question import Array, group_shape

LEAST = 2.0**-500  # of a weight's size, so that no product vanishes by underflow


class Ball(NamedTuple):
    """Numbers within `rad` of `mid`, entrywise."""

    mid: Array
    rad: Array

    def apply(self, action: Callable[[Array, bool], Array], count: int) -> "Ball":
        """A linear action; `action(x, True)` uses absolute values of its numbers.

        `count` bounds the roundings that reach an entry.
        """
        bound = action(self.size, True)
        radius = action(self.rad, True) + gamma(count + 4) * bound
        return _ball(action(self.mid, False), radius, bound, count)

    @property
    def size(self) -> Array:
        """Bound on absolute values; 0 only where every number of the ball is 0."""
        size = np.abs(self.mid) + self.rad
        return np.where(size > 0, np.maximum(size, LEAST), 0.0)

    def plus(self, other: "Ball", sign: float = 1.0) -> "Ball":
        """Sum or difference."""
        mid = self.mid + sign * other.mid
        rad = (self.rad + other.rad + U * np.abs(mid)) * (1 + 8 * U)
        return Ball(mid, rad)

    def shaped(self, *shape: int) -> "Ball":
        """The same in another shape."""
        return Ball(self.mid.reshape(shape), self.rad.reshape(shape))


def _ball(mid: Array, radius: Array, bound: Array, count: int) -> Ball:
    """With room for `count` underflows, but where `bound` shows a plain 0."""
    whole = radius * (1 + gamma(count + 8)) + (count + 1) * TINY
    return Ball(mid, np.where(bound > 0, whole, 0.0))


class Squares(NamedTuple):
    """sum over e of c_e u_e u_e': forms (p, e), coefficients with radii."""

    forms: Ball
    coefficient: Array
    radius: Array


def linear(node: Node, given: list[Ball], shapes: list[tuple[int, ...]]) -> Ball:
    """The result of a linear node."""

    def act(part: int, size: bool) -> Array:
        arrays = [ball[part] for ball in given]
        out = forward(node, list(arrays), shapes, size=size)
        assert out is not None
        return out

    count = terms(node, backward=False)
    mid, spread = act(0, False), act(1, True)
    bound = forward(node, [ball.size for ball in given], shapes, size=True)
    assert bound is not None
    if not count:
        return Ball(mid, spread)
    return _ball(mid, spread + gamma(count + 4) * bound, bound, count)


def deviations(node: Node) -> tuple[Array, Array]:
    """Columns D (groups, size, k), exact, and 1 / |D_j|^2 (groups, k).

    The inverses are off by gamma(size + 4) relative at most.
    """
    count, size, _ = group_shape(node)
    if node.op == "householder":
        v = node.weight
        assert v is not None
        scale = np.ldexp(1.0, -np.frexp(np.max(np.abs(v), axis=1))[1])
        v = v * scale[:, None]  # exact: a power of two
        if np.any((np.abs(v) < 2.0**-500) & (v != 0)):
            raise Malformed("householder: entries of a vector differ too much")
        return v[:, :, None], 1.0 / np.sum(v * v, axis=1, keepdims=True)
    columns = np.zeros((size, size - 1))
    for j in range(1, size):
        columns[:j, j - 1], columns[j, j - 1] = 1.0, -j
    inverse = 1.0 / np.array([j * (j + 1.0) for j in range(1, size)])
    return (
        np.broadcast_to(columns, (count, *columns.shape)),
        np.broadcast_to(inverse, (count, size - 1)),
    )
