"""From potentials to an exactly feasible plan, given by scalings and a remainder.

Source: Altschuler, Weed and Rigollet, NeurIPS 2017, algorithm 2, with its two scalings
and its rank-one remainder kept as vectors. Exponents are evaluated as pairs
where that matters: at range(C)/epsilon = 1e5 float64 alone would spoil P by 1e-11.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array

from ..numerics import doubledouble as dd
from ._cost import AbstractCost
from ._marginals import smallest_marginal_tol
from ._passes import Column, Row, Scalings, c_transform, fold, part, row_transform


class Rounded(NamedTuple):
    """Everything that defines a feasible plan; see `TransportPlan`."""

    x: Row
    y: Column
    row_scaling: Row
    column_scaling: Column
    row_remainder: Row
    column_remainder: Column
    cost: Array
    regularised_cost: Array


def accurate_plan(
    cost: AbstractCost,
    epsilon: Array,
    x: Array,
    y: Array,
    start: Array | int,
    size: int,
) -> Array:
    """exp((x_i + y_j - C_ij) / epsilon - 1) to a few units in the last place.

    **Arguments:** x (size,), the rows of the block; y (m,).
    """
    high, low = cost.exact_rows(start, size)
    total, error = dd.two_sum(x[:, None], y[None, :])
    total, second = dd.two_sum(total, -high)
    exact = dd.multiply((total, error + second - low), dd.reciprocal(epsilon))
    exponent, rest = dd.two_sum(exact[0], -jnp.ones(()))
    return jnp.exp(exponent) * (1.0 + (exact[1] + rest))


def needs_pairs(
    cost: AbstractCost, epsilon: Array, x: Array, y: Array, allowed: Array | float
) -> Array:
    """Whether float64 exponents could spoil P by more than `allowed`, relatively.

    Where P_ij matters, |C_ij| <= max|x| + max|y| + 40 epsilon; C_ij itself, its three
    sums and the division are rounded.
    """
    size = jnp.max(jnp.abs(x)) + jnp.max(jnp.abs(y)) + 20.0 * epsilon
    roundings = 4.0 + cost.roundings
    return 2.0 * size / epsilon * roundings * 2.0**-53 > allowed


def plan_rows(
    cost: AbstractCost,
    epsilon: Array,
    x: Array,
    y: Array,
    start: Array | int,
    size: int,
    pairs: Array,
) -> Array:
    """As `accurate_plan`, but by plain float64 unless `pairs`."""

    def plain() -> Array:
        gap = x[:, None] + y - cost.rows(start, size)
        return jnp.exp(gap / epsilon - 1.0)

    def exact() -> Array:
        return accurate_plan(cost, epsilon, x, y, start, size)

    return jax.lax.cond(pairs, exact, plain)


def normalised(weights: Array) -> Array:
    """`weights / sum(weights)`, each entry correctly rounded up to one unit."""
    high, low = dd.accurate_sum(weights)
    return (weights / high) * (1.0 - low / high)


def complete(
    cost: AbstractCost, scalings: Scalings, x: Array, y: Array
) -> tuple[Array, Array]:
    """Fixes the gauge (sum x = sum y) and gives atoms of zero weight finite potentials.

    Those are c-transforms: the largest that keep x_i + y_j <= C_ij against all atoms
    with weight.
    """
    rows, columns = scalings.source > 0, scalings.target > 0
    total = jnp.sum(jnp.where(columns, y, 0.0)) - jnp.sum(jnp.where(rows, x, 0.0))
    shift = total / (jnp.sum(rows) + jnp.sum(columns))
    x, y = x + shift, y - shift

    def fill() -> tuple[Array, Array]:
        full = jnp.where(rows, x, row_transform(cost, y, columns))
        return full, jnp.where(columns, y, c_transform(cost, x, rows))

    everywhere = jnp.all(rows) & jnp.all(columns)
    return jax.lax.cond(everywhere, lambda: (x, y), fill)


def round_plan(
    cost: AbstractCost, scalings: Scalings, epsilon: Array, x: Array, y: Array
) -> Rounded:
    """Scales rows, then columns, to at most their weights; spreads what is missing."""
    x, y = complete(cost, scalings, x, y)
    n, m = cost.shape
    pairs = needs_pairs(cost, epsilon, x, y, 0.1 * smallest_marginal_tol(n, m))
    source, target = scalings.source, scalings.target

    def block(start: Array, size: int, fresh: Array) -> Array:
        rows = part(x, start, size)
        plan = plan_rows(cost, epsilon, rows, y, start, size, pairs)
        live = fresh & (part(source, start, size) > 0)
        return jnp.where(live[:, None] & (target > 0), plan, 0.0)

    def scale_rows(columns, size, start, fresh):
        plan = block(start, size, fresh)
        scaling = _at_most(part(source, start, size), jnp.sum(plan, axis=1))
        return columns + jnp.sum(scaling[:, None] * plan, axis=0), scaling

    # A row seen twice (overlapping blocks) is masked the second time; `fold` keeps the
    # fresh one.
    columns, s = fold(cost, scale_rows, jnp.zeros(m))
    t = _at_most(target, columns)

    def leftover(carry, size, start, fresh):
        plan = block(start, size, fresh) * t
        return carry, part(s, start, size) * jnp.sum(plan, axis=1)

    _, rows = fold(cost, leftover, jnp.zeros(()))
    row_rest = jnp.maximum(source - rows, 0.0)
    column_rest = jnp.maximum(target - t * columns, 0.0)
    missing = jnp.sum(row_rest)
    spread = column_rest / jnp.where(missing > 0, missing, 1.0)

    def whole(start: Array, size: int, fresh: Array) -> Array:
        plan = part(s, start, size)[:, None] * block(start, size, fresh) * t
        rest = jnp.where(fresh, part(row_rest, start, size), 0.0)
        return plan + rest[:, None] * spread

    linear, negentropy = _price(cost, whole)
    full = linear + epsilon * negentropy
    return Rounded(x, y, s, t, row_rest, column_rest, linear, full)


def _price(
    cost: AbstractCost, rows: Callable[[Array, int, Array], Array]
) -> tuple[Array, Array]:
    """<C, P> and sum P log P."""

    def add(carry, size, start, fresh):
        plan = rows(start, size, fresh)
        linear = carry[0] + jnp.sum(plan * cost.rows(start, size))
        return (linear, carry[1] + jnp.sum(xlogy(plan, plan))), None

    return fold(cost, add, (jnp.zeros(()), jnp.zeros(())))[0]


def _at_most(weights: Array, sums: Array) -> Array:
    return jnp.where(sums > weights, weights / jnp.where(sums > 0, sums, 1.0), 1.0)
