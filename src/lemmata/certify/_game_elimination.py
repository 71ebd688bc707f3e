"""Gaussian elimination modulo a prime, in batches, in JAX int32."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@partial(jax.jit, static_argnames="order")
@partial(jax.vmap, in_axes=(0, None))
def eliminate(matrix: Any, order: int) -> tuple[Any, Any]:
    """Reduced row echelon form with leftmost pivots, entries in [0, order).

    **Arguments:** `matrix`: (R, n, d) integers; `order`: a prime, order^2 < 2^31.

    **Returns:** (R, n, d) int32, and (R, n): column of each row's pivot, -1 for none.
    """
    table = [0] + [pow(v, -1, order) for v in range(1, order)]
    inverse = jnp.asarray(np.array(table, dtype=np.int32))
    work = jnp.asarray(matrix).astype(jnp.int32) % order
    n, d = work.shape
    rows = jnp.arange(n, dtype=jnp.int32)

    def column(j: Any, carry: Any) -> Any:
        work, pivots, rank = carry
        values = jax.lax.dynamic_index_in_dim(work, j, 1, keepdims=False)
        good = (values != 0) & (rows >= rank)
        found, source = jnp.any(good), jnp.argmax(good)
        pivot = work[source]
        moved = work.at[source].set(work[jnp.minimum(rank, n - 1)])
        pivot = pivot * inverse[pivot[j]] % order
        factor = jax.lax.dynamic_index_in_dim(moved, j, 1, keepdims=False)
        cleared = (moved - factor[:, None] * pivot[None]) % order
        here = rows == rank
        cleared = jnp.where(here[:, None], pivot[None], cleared)
        work = jnp.where(found, cleared, work)
        pivots = jnp.where(found & here, j.astype(jnp.int32), pivots)
        return work, pivots, rank + found.astype(jnp.int32)

    start = (work, jnp.full(n, -1, dtype=jnp.int32), jnp.asarray(0, dtype=jnp.int32))
    work, pivots, _ = jax.lax.fori_loop(0, d, column, start)
    return work, pivots


@partial(jax.jit, static_argnames=("sizes", "order"))
def solutions(
    inputs: Any, labels: Any, free: Any, sizes: tuple[int, ...], order: int
) -> Any:
    """A solution a of X a = y from the smallest span of first coordinates that has one.

    **Arguments:** `inputs` (R, n, d), `labels` (R, n), `free` (R, d): coordinates
    without a pivot, within the span; `sizes`: dimensions of the nested spans.

    **Returns:** (R, d) int32, uniform among the solutions if `free` is uniform.
    """
    joined = jnp.concatenate([inputs, labels[..., None]], axis=2)
    echelon, pivots = eliminate(joined, order)
    d = inputs.shape[2]
    spans = jnp.asarray(np.array(sizes, dtype=np.int32))
    coordinate = jnp.arange(d, dtype=jnp.int32)

    def one(form: Any, pivot: Any, free: Any) -> Any:
        right, matrix = form[:, d], form[:, :d]
        held = (right != 0) & (pivot >= 0)
        needed = jnp.max(jnp.where(held, pivot + 1, 0))
        size = spans[jnp.argmax(spans >= needed)]
        bound = jnp.any(coordinate[:, None] == pivot[None], axis=1)
        part = jnp.where((coordinate < size) & ~bound, free, 0).astype(jnp.int32)
        # Products below order^2, reduced before they are added.
        rest = jnp.sum(matrix * part[None] % order, axis=1)
        value = ((right - rest) % order).astype(jnp.int32)
        inside = (pivot >= 0) & (pivot < size)
        place = jnp.where(inside, pivot, d)
        return part.at[place].set(value, mode="drop")

    return jax.vmap(one)(echelon, pivots, free)


def rank(matrix: np.ndarray, order: int) -> int:
    """Rank of one matrix (n, d) over the field of prime `order`."""
    work = np.array(matrix, dtype=np.int64) % order
    found = 0
    for column in range(work.shape[1]):
        rows = np.flatnonzero(work[found:, column]) + found
        if not rows.size:
            continue
        work[[found, rows[0]]] = work[[rows[0], found]]
        work[found] = work[found] * pow(int(work[found, column]), -1, order) % order
        below = work[found + 1 :]
        work[found + 1 :] = (below - below[:, [column]] * work[found]) % order
        found += 1
        if found == len(work):
            break
    return found
