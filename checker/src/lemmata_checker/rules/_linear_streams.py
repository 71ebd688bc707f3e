"""Residuals of streams of systems, with their rounding, from what is packed.

Source of the bounds: Higham, Accuracy and Stability of Numerical Algorithms (2002),
section 3.1: a sum of k terms, each off by some roundings, errs by gamma of their
number times the sum of absolute values, in any order.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..rigor import TINY, gamma
from ..sparse import real
from ._linear_heat import heat_blocks

SEQUENCE = "linear.sequence/1"
SHIFTED = "linear.shifted_sequence/1"
HEAT = "linear.heat_equation/1"
KINDS = (SEQUENCE, SHIFTED, HEAT)
BLOCK = 2**22  # numbers of one intermediate array


class Blocks(NamedTuple):
    """Vectors of consecutive systems, rows: value and elementwise bound on its error.

    **Fields:** `residual` of the answers, `rhs` b, `initial` the residual at x_0.
    """

    residual: tuple[np.ndarray, np.ndarray]
    rhs: tuple[np.ndarray, np.ndarray]
    initial: tuple[np.ndarray, np.ndarray]


class Stream(NamedTuple):
    """A stream as packed: its answers (T, n) and `blocks(start, stop) -> Blocks`."""

    solutions: np.ndarray
    blocks: Callable[[int, int], Blocks]

    @property
    def width(self) -> int:
        """Systems to look at in one block."""
        return max(1, BLOCK // max(1, self.solutions.shape[1]))


def stream_of(case: Case) -> Stream:
    """The stream behind a case. **Raises:** `Malformed`."""
    kind = case.problem.kind
    if kind not in KINDS:
        raise Malformed(f"no stream of linear systems: {kind}")
    solutions = real(case.value.get("solutions"), "solutions", 2)
    if kind == HEAT:
        return Stream(solutions, heat_blocks(case, solutions, Blocks))
    return Stream(solutions, _stored(case, solutions, kind == SHIFTED))


def _stored(
    case: Case, solutions: np.ndarray, shifted: bool
) -> Callable[[int, int], Blocks]:
    arrays, warm = case.problem.arrays, False
    rhs = real(arrays.get("rhs"), "rhs", 2)
    if rhs.shape != solutions.shape or not rhs.size:
        raise Malformed(f"solutions {solutions.shape} for right-hand sides {rhs.shape}")
    steps, n = rhs.shape
    indices, indptr = pattern_of(arrays, n)
    data = real(arrays.get("operator_data"), "operator_data", 1 if shifted else 2)
    expected = (indices.size,) if shifted else (steps, indices.size)
    if data.shape != expected:
        raise Malformed(f"operator_data has shape {data.shape}, expected {expected}")
    shifts = np.zeros(steps)
    if shifted:
        shifts = real(arrays.get("shifts"), "shifts", 1)
        if shifts.shape != (steps,):
            raise Malformed(f"shifts have shape {shifts.shape}, expected ({steps},)")
    else:
        warm = case.problem.json.get("warm_start")
        if not isinstance(warm, bool):
            raise Malformed("warm_start is not true or false")
    # Products, their sum along a row, the shift's product, and b: so many roundings.
    factor = gamma(int(np.max(np.diff(indptr))) + 5)

    def residual(x: np.ndarray, part: slice) -> tuple[np.ndarray, np.ndarray]:
        terms = (data if shifted else data[part]) * x[:, indices]
        moved, size = shifts[part, None] * x, np.abs(rhs[part])
        value = rhs[part] - np.add.reduceat(terms, indptr[:-1], axis=1) - moved
        np.abs(terms, out=terms)
        size = size + np.add.reduceat(terms, indptr[:-1], axis=1) + np.abs(moved)
        return value, np.where(size > 0, factor * size + indices.size * TINY, 0.0)

    def blocks(start: int, stop: int) -> Blocks:
        part = slice(start, stop)
        exact = (rhs[part], np.zeros_like(rhs[part]))
        first = exact
        if warm:
            before = np.zeros_like(rhs[part])
            before[1 if start == 0 else 0 :] = solutions[max(start - 1, 0) : stop - 1]
            first = residual(before, part)
        return Blocks(residual(solutions[part], part), exact, first)

    return blocks


def pattern_of(arrays, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and row pointers of n rows, none empty. **Raises:** `Malformed`."""
    parts = [arrays.get(f"operator_{name}") for name in ("indices", "indptr")]
    for part in parts:
        if part is None or part.dtype != np.int64 or part.ndim != 1:
            raise Malformed("the pattern is missing, or no int64 vectors")
    indices, indptr = parts
    if indptr.size != n + 1 or indptr[0] != 0 or indptr[-1] != indices.size:
        raise Malformed("row pointers do not fit")
    # `reduceat` needs rows with entries; a system without one is singular anyway.
    if np.any(np.diff(indptr) < 1) or indices.min() < 0 or indices.max() >= n:
        raise Malformed("a row is empty, or a column leaves the matrix")
    return indices, indptr
