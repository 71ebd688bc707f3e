"""Triangular sweeps by wavefronts: rows that do not wait for each other go at once.

The schedule is that of the natural order: a row is swept after every row before it
that it is coupled to, so the result is the sequential one, whatever the width.

Source: Saad, Iterative Methods for Sparse Linear Systems (2003), section 11.6.
"""

from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import AnyArray


class Wavefronts(eqx.Module):
    """How to sweep matrices of one symmetric sparsity pattern. Made by `of`.

    Inside a solve vectors live in wavefront order, padded by `width` zeros: `enter`
    and `leave` go there and back. A front's window of `width` places may reach into
    the next fronts, which are swept again when their turn comes.

    **Fields:**

    - `order`, `place`: (n,) row at each place, and place of each row.
    - `starts`: (levels,) first place of each front; `ends`: the same in reverse order.
    - `lower`, `upper`: (k, n + width) places of a row's neighbours before and after
      it; `backward` is `upper` in reverse order, for the sweep back.
    - `lower_entry`, `upper_entry`: entry of the CSR data that couples them, the number
      of entries where there is no neighbour.
    - `diagonal`: (n,) entry of the CSR data on the diagonal.
    """

    order: AnyArray
    place: AnyArray
    starts: AnyArray
    ends: AnyArray
    lower: AnyArray
    upper: AnyArray
    backward: AnyArray
    lower_entry: AnyArray
    upper_entry: AnyArray
    diagonal: AnyArray
    width: int = eqx.field(static=True)

    @classmethod
    def of(cls, indices: np.ndarray, indptr: np.ndarray) -> Self:
        """The schedule of a symmetric CSR pattern with sorted rows and a diagonal."""
        n = indptr.size - 1
        rows = np.repeat(np.arange(n), np.diff(indptr))
        level = _levels(indices, indptr)
        order = np.argsort(level, kind="stable")
        place = np.empty(n, np.int64)
        place[order] = np.arange(n)
        sizes = np.bincount(level)
        width = int(sizes.max())
        stops = np.cumsum(sizes)
        low, low_entry = _neighbours(place, rows, indices, indices < rows, width)
        up, up_entry = _neighbours(place, rows, indices, indices > rows, width)
        back = np.zeros_like(up)
        back[:, :n] = n - 1 - up[:, :n][:, ::-1]
        return cls(
            order=order,
            place=place,
            starts=np.concatenate([[0], stops[:-1]]).astype(np.int64),
            ends=(n - stops[::-1]).astype(np.int64),
            lower=low,
            upper=up,
            backward=back,
            lower_entry=low_entry,
            upper_entry=up_entry,
            diagonal=np.flatnonzero(indices == rows)[order],
            width=width,
        )

    def enter(self, vector: Any) -> Array:
        """(n,) in the user's order to (n + width,) in wavefront order."""
        return jnp.concatenate([jnp.asarray(vector)[self.order], jnp.zeros(self.width)])

    def leave(self, vector: Array) -> Array:
        """Inverse of `enter`."""
        return vector[self.place]

    def matrix(self, data: Any) -> "SweptMatrix":
        """A matrix of this pattern, from its CSR data (nnz,)."""
        data = jnp.asarray(data)
        padded = jnp.concatenate([data, jnp.zeros(1)])
        ones = jnp.ones(self.width)
        upper = padded[self.upper_entry]
        return SweptMatrix(
            self,
            padded[self.lower_entry],
            upper,
            _reversed(upper, self.width),
            jnp.concatenate([data[self.diagonal], ones]),
        )


class SweptMatrix(eqx.Module):
    """A = L + D + U, ready to be swept; its vectors are in wavefront order."""

    fronts: Wavefronts
    lower: Array
    upper: Array
    backwards: Array
    diagonal: Array

    def product(self, x: Array) -> Array:
        """A x."""
        out = self.diagonal * x + _coupled(self.lower, self.fronts.lower, x)
        return out + _coupled(self.upper, self.fronts.upper, x)

    def lower_product(self, x: Array) -> Array:
        """L x."""
        return _coupled(self.lower, self.fronts.lower, x)

    def forward(self, rhs: Array, relaxation: Array) -> Array:
        """(D + relaxation L)^{-1} rhs."""
        at = (self.fronts.starts, self.fronts.lower, self.fronts.width)
        return _sweep(rhs, self.diagonal, self.lower, relaxation, at)

    def backward(self, rhs: Array, relaxation: Array) -> Array:
        """(D + relaxation U)^{-1} rhs."""
        width = self.fronts.width
        at = (self.fronts.ends, self.fronts.backward, width)
        rhs, diagonal = _reversed(rhs, width), _reversed(self.diagonal, width)
        out = _sweep(rhs, diagonal, self.backwards, relaxation, at)
        return _reversed(out, width)


def _sweep(
    rhs: Array, diagonal: Array, entries: Array, relaxation: Array, at: Any
) -> Array:
    starts, places, width = at
    inverse, count = 1.0 / diagonal, places.shape[0]

    def front(level: Array, out: Array) -> Array:
        start = starts[level]
        where = jax.lax.dynamic_slice(places, (0, start), (count, width))
        by = jax.lax.dynamic_slice(entries, (0, start), (count, width))
        total = jax.lax.dynamic_slice(rhs, (start,), (width,))
        scale = jax.lax.dynamic_slice(inverse, (start,), (width,))
        for k in range(count):
            known = out.at[where[k]].get(mode="promise_in_bounds")
            total = total - relaxation * (by[k] * known)
        return jax.lax.dynamic_update_slice(out, total * scale, (start,))

    return jax.lax.fori_loop(0, starts.shape[0], front, jnp.zeros_like(rhs))


def _coupled(entries: Array, places: AnyArray, x: Array) -> Array:
    out, where = jnp.zeros_like(x), jnp.asarray(places)
    for k in range(where.shape[0]):
        out = out + entries[k] * x.at[where[k]].get(mode="promise_in_bounds")
    return out


def _reversed(array: Array, width: int) -> Array:
    """The real part reversed, the padding left where it is."""
    n = array.shape[-1] - width
    return jnp.concatenate([array[..., :n][..., ::-1], array[..., n:]], axis=-1)


def _levels(indices: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Length of the longest chain of couplings that ends in each row."""
    level = [0] * (indptr.size - 1)
    columns, bounds = indices.tolist(), indptr.tolist()
    for row in range(len(level)):
        deepest = -1
        for column in columns[bounds[row] : bounds[row + 1]]:
            if column >= row:
                break
            deepest = max(deepest, level[column])
        level[row] = deepest + 1
    return np.array(level, np.int64)


def _neighbours(
    place: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    mask: np.ndarray,
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Padded lists, one column per place; a missing neighbour is place 0, times 0."""
    n, entry = place.size, np.flatnonzero(mask)
    row = rows[entry]
    counts = np.bincount(row, minlength=n)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    slot = np.arange(entry.size) - first[row]
    size = int(counts.max(initial=0))
    places = np.zeros((size, n + width), np.int32)
    entries = np.full((size, n + width), columns.size, np.int64)
    places[slot, place[row]] = place[columns[entry]]
    entries[slot, place[row]] = entry
    return places, entries
