"""Newton directions: (1/eta) [[D1, P], [P', D2]]^{-1} g, by elimination of one side.

With D1, D2 the row and column sums of P, the Schur complement S = D2 - P' D1^{-1} P is
symmetric, positive semidefinite, and has the null vector 1 (the gauge) when P is
complete. Conjugate gradients on S need half the products that Jacobi-preconditioned
ones on the whole matrix need, for the same residual (Reid, SIAM J. Numer. Anal. 9,
1972): the whole matrix is two-cyclic.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..numerics.krylov import conjugate_gradients
from ._sparsify import AbstractSparsity, longest, padded_rows

_NARROWEST = 32  # entries of a stored row; shorter ones are padded
_RIDGE = 2.0**-48  # relative: keeps S definite where rounding would not


class Tangent(NamedTuple):
    """Plan P (n, m), its sums D1 (n,), D2 (m,), and the gradient g = (r - D1, c - D2).

    Rows and columns without weight have zero sums and gradient; their part of the
    system is replaced by the identity. `slow` counts Newton steps in a row that did not
    halve the error, plus many once a line search has shortened the last one.
    """

    plan: Array
    rows: Array
    columns: Array
    row_gap: Array
    column_gap: Array
    slow: Array

    @property
    def error(self) -> Array:
        """L1 marginal error."""
        return jnp.sum(jnp.abs(self.row_gap)) + jnp.sum(jnp.abs(self.column_gap))


class Direction(NamedTuple):
    """dx (n,), dy (m,) for eta = 1, and what they took.

    `kept` counts the entries that the rule keeps; where `dense`, all were used.
    """

    dx: Array
    dy: Array
    kept: Array
    inner_steps: Array
    dense: Array


Solver = Callable[[Tangent], Direction]


def no_direction(tangent: Tangent, kept: Array, dense: Array) -> Direction:
    """Zeros, for a state that needs no step; what was kept last stays on record."""
    dx, dy = jnp.zeros_like(tangent.rows), jnp.zeros_like(tangent.columns)
    return Direction(dx, dy, kept, jnp.zeros((), jnp.int64), dense)


def _filled(sums: Array) -> Array:
    return jnp.where(sums > 0, sums, 1.0)


def cholesky_direction(tangent: Tangent) -> Direction:
    """All of P, by Cholesky factorisation of S + gauge shift: O(n m^2)."""
    dx, dy = solve_schur(
        tangent.plan, tangent.rows, tangent.columns, tangent.row_gap, tangent.column_gap
    )
    nothing = jnp.zeros((), jnp.int64)
    kept = jnp.asarray(tangent.plan.size, jnp.int64)
    return Direction(dx, dy, kept, nothing, jnp.ones((), bool))


def solve_schur(
    plan: Array, rows: Array, columns: Array, first: Array, second: Array
) -> tuple[Array, Array]:
    """[[D1, P], [P', D2]] (dx, dy) = (first, second) with P complete.

    The right side must have equal sums. The gauge shift 1 1' mean(D2) / m leaves the
    solution with sum dy = 0.
    """
    d1, d2 = _filled(rows), _filled(columns)
    live = (columns > 0).astype(plan.dtype)
    scaled = plan / d1[:, None]
    schur = jnp.diag(d2 * (1.0 + _RIDGE)) - plan.T @ scaled
    shift = jnp.sum(columns) / jnp.sum(live) ** 2
    schur = schur + shift * live[:, None] * live
    factor = jax.scipy.linalg.cho_factor(schur)
    dy = jax.scipy.linalg.cho_solve(factor, second - scaled.T @ first)
    return (first - plan @ dy) / d1, dy


def krylov_direction(
    tangent: Tangent,
    sparsify: AbstractSparsity,
    widest: int | None,
    max_steps: int | None,
) -> Direction:
    """A sparsified P by conjugate gradients on S; all of P where that does not pay.

    Rows and columns are stored at one of a few widths, chosen by the longest of them.
    Beyond `widest` (None: a tenth of the shorter side) products with all of P are
    cheaper, and nothing is dropped.
    """
    n, m = tangent.plan.shape
    limit = 5 * (n + m) if max_steps is None else max_steps
    rho = sparsify.threshold(tangent.plan, tangent.error, tangent.slow)
    keep = tangent.plan >= rho

    def stored(width: int) -> Callable[[], Any]:
        def solve() -> Any:
            rows = padded_rows(tangent.plan, rho, width)
            columns = padded_rows(tangent.plan.T, rho, width)
            return _solve(tangent, rows.__matmul__, columns.__matmul__, limit)

        return solve

    def whole() -> Any:
        plan = tangent.plan
        return _solve(tangent, lambda v: plan @ v, lambda v: v @ plan, limit)

    widths = _widths(min(n, m), widest)
    choice = jnp.sum(longest(keep) > jnp.asarray(widths, jnp.int32))
    dx, dy, steps = jax.lax.switch(choice, [*map(stored, widths), whole])
    return Direction(dx, dy, jnp.sum(keep), steps, choice == len(widths))


def _widths(side: int, widest: int | None) -> list[int]:
    largest = side // 10 if widest is None else min(widest, side)
    widths, width = [], _NARROWEST
    while width <= largest:
        widths.append(width)
        width *= 2
    return widths


def _solve(
    tangent: Tangent,
    forward: Callable[[Array], Array],
    backward: Callable[[Array], Array],
    max_steps: int,
) -> tuple[Array, Array, Array]:
    """To a relative residual min(1e-2, max(0.1 e, 1e-10)) of the whole system."""
    d1, d2 = _filled(tangent.rows), _filled(tangent.columns)
    first, second = tangent.row_gap, tangent.column_gap
    live = (tangent.columns > 0).astype(d2.dtype)
    share = live / jnp.sum(live)

    def centred(v: Array) -> Array:
        return v - share * jnp.sum(v)

    error = tangent.error
    solved = conjugate_gradients(
        lambda v: d2 * v - backward(forward(v) / d1),
        second - backward(first / d1),
        diagonal=d2,
        rtol=jnp.minimum(1e-2, jnp.maximum(0.1 * error, 1e-10)),
        scale=jnp.sqrt(first @ first + second @ second),
        max_steps=max_steps,
        project=centred,
    )
    dy = solved.solution
    return (first - forward(dy)) / d1, dy, solved.steps
