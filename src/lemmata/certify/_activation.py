"""Constraints of one activation, as signed squares of linear forms.

For every pair of inputs, dz and dp = phi(z) - phi(z'):

- slopes in [a, b]: dp = (a + b) / 2 dz + (b - a) / 2 w with w_i^2 <= dz_i^2;
- GroupSort, Householder: E dp = E dz for the preserved part E, and
  ||dp||^2 <= ||dz||^2 per group.

Arrays of coordinates: axis 0 are the p coordinates d of the inequality, the rest a
node's entries, so that an entry is a linear form in d.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..core import InvalidArgument
from ..numerics.networks import NodeSpec
from ._multipliers import COMPOSITE, ELIMINATED, AbstractConstraints

SLOPES = {
    "relu": (0.0, 1.0),
    "tanh": (0.0, 1.0),
    "softplus": (0.0, 1.0),
    "sigmoid": (0.0, 0.25),
}
GROUPED = ("group_sort", "householder")


def slopes(node: NodeSpec) -> tuple[float, float]:
    """Least and greatest slope of an activation that works entry by entry."""
    return (node.low_slope, 1.0) if node.op == "leaky_relu" else SLOPES[node.op]


def groups_of(node: NodeSpec, weight: Any) -> tuple[int, int, int]:
    """(groups along the first axis, entries of a group, entries of the other axes)."""
    size = node.option("size") if node.op == "group_sort" else np.shape(weight)[1]
    count = node.shape[0] // size
    return count, size, node.size // node.shape[0]


def fresh_count(node: NodeSpec, weight: Any, constraints: AbstractConstraints) -> int:
    """How many coordinates of its own an activation has.

    **Raises:** `InvalidArgument` for a group that cannot be written with ReLUs.
    """
    if node.op not in GROUPED or constraints.form not in (ELIMINATED, COMPOSITE):
        return node.size
    count, size, rest = groups_of(node, weight)
    if constraints.form == COMPOSITE:
        if node.op != "group_sort" or size != 2:
            got = f"{node.op} with groups of {size}"
            raise InvalidArgument("CompositeReLU", "groups of two, sorted", got)
        return node.size
    return count * rest * (size - 1 if node.op == "group_sort" else 1)


def deviations(node: NodeSpec, weight: Any) -> Any:
    """Orthonormal columns (groups, size, k) that span what is not preserved."""
    count, size, _ = groups_of(node, weight)
    if node.op == "householder":
        v = jnp.asarray(weight)
        return (v / jnp.linalg.norm(v, axis=1, keepdims=True))[:, :, None]
    columns = np.zeros((size, size - 1))
    for j in range(1, size):
        columns[:j, j - 1], columns[j, j - 1] = 1.0, -j
        columns[:, j - 1] /= np.sqrt(j * (j + 1))
    return jnp.asarray(np.broadcast_to(columns, (count, *columns.shape)))


def constrain(
    book: Any, node: NodeSpec, weight: Any, z: Any, constraints: AbstractConstraints
) -> Any:
    """Enters an activation's constraints into the book and returns its result.

    **Arguments:** `z`: its input (p, *shape). **Returns:** dp, (p, *shape).
    """
    form: Callable[..., Any] = _slope_restricted
    if node.op in GROUPED:
        form = {ELIMINATED: _eliminated, COMPOSITE: _composite}.get(
            constraints.form, _full
        )
    return form(book, node, weight, z, constraints).reshape(z.shape)


def _slope_restricted(book, node, weight, z, constraints):
    a, b = slopes(node)
    w, owners = book.fresh(node.size), book.multipliers(node.size)
    flat = z.reshape(len(z), -1)
    book.enter(flat, -1.0, owners, book.inner)
    book.enter(w, 1.0, owners, book.own)
    return (a + b) / 2 * flat + (b - a) / 2 * w


def _eliminated(book, node, weight, z, constraints):
    count, size, rest = groups_of(node, weight)
    columns = deviations(node, weight)
    z = z.reshape(len(z), count, size, rest)
    before = jnp.einsum("pgsr,gsk->pgrk", z, columns)
    after = book.fresh(before[0].size).reshape(before.shape)
    owners = np.repeat(book.multipliers(count * rest), columns.shape[-1])
    book.enter(before, -1.0, owners, book.inner)
    book.enter(after, 1.0, owners, book.own)
    return z + jnp.einsum("gsk,pgrk->pgsr", columns, after - before)


def _full(book, node, weight, z, constraints):
    count, size, rest = groups_of(node, weight)
    book.groups += count * rest
    z = jnp.moveaxis(z.reshape(len(z), count, size, rest), 2, 3)
    after = book.fresh(node.size).reshape(len(z), count, size, rest)
    after = jnp.moveaxis(after, 2, 3)
    owners = np.repeat(book.multipliers(count * rest), size)
    book.enter(z, -1.0, owners, book.inner)
    book.enter(after, 1.0, owners, book.own)
    if any(constraints.coupling):
        _couple(book, node, weight, z, after, constraints.coupling)
    return jnp.moveaxis(after, 3, 2)


def _couple(book, node, weight, z, after, which):
    """Terms of |E dz|^2 - |E dp|^2, 2 <E dz - E dp, E dp> and 2 <E dp - E dz, E dz>."""
    if node.op == "group_sort":
        before, kept = (jnp.sum(a, axis=-1, keepdims=True) for a in (z, after))
    else:
        v = deviations(node, weight)[:, None, :, 0]
        before, kept = (
            a - v * jnp.sum(a * v, axis=-1, keepdims=True) for a in (z, after)
        )
    left, right = (before, book.inner), (kept, book.own)
    both = before + kept, book.inner | book.own
    squares = (
        ((left, -1.0), (right, 1.0)),
        ((both, -1.0), (left, 1.0), (right, 3.0)),
        ((both, -1.0), (left, 3.0), (right, 1.0)),
    )
    blocks = before.shape[1] * before.shape[2]
    for column, terms in enumerate(squares):
        if which[column]:
            owners = book.couplings(blocks, column)
            owners = np.repeat(owners, before.shape[3])
            for (forms, support), sign in terms:
                book.enter(forms, sign, owners, support)


def _composite(book, node, weight, z, constraints):
    """Larger and smaller of a pair: half the sum, plus or minus half of w."""
    count, _, rest = groups_of(node, weight)
    z = z.reshape(len(z), count, 2, rest)
    apart = z[:, :, :1] - z[:, :, 1:]
    half = jnp.sum(z, axis=2, keepdims=True) / 2
    w = book.fresh(node.size).reshape(z.shape)
    owners = book.multipliers(node.size)
    book.enter(jnp.broadcast_to(apart, z.shape), -1.0, owners, book.inner)
    book.enter(w, 1.0, owners, book.own)
    return half + jnp.asarray([0.5, -0.5])[:, None] * w
