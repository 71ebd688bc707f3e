"""Incomplete Cholesky factors without fill, on the host, one wavefront at a time.

Column k of the factor waits for the columns before it that it is coupled to; those that
do not wait for each other are eliminated together. What elimination would put outside
the pattern is dropped, or taken from the diagonal (modified).

Source: Meijerink and van der Vorst, Math. Comp. 31 (1977); Gustafsson, BIT 18 (1978)
for the modified form; Manteuffel, Math. Comp. 34 (1980) for the shift.
"""

from typing import Any, ClassVar, NamedTuple, final

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from ..core import InvalidMethod, to_jax
from ._preconditioner import AbstractPreconditioner, TwoSweeps, stored_matrix
from ._wavefront import Wavefronts

_FIRST_SHIFT = (
    1e-3  # of the diagonal, where the factorisation breaks down; then doubled
)
_LARGEST_SHIFT = 1e3
_SMALLEST_PIVOT = 1e-12  # of the diagonal entry: below, the factor is useless
_MOST_PAIRS = 2**27


@final
class IncompleteCholesky(AbstractPreconditioner):
    """Factors of A on A's own pattern: M^{-1} = L L^T, nearly A.

    Where a pivot fails to be positive, which cannot happen for an M-matrix, the
    diagonal is raised by 0.001 of itself, then twice that, and so on.

    **Options:**

    - `modified`: dropped entries are taken from the diagonal, so that row sums stay.
    """

    hosted: ClassVar[bool] = True
    modified: bool = False

    def prepare(self, problem: Any) -> TwoSweeps:
        matrix = stored_matrix("IncompleteCholesky", problem)
        fronts = Wavefronts.of(matrix.indices, matrix.indptr)
        factor = incomplete_cholesky(matrix, fronts, modified=self.modified)
        one, found = jnp.ones(()), to_jax(fronts.matrix(factor))
        return TwoSweeps(found, jnp.ones_like(found.diagonal), one, one)

    def citations(self) -> tuple[str, ...]:
        if self.modified:
            return ("gustafsson1978class",)
        return ("meijerink1977iterative",)


def incomplete_cholesky(
    matrix: sp.csr_array, fronts: Wavefronts, *, modified: bool = False
) -> np.ndarray:
    """Entries (nnz,) of L + L^T - diag(L) on the pattern of A, columns ascending.

    **Raises:** `InvalidMethod` where rows are too long or no shift of the diagonal
    helps.
    """
    plan, diagonal = _plan(matrix, fronts, modified), matrix.diagonal()
    shift = 0.0
    while shift <= _LARGEST_SHIFT:
        entries = matrix.data.copy()
        entries[plan.diagonal] += shift * diagonal
        if _factorise(entries, plan, _SMALLEST_PIVOT * diagonal):
            return _mirrored(entries, matrix)
        shift = 2 * shift if shift else _FIRST_SHIFT
    where, got = "IncompleteCholesky", "pivots <= 0 with a diagonal raised a thousand"
    raise InvalidMethod(where, "a matrix with a positive diagonal", f"{got}-fold")


class _Plan(NamedTuple):
    """The upper triangle's updates s[target] -= s[first] s[second], by wavefront.

    **Fields:** `diagonal` (n,) place of each pivot in the entries; `rows` (n,) by
    wavefront, cut by `row_stops`; `entries` right of the pivots and the `owners`, their
    rows, cut by `entry_stops`; the updates, cut by `update_stops`.
    """

    diagonal: np.ndarray
    rows: np.ndarray
    entries: np.ndarray
    owners: np.ndarray
    first: np.ndarray
    second: np.ndarray
    target: np.ndarray
    row_stops: list[int]
    entry_stops: list[int]
    update_stops: list[int]


def _plan(matrix: sp.csr_array, fronts: Wavefronts, modified: bool) -> _Plan:
    n = int(matrix.diagonal().size)
    columns = matrix.indices.astype(np.int64)
    rows = np.repeat(np.arange(n), np.diff(matrix.indptr))
    diagonal, upper = np.flatnonzero(rows == columns), np.flatnonzero(columns > rows)
    starts = np.asarray(fronts.starts)
    level = np.empty(n, np.int64)
    sizes = np.diff(np.append(starts, n))
    level[np.asarray(fronts.order)] = np.repeat(np.arange(starts.size), sizes)
    first, second = _pairs(matrix, diagonal, upper, columns.size)
    target, first, second = _targets(
        rows, columns, diagonal, first, second, modified, n
    )
    by_entry = np.argsort(level[rows[upper]], kind="stable")
    by_update = np.argsort(level[rows[first]], kind="stable")
    count = starts.size
    return _Plan(
        diagonal,
        np.asarray(fronts.order),
        upper[by_entry],
        rows[upper][by_entry],
        first[by_update],
        second[by_update],
        target[by_update],
        np.cumsum(sizes).tolist(),
        np.cumsum(np.bincount(level[rows[upper]], minlength=count)).tolist(),
        np.cumsum(np.bincount(level[rows[first]], minlength=count)).tolist(),
    )


def _pairs(
    matrix: sp.csr_array, diagonal: np.ndarray, upper: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Every two entries of one row right of its pivot, an entry with itself too."""
    stops = np.asarray(matrix.indptr)[1:]
    ends = np.repeat(stops, stops - diagonal - 1)
    counts = ends - upper  # itself and what follows
    if counts.sum() > _MOST_PAIRS:
        expected, got = "rows short enough to eliminate", f"{counts.sum()} pairs"
        raise InvalidMethod("IncompleteCholesky", expected, got)
    first = np.repeat(upper, counts)
    passed = np.repeat(np.cumsum(counts) - counts, counts)
    return first, first + np.arange(first.size) - passed


def _targets(
    rows: np.ndarray,
    columns: np.ndarray,
    diagonal: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    modified: bool,
    n: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each product goes; outside the pattern nowhere, or to both pivots."""
    i, j = columns[first], columns[second]
    codes, wanted = rows * n + columns, i * n + j
    place = np.minimum(np.searchsorted(codes, wanted), codes.size - 1)
    inside = codes[place] == wanted
    kept = place[inside], first[inside], second[inside]
    if not modified:
        return kept
    lost = ~inside
    groups = (
        kept,
        (diagonal[i[lost]], first[lost], second[lost]),
        (diagonal[j[lost]], first[lost], second[lost]),
    )
    target, one, two = (np.concatenate(parts) for parts in zip(*groups, strict=True))
    return target, one, two


def _factorise(entries: np.ndarray, plan: _Plan, floor: np.ndarray) -> bool:
    """In place, on the upper triangle; False where a pivot is too small."""
    r0 = e0 = u0 = 0
    stops = zip(plan.row_stops, plan.entry_stops, plan.update_stops, strict=True)
    for r1, e1, u1 in stops:
        rows = plan.rows[r0:r1]
        pivots = plan.diagonal[rows]
        values = entries[pivots]
        if not np.all(values > floor[rows]):
            return False
        entries[pivots] = np.sqrt(values)
        right = plan.entries[e0:e1]
        entries[right] /= entries[plan.diagonal[plan.owners[e0:e1]]]
        change = entries[plan.first[u0:u1]] * entries[plan.second[u0:u1]]
        np.subtract.at(entries, plan.target[u0:u1], change)
        r0, e0, u0 = r1, e1, u1
    return bool(np.all(np.isfinite(entries)))


def _mirrored(entries: np.ndarray, matrix: sp.csr_array) -> np.ndarray:
    """The upper triangle copied into the lower one."""
    whole = sp.csr_array((entries, matrix.indices, matrix.indptr), shape=matrix.shape)
    upper = sp.triu(whole, format="csr")
    found = sp.csr_array(upper + sp.triu(whole, 1, format="csr").T)
    found.sort_indices()
    return found.data
