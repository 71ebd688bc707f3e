"""A plan given as a matrix or as a list of entries, enclosed."""

import math
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..rigor import TINY, Exponential, U, gamma, log_enclosed
from .transport_cost import array, nonnegative
from .transport_kernel import entry_error, exponential_of, mass_upper
from .transport_plan import Plan, Setting, inner_error, setting
from .transport_reduced import reduce_pair, sweep


class Entropy(NamedTuple):
    """What only the dense form of an entropic plan has, from h = p log p.

    **Fields:**

    - `mass`: an upper bound on the mass of exp(w/epsilon - 1).
    - `total`: an upper bound on sum h.
    - `row_loss`, `column_loss`: upper bounds on the sums of max(0, -h).
    """

    mass: float
    total: float
    row_loss: np.ndarray
    column_loss: np.ndarray


def dense_plan(case: Case) -> tuple[Plan, Entropy | None]:
    """The plan given as a matrix, shape (n, m)."""
    return case.shared("transport/dense", lambda: _dense(case))


def coupling_plan(case: Case) -> Plan:
    """The plan given as entries `rows`, `columns` (int64), `mass`, shape (k,)."""
    return case.shared("transport/coupling", lambda: _coupling(case))


class _DenseSums:
    """One pass: P 1, 1' P, (P w) 1 and, for h = p log p, sums of h and max(0, -h)."""

    def __init__(self, plan: np.ndarray, exponential: Exponential | None) -> None:
        n, m = plan.shape
        self.plan, self.exponential, self.ones = plan, exponential, np.ones(m)
        self.mass = np.zeros(n)
        self.row, self.inner, self.total = np.empty(n), np.empty(n), np.zeros(n)
        self.column, self.row_loss = np.zeros(m), np.zeros(n)
        self.column_loss = np.zeros(m)

    def visit(self, rows: slice, w, high, low, spare) -> None:
        """Add one block of rows."""
        p = self.plan[rows]
        self.row[rows] = p @ self.ones
        self.column += p.sum(axis=0)
        w *= p
        self.inner[rows] = w @ self.ones
        if self.exponential is None:
            return
        self.exponential.into(high, low, w, (high, spare[0], spare[1]))
        self.mass[rows] = w @ self.ones
        logarithm, error = log_enclosed(np.where(p > 0, p, 1.0))
        if not np.all(np.isfinite(error)):
            raise Malformed("plan: a logarithm could not be enclosed")
        h = p * logarithm
        self.total[rows] = h @ self.ones
        loss = np.maximum(-h, 0.0)
        self.row_loss[rows] = loss @ self.ones
        self.column_loss += loss.sum(axis=0)


def _dense(case: Case) -> tuple[Plan, Entropy | None]:
    """Errors: sums of k terms, k u relatively; h is off by (12 p + 5 |h|) u."""
    at = setting(case)
    whole = nonnegative(
        array(case.value, "plan", (at.source.size, at.target.size)), "plan"
    )
    plan, stray = whole, 0.0
    if at.cost.shape != whole.shape:
        plan = whole[np.ix_(at.source.kept, at.target.kept)]
        outside = whole.copy()
        outside[np.ix_(at.source.kept, at.target.kept)] = 0
        stray = float(outside.sum()) * (1 + gamma(whole.size))
    n, m = plan.shape
    entropic = case.problem.kind == "transport.entropic/1"
    exponential = exponential_of(case) if entropic else None
    sums = _DenseSums(plan, exponential)
    reduced = sweep(at.cost, at.x, at.y, sums.visit)
    inner, relative = float(sums.inner.sum()), gamma(m + n + 8)
    mass = float(sums.row.sum()) * (1 + gamma(m + n))
    known = Plan(
        sums.row,
        gamma(m + 2) * sums.row + m * TINY,
        sums.column,
        gamma(n + 2) * sums.column + n * TINY,
        inner,
        inner_error(inner, mass, reduced, relative),
        stray,
        reduced,
    )
    if exponential is None:
        return known, None
    return known, _entropy(sums, entry_error(exponential, reduced), mass)


def _entropy(sums: _DenseSums, entry: float, mass: float) -> Entropy:
    """Upper bounds; sum |h| = sum h + 2 sum max(0, -h)."""
    n, m = sums.plan.shape
    row_loss = sums.row_loss * (1 + gamma(m + 8)) + 16 * U * sums.row + m * TINY
    column_loss = sums.column_loss * (1 + gamma(n + 8)) + 16 * U * sums.column
    total = float(sums.total.sum())
    size = abs(total) + 2.1 * float(row_loss.sum())
    total += 1.1 * (gamma(m + n + 8) * size + 16 * U * mass) + TINY
    kernel = mass_upper(sums.mass, m, entry)
    return Entropy(kernel, total, row_loss, column_loss + n * TINY)


def entries_within(
    case: Case, at: Setting
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices among the atoms of positive weight and masses of the plan's entries."""
    if "plan" not in case.value:
        i, j, mass, _ = _entries(case, at)
        held = mass > 0
        return i[held], j[held], mass[held]
    plan = array(case.value, "plan", (at.source.size, at.target.size))
    plan = plan[np.ix_(at.source.kept, at.target.kept)]
    i, j = np.nonzero(plan)
    return i, j, plan[i, j]


def _entries(
    case: Case, at: Setting
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Indices among the atoms of positive weight, masses, and the mass elsewhere."""
    rows = array(case.value, "rows", (None,), np.int64)
    columns = array(case.value, "columns", rows.shape, np.int64)
    mass = nonnegative(array(case.value, "mass", rows.shape), "mass")
    for name, index, side in (
        ("rows", rows, at.source),
        ("columns", columns, at.target),
    ):
        if np.any((index < 0) | (index >= side.size)):
            raise Malformed(f"{name}: expected indices from 0 to {side.size - 1}")
    places = []
    for index, side in ((rows, at.source), (columns, at.target)):
        place = np.full(side.size, -1)
        place[side.kept] = np.arange(side.kept.size)
        places.append(place[index])
    inside = (places[0] >= 0) & (places[1] >= 0)
    stray = math.fsum(mass[~inside]) * (1 + 2 * U)
    return places[0][inside], places[1][inside], mass[inside], stray


def _coupling(case: Case) -> Plan:
    """Errors: a sum of k terms in `bincount`, k u relatively; fsum rounds once."""
    at = setting(case)
    i, j, mass, stray = _entries(case, at)
    n, m = at.cost.shape
    reduced = sweep(at.cost, at.x, at.y, None)
    pair = at.cost.entries(i, j)
    high, low = reduce_pair(at.x[i], at.y[j], pair)
    w = high + low
    inner = math.fsum(mass * w)
    total = math.fsum(mass) * (1 + 2 * U)
    row, column = np.bincount(i, mass, n), np.bincount(j, mass, m)
    most = int(
        max(np.bincount(i, minlength=n).max(), np.bincount(j, minlength=m).max())
    )
    return Plan(
        row,
        gamma(most + 2) * row + TINY,
        column,
        gamma(most + 2) * column + TINY,
        inner,
        inner_error(inner, total, reduced, gamma(8)),
        stray,
        reduced,
    )
