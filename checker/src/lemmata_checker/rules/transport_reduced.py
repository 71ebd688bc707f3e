"""One pass over w_ij = x_i + y_j - C_ij, to about 106 bits, in blocks of rows.

Everything that a transport rule asks of potentials and cost is a function of w: the
plan exp(w/epsilon - 1), both c-transforms, and the cost itself, as <C, P> =
<x, P 1> + <y, P' 1> - sum P w, which a constant added to C does not disturb.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from ..rigor import TINY, U, two_sum
from .transport_cost import Cost, Pair

BLOCK = 2**17  # entries a block: five float64 buffers, 5 MiB, stay in cache
Visit = Callable[[slice, np.ndarray, np.ndarray, np.ndarray, np.ndarray], None]


class Reduced(NamedTuple):
    """What one pass over w_ij = x_i + y_j - C_ij found.

    **Fields:**

    - `row_largest`, `column_largest`: upper bounds on max_j w_ij and max_i w_ij.
    - `largest`, `smallest`: bounds on max w and min w, from above and below.
    - `slack`: how far high + low may be from w, anywhere.
    - `tail`: bound on |low|.
    - `rough`: how far w may be off in float64 alone, where it was not worth more.
    """

    row_largest: np.ndarray
    column_largest: np.ndarray
    largest: float
    smallest: float
    slack: float
    tail: float
    rough: float = 0.0


class Few(Protocol):
    """A visitor that can do without entries w <= `least`, at a price it knows."""

    least: float

    def visit_few(self, rows: slice, i, j, w, high, low, whole) -> None:
        """Entries (i, j), i counted from the first of `rows`; `whole` is rough w."""
        ...


def reduce_pair(x, y, cost: Pair) -> tuple[np.ndarray, np.ndarray]:
    """(high, low) with high + low near x + y - C; see `sweep` for the error."""
    total, first = two_sum(x, y)
    high, second = two_sum(total, -cost[0])
    low = first + second
    return high, low if cost[1] is None else low - cost[1]


def reduced_slack(cost: Cost, size: float) -> tuple[float, float]:
    """(slack, tail) of `Reduced`, size >= max|high| + max|C|.

    With a = fl(x + y), |a| <= (|high| + |C|)(1 + u): the three low parts are at most
    u|a|, u|high|, 3u|C|, and adding them rounds twice, by u times their sum at most.
    """
    slack = (9 * U * U + 1.01 * cost.relative) * size + 2 * cost.absolute
    return slack, 4.2 * U * size + TINY


def sweep(
    cost: Cost,
    x: np.ndarray,
    y: np.ndarray,
    visit: Visit | None,
    few: Few | None = None,
) -> Reduced:
    """One pass over blocks of rows of w, `visit(rows, w, high, low, spare)` for each.

    There w = fl(high + low), off by u|w| (1 + u) + slack; all arrays are buffers, with
    `spare` two more of their shape, that the visitor may overwrite. Blocks of which
    `few` needs less than a quarter go to it instead; see `_visit_few`.
    """
    n, m = cost.shape
    height = max(1, min(n, BLOCK // m))
    buffers = np.empty((5, height, m))
    row_largest, column_largest = np.empty(n), np.full(m, -np.inf)
    smallest, largest_cost, rough = np.inf, 0.0, 0.0
    for start in range(0, n, height):
        rows = slice(start, min(n, start + height))
        high, low, w, *spare = buffers[:, : rows.stop - start]
        pair = cost.block(rows.start, rows.stop)
        if few is not None and pair[1] is None and cost.relative == 0:
            seen = _visit_few(few, rows, x[rows], y, pair[0], w)
            if seen is not None:
                rough = max(rough, seen.off)
                row_most = _unless_seen(w.max(axis=1), few.least, seen.off)
                column_most = _unless_seen(w.max(axis=0), few.least, seen.off)
                row_largest[rows] = row_most
                np.maximum(column_largest, column_most, out=column_largest)
                smallest = min(smallest, seen.smallest - seen.off)
                largest_cost = max(largest_cost, seen.largest_cost)
                continue
        largest_cost = max(largest_cost, float(pair[0].max()), -float(pair[0].min()))
        _reduce_into(x[rows, None], y[None, :], pair, high, low, w, *spare)
        np.add(high, low, out=w)
        row_largest[rows] = w.max(axis=1)
        np.maximum(column_largest, w.max(axis=0), out=column_largest)
        smallest = min(smallest, float(w.min()))
        if visit is not None:
            visit(rows, w, high, low, buffers[3:, : rows.stop - start])
    largest = float(row_largest.max())
    extent = 1.01 * (max(abs(largest), abs(smallest)) + largest_cost) + TINY
    slack, tail = reduced_slack(cost, extent)
    most = _LargestReal(cost, x, y)
    return Reduced(
        most.above(row_largest),
        most.above(column_largest),
        float(_above(largest, slack)),
        -float(_above(-smallest, slack)),
        slack,
        tail,
        rough,
    )


class _Seen(NamedTuple):
    """What is known of a block that was evaluated in float64 alone: see `_visit_few`.

    **Fields:** `off`, how far w may be off; `smallest`, its computed minimum;
    `largest_cost`, an upper bound on |C|.
    """

    off: float
    smallest: float
    largest_cost: float


def _visit_few(few: Few, rows: slice, x, y, cost, w) -> _Seen | None:
    """The block in float64 alone; entries above `least` evaluated as pairs and visited.

    fl(fl(x + y) - C) is off by u|x + y| + u|w| at most, and |C| <= |x| + |y| + |w|.
    Entries not visited have w <= least in real numbers. In `w` those visited are
    replaced by their better values. None if they are too many to pay.
    """
    np.add(x[:, None], y[None, :], out=w)
    w -= cost
    smallest = float(w.min())
    size = float(np.abs(x).max()) + float(np.abs(y).max())
    size += max(float(w.max()), -smallest)
    off = 2.1 * U * size + TINY
    live = np.flatnonzero(w.ravel() > few.least - off)
    if 4 * live.size > w.size:
        return None
    i, j = np.divmod(live, w.shape[1])
    high, low = reduce_pair(x[i], y[j], (cost.ravel()[live], None))
    better = high + low
    w.ravel()[live] = better
    few.visit_few(rows, i, j, better, high, low, w)
    return _Seen(off, smallest, 1.01 * size)


def _unless_seen(most: np.ndarray, least: float, off: float) -> np.ndarray:
    """Maxima of w; those at most `least` stand for entries that are off by `off`."""
    return np.where(most > least, most, most + off)


class _LargestReal:
    """Upper bounds on max w from computed maxima, which huge costs do not spoil.

    An entry's error is kappa (|high| + |C|) + 2 absolute at most, as in
    `reduced_slack`, and |C| <= |x| + |y| + |w|, so that the real w is at most
    w + (3u + 2.1 kappa)|w| + 1.1 kappa (|x| + |y|) + 2.1 absolute, increasing in w.
    """

    def __init__(self, cost: Cost, x: np.ndarray, y: np.ndarray):
        kappa = 9 * U * U + 1.01 * cost.relative
        size = float(np.abs(x).max()) + float(np.abs(y).max())
        self.factor = 3 * U + 2.1 * kappa
        self.rest = 1.1 * kappa * size + 2.1 * cost.absolute + TINY

    def above(self, w: np.ndarray) -> np.ndarray:
        """Upper bounds on the real maxima, given those of fl(high + low)."""
        return w + (1.01 * self.factor * np.abs(w) + 1.01 * self.rest)


def _above(w, slack: float):
    """Upper bound on the real w, given fl(high + low)."""
    return w + (3 * U * np.abs(w) + 1.01 * slack)


def _reduce_into(x, y, cost: Pair, high, low, total, spare, other) -> None:
    """`reduce_pair` without temporaries; the last five are buffers of one shape."""
    np.add(x, y, out=total)
    np.subtract(total, x, out=spare)
    np.subtract(total, spare, out=low)
    np.subtract(x, low, out=low)
    np.subtract(y, spare, out=spare)
    low += spare  # x + y = total + low
    np.subtract(total, cost[0], out=high)
    np.subtract(high, total, out=spare)
    np.subtract(high, spare, out=other)
    np.subtract(total, other, out=other)
    spare += cost[0]
    other -= spare  # total - C = high + other
    low += other
    if cost[1] is not None:
        low -= cost[1]
