"""An inequality as a batch of its blocks, padded to one size.

With S = P = 0 the inequality of a feed-forward network is a chain of blocks of one
layer's width each; factorising them apart costs the square of their number less.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._inequality import Inequality, Layout


class Parts(eqx.Module):
    """M(theta) in c blocks.

    **Fields:** `rows` (c, R, p); `base` (c, p, p). Coordinates that a block is padded
    with have 1 on the diagonal and no row; rows that it is padded with are 0.
    """

    rows: Float[Array, "c R p"]
    base: Float[Array, "c p p"]
    layout: Layout = eqx.field(static=True)

    @property
    def order(self) -> int:
        """Number of coordinates, those of the padding included."""
        return self.base.shape[0] * self.base.shape[1]

    def scale(self, theta: Any) -> Any:
        """(c, R), what multiplies each square."""
        index = _index(self.layout)
        return theta[index.owners] * index.signs

    def homogeneous(self, theta: Any) -> Any:
        """sum_r sign_r theta_owner(r) u_r u_r', (c, p, p)."""
        return transposed(self.rows) @ (self.scale(theta)[:, :, None] * self.rows)

    def matrix(self, theta: Any) -> Any:
        """M(theta), (c, p, p)."""
        return self.base + self.homogeneous(theta)

    def collect(self, squares: Any) -> Any:
        """<F_j, .> for each variable j, (m,), from figures u_r' . u_r, (c, R)."""
        index = _index(self.layout)
        total = jnp.zeros(len(self.layout.kinds))
        return total.at[index.owners].add(index.signs * squares)

    def pairs(self, products: Any) -> Any:
        """Sum over squares r of i and s of j of sign sign' products_rs, (m, m)."""
        index, count = _index(self.layout), len(self.layout.kinds)
        c, size = index.owners.shape
        signed = products * index.signs[:, :, None] * index.signs[:, None, :]
        places = index.owners + count * np.arange(c)[:, None]
        half = jax.ops.segment_sum(
            signed.reshape(c * size, size), places.reshape(-1), c * count
        )
        half = transposed(half.reshape(c, count, size)).reshape(c * size, count)
        whole = jax.ops.segment_sum(half, index.owners.reshape(-1), count)
        return (whole + whole.T) / 2


def split(inequality: Inequality) -> Parts:
    """The blocks of an inequality; all of it where padding would cost more."""
    index = _index(inequality.layout)
    inside, used = index.coordinates >= 0, index.rows >= 0
    rows = inequality.rows[index.rows[:, :, None], index.coordinates[:, None, :]]
    rows = jnp.where(used[:, :, None] & inside[:, None, :], rows, 0.0)
    base = inequality.base[index.coordinates[:, :, None], index.coordinates[:, None, :]]
    both = inside[:, :, None] & inside[:, None, :]
    base = jnp.where(both, base, np.eye(inside.shape[1]))
    return Parts(rows, base, inequality.layout)


def transposed(matrices: Any) -> Any:
    """Last two axes swapped."""
    return jnp.swapaxes(matrices, -1, -2)


class _Index(NamedTuple):
    """Positions, -1 for padding: `coordinates` (c, p); `rows`, `owners`, `signs`."""

    coordinates: np.ndarray
    rows: np.ndarray
    owners: np.ndarray
    signs: np.ndarray


@lru_cache(maxsize=64)
def _index(layout: Layout) -> _Index:
    owners, signs = np.asarray(layout.owners), np.asarray(layout.signs)
    size = layout.inputs + layout.tests + sum(s[1] - s[0] for s in layout.spans)
    whole = [np.arange(size)], [np.arange(len(owners))]
    apart = [
        [np.concatenate([np.arange(*r) for r in ranges]) for ranges in side]
        for side in zip(*layout.parts, strict=True)
    ]
    chosen = apart if len(layout.parts) > 1 and _cost(apart) < _cost(whole) else whole
    coordinates, rows = (_padded(side) for side in chosen)
    return _Index(
        coordinates, rows, owners[rows], np.where(rows >= 0, signs[rows], 0.0)
    )


def _cost(sides: Any) -> int:
    """Of the products of all pairs of rows, the dearest of a step."""
    longest, most = (max(len(part) for part in side) for side in sides)
    return len(sides[0]) * most * most * longest


def _padded(parts: list[np.ndarray]) -> np.ndarray:
    longest = max(len(part) for part in parts)
    filled = [np.pad(p, (0, longest - len(p)), constant_values=-1) for p in parts]
    return np.stack(filled).astype(np.int64)
