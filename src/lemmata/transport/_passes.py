"""Passes over a cost in blocks of rows that fit the cache; n x m is never stored.

Throughout: x of shape (n,) and y of shape (m,) in units of the cost, `eta` = 1/epsilon,
P_ij = exp(eta (x_i + y_j - C_ij) - 1), with P_ij = 0 where a weight is zero. Weights
are those of the problem divided by their sum. Everything runs inside the driver (JAX).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64

from ..core import AnyArray
from ._cost import AbstractCost

_WHOLE = 2**21  # up to so many entries (16 MiB) a cost is one block
_BLOCK = 2**18  # entries of a block beyond that: 2 MiB, about an L2 cache
_NEGLIGIBLE = 1e-200  # a column sum below has lost digits to underflow

Row = Float64[AnyArray, " n"]
Column = Float64[AnyArray, " m"]


class Scalings(NamedTuple):
    """What every pass needs: 1/epsilon, and exponents that are -inf without weight."""

    eta: Array
    source: Array
    target: Array

    def row_exponent(self, x: Array) -> Array:
        """Exponents eta x, -inf for rows of zero weight."""
        return jnp.where(self.source > 0, self.eta * x, -jnp.inf)

    def column_exponent(self, y: Array) -> Array:
        """Exponents eta y, -inf for columns of zero weight."""
        return jnp.where(self.target > 0, self.eta * y, -jnp.inf)


def block_size(cost: AbstractCost) -> int:
    """Rows of one block."""
    n, m = cost.shape
    return n if n * m <= _WHOLE else max(1, min(n, _BLOCK // m))


def fold(
    cost: AbstractCost,
    body: Callable[[Any, int, Array, Bool[Array, " b"]], tuple[Any, Any]],
    carry: Any,
) -> tuple[Any, Any]:
    """Folds `body(carry, size, start, fresh) -> (carry, rows)` over blocks of rows.

    The last block overlaps its predecessor so that all have one shape; `fresh` marks
    the rows not seen before. Row outputs come back joined, shape (n, ...).
    """
    n, size = cost.shape[0], block_size(cost)
    count = -(-n // size)
    if count == 1:
        return body(carry, size, jnp.zeros((), jnp.int64), jnp.ones(n, bool))
    logical = jnp.arange(count) * size
    starts = jnp.minimum(logical, n - size)

    def advance(carry: Any, at: tuple[Array, Array]) -> tuple[Any, Any]:
        start, first = at
        return body(carry, size, start, start + jnp.arange(size) >= first)

    carry, rows = jax.lax.scan(advance, carry, (starts, logical))
    rest = n - (count - 1) * size

    def join(stacked: Array) -> Array:
        head = stacked[:-1].reshape(-1, *stacked.shape[2:])
        return jnp.concatenate([head, stacked[-1, size - rest :]])

    return carry, jax.tree.map(join, rows)


def part(vector: Array, start: Array, size: int) -> Array:
    """`vector[start : start + size]` with traced start."""
    return jax.lax.dynamic_slice_in_dim(vector, start, size)


def row_update(
    cost: AbstractCost,
    scalings: Scalings,
    y: Array,
    weights: Callable[[Array, Array, int], Array] | None = None,
) -> tuple[Array, Array, Array]:
    """The x that makes the row sums of P exact, and the column sums that it leaves.

    **Returns:** x (n,); column sums of P(x, y) (m,); the same sums with rows scaled by
    `weights(x)` instead of the source, if a function is given, else again the first.
    """
    log_source = jnp.log(scalings.source)
    column = scalings.column_exponent(y)

    def body(carry, size, start, fresh):
        exponent = column - scalings.eta * cost.rows(start, size)
        top = jnp.max(exponent, axis=1)
        kernel = jnp.exp(exponent - top[:, None])
        sums = jnp.sum(kernel, axis=1)
        source = part(scalings.source, start, size)
        x = part(log_source, start, size) + 1.0 - (top + jnp.log(sums))
        x = jnp.where(source > 0, x / scalings.eta, 0.0)
        share = jnp.where(fresh, source / sums, 0.0)
        if weights is None:
            return carry + share @ kernel, x
        both = jnp.stack([share, share * weights(x, start, size)])
        return carry + both @ kernel, x

    shape = cost.shape[1:] if weights is None else (2, cost.shape[1])
    sums, x = fold(cost, body, jnp.zeros(shape))
    return (x, sums, sums) if weights is None else (x, sums[0], sums[1])


def column_update(cost: AbstractCost, scalings: Scalings, x: Array) -> Array:
    """The y (m,) that makes the column sums of P exact, by log-sum-exp over blocks."""
    row = scalings.row_exponent(x)

    def body(carry, size, start, fresh):
        top, sums = carry
        base = jnp.where(fresh, part(row, start, size), -jnp.inf)
        exponent = base[:, None] - scalings.eta * cost.rows(start, size)
        new = jnp.maximum(top, jnp.max(exponent, axis=0))
        shift = jnp.where(jnp.isfinite(new), new, 0.0)
        sums = sums * jnp.exp(top - shift) + jnp.sum(jnp.exp(exponent - shift), axis=0)
        return (new, sums), None

    m = cost.shape[1]
    (top, sums), _ = fold(cost, body, (jnp.full(m, -jnp.inf), jnp.zeros(m)))
    y = (jnp.log(scalings.target) + 1.0 - (top + jnp.log(sums))) / scalings.eta
    return jnp.where(scalings.target > 0, y, 0.0)


def exact_columns(
    cost: AbstractCost, scalings: Scalings, x: Array, y: Array, sums: Array
) -> Array:
    """As `column_update`, by column sums of P(x, y) unless those are lost."""
    live = scalings.target > 0
    lost = jnp.any(live & ~(sums > _NEGLIGIBLE))

    def scaled() -> Array:
        ratio = jnp.where(live, scalings.target / sums, 1.0)
        return y + jnp.log(ratio) / scalings.eta

    return jax.lax.cond(
        lost, lambda: column_update(cost, scalings, x), lambda: scaled()
    )


def sweep(
    cost: AbstractCost, scalings: Scalings, y: Array
) -> tuple[Array, Array, Array]:
    """One Sinkhorn sweep, rows then columns: one pass of exponentials.

    **Returns:** x (n,), y (m,), and the L1 error of the columns between the two halves,
    which bounds the error afterwards.
    """
    x, sums, _ = row_update(cost, scalings, y)
    error = jnp.sum(jnp.abs(scalings.target - sums))
    return x, exact_columns(cost, scalings, x, y, sums), error


def plan_matrix(cost: AbstractCost, scalings: Scalings, x: Array, y: Array) -> Array:
    """P, shape (n, m), stored."""
    base = scalings.row_exponent(x)[:, None] + scalings.column_exponent(y)
    return jnp.exp(base - scalings.eta * cost.matrix() - 1.0)


def sums_of_plan(
    cost: AbstractCost, scalings: Scalings, x: Array, y: Array
) -> tuple[Array, Array]:
    """Row sums (n,) and column sums (m,) of P, without storing it."""
    row, column = scalings.row_exponent(x), scalings.column_exponent(y)

    def body(carry, size, start, fresh):
        base = jnp.where(fresh, part(row, start, size), -jnp.inf)[:, None] + column
        plan = jnp.exp(base - scalings.eta * cost.rows(start, size) - 1.0)
        return carry + jnp.sum(plan, axis=0), jnp.sum(plan, axis=1)

    columns, rows = fold(cost, body, jnp.zeros(cost.shape[1]))
    return rows, columns


def c_transform(cost: AbstractCost, x: Array, live: Array) -> Array:
    """min_i C_ij - x_i over the rows with weight: shape (m,)."""

    def body(carry, size, start, fresh):
        keep = fresh & part(live, start, size)
        gap = cost.rows(start, size) - part(x, start, size)[:, None]
        lowest = jnp.min(jnp.where(keep[:, None], gap, jnp.inf), axis=0)
        return jnp.minimum(carry, lowest), None

    return fold(cost, body, jnp.full(cost.shape[1], jnp.inf))[0]


def row_transform(cost: AbstractCost, y: Array, live: Array) -> Array:
    """min_j C_ij - y_j over the columns with weight: shape (n,)."""

    def body(carry, size, start, fresh):
        del fresh
        gap = cost.rows(start, size) - y
        return carry, jnp.min(jnp.where(live, gap, jnp.inf), axis=1)

    return fold(cost, body, jnp.zeros(()))[1]


def extremes(cost: AbstractCost) -> tuple[Array, Array]:
    """(min C, max C)."""

    def body(carry, size, start, fresh):
        del fresh
        block = cost.rows(start, size)
        low, high = carry
        return (
            jnp.minimum(low, jnp.min(block)),
            jnp.maximum(high, jnp.max(block)),
        ), None

    start = (jnp.asarray(jnp.inf), jnp.asarray(-jnp.inf))
    return fold(cost, body, start)[0]


def host_extremes(cost: AbstractCost) -> tuple[float, float]:
    """(min C, max C) in NumPy, by blocks."""
    n, size = cost.shape[0], block_size(cost)
    low, high = np.inf, -np.inf
    for start in range(0, n, size):
        block = np.asarray(cost.rows(start, min(size, n - start)))
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    return low, high


def dual_value(scalings: Scalings, x: Array, y: Array, mass: Array | float) -> Array:
    """f(x, y) = <r, x> + <c, y> - mass / eta, where mass is the sum of P."""
    return scalings.source @ x + scalings.target @ y - mass / scalings.eta


def stopping_errors(problem: Any, atol: Array) -> tuple[Array, Array]:
    """L1 marginal errors: at which a method stops, and which `gap_tol` needs at most.

    Rounding a plan of error e moves its cost by e range(C) at most and its entropy
    by e log(n m / e); half of `gap_tol` has to pay for both. The first is `atol` or
    that, whichever is less, but not below what exponents in float64 can resolve.
    """
    cost, scalings = problem.cost, problem.scalings()
    low, high = extremes(cost)
    spread, epsilon = high - low, 1.0 / scalings.eta
    n, m = cost.shape
    size = jnp.maximum(jnp.abs(low), jnp.abs(high))
    floor = 1e-13 * (size + epsilon * (1.0 + np.log(n * m)))
    width = jnp.maximum(problem.gap_tol * spread, floor)
    needed = 0.5 * width / (spread + epsilon * (40.0 + np.log(n * m)))
    unit = 2.0**-53
    resolved = 8 * unit * (spread * scalings.eta + np.sqrt(n + m))
    return jnp.maximum(jnp.minimum(atol, needed), resolved), needed
