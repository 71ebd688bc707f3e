"""The working block's columns and their Gram matrix, kept from step to step.

Successive variable blocks share most of their coordinates. Those that stay keep their
place; only the columns that enter are read, and multiplied with the others.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float64, Int64

from ._losses import LeastSquares
from ._partitions import VariableBlocks
from ._selections import CyclicSelection

_CHUNK = 64  # columns that enter together


class Gram(eqx.Module):
    """A_b^T (transposed columns) and A_b^T A_b of the coordinates `members`.

    Shapes (size,), (size, m), (size, size); empty where nothing is kept.
    """

    members: Int64[Array, " size"]
    columns: Float64[Array, "size m"]
    products: Float64[Array, "size size"]


def empty_gram(problem: Any, method: Any, size: int) -> Gram:
    """Nothing yet, n for no coordinate; empty arrays where H_b is not A_b^T A_b."""
    loss = problem.loss
    useful = isinstance(loss, LeastSquares) and method.update.dense
    useful = useful and isinstance(method.partition, VariableBlocks)
    # A cycle's last block is short: it would name "no coordinate" more than once.
    useful = useful and not isinstance(method.select, CyclicSelection)
    size = size if useful else 0
    rows = loss.design.shape[0] if size else 0
    return Gram(
        jnp.full(size, loss.variables, jnp.int64),
        jnp.zeros((size, rows)),
        jnp.zeros((size, size)),
    )


def exchanged(problem: Any, gram: Gram, index: Array) -> Gram:
    """The Gram matrix of the coordinates `index`, in whatever order keeps most."""
    size, n = gram.members.shape[0], problem.loss.variables
    wanted = jnp.zeros(n + 1, bool).at[index].set(True)
    stays = wanted[gram.members]
    held = jnp.zeros(n + 1, bool).at[gram.members].set(True)
    enters = ~held[index]
    count = jnp.sum(enters)
    place = jnp.argsort(stays, stable=True)  # free places first
    entering = index[jnp.argsort(~enters, stable=True)]
    place = jnp.where(jnp.arange(size) < count, place, size)
    members = gram.members.at[place].set(entering, mode="drop")
    chunk = min(_CHUNK, size)
    more = -size % chunk
    place = jnp.pad(place, (0, more), constant_values=size)
    entering = jnp.pad(entering, (0, more), constant_values=n)

    def unfinished(carry: Any) -> Array:
        return carry[0] * chunk < count

    def enter(carry: Any) -> Any:
        step, columns, products = carry
        where = jax.lax.dynamic_slice_in_dim(place, step * chunk, chunk)
        which = jax.lax.dynamic_slice_in_dim(entering, step * chunk, chunk)
        new = problem.loss.design.columns(jnp.where(where < size, which, n))
        columns = columns.at[where].set(new.T, mode="drop")
        # With columns that later chunks replace, products are replaced later, too.
        found = columns @ new
        products = products.at[:, where].set(found, mode="drop")
        products = products.at[where].set(found.T, mode="drop")
        return step + 1, columns, products

    start = (jnp.asarray(0), gram.columns, gram.products)
    _, columns, products = jax.lax.while_loop(unfinished, enter, start)
    return Gram(members, columns, products)
