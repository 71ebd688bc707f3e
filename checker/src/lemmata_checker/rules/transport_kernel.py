"""The plan that potentials and scalings define, enclosed in one pass over the cost.

P_ij = s_i t_j exp((x_i + y_j - C_ij)/epsilon - 1) + a_i b_j / sum(a), its second term
0 where the remainders a or b are 0.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..rigor import EXP_ERROR, TINY, Exponential, U, exact_sum, gamma, log_enclosed
from .transport_cost import array, nonnegative, scalar
from .transport_plan import Plan, Setting, inner_error, setting
from .transport_reduced import Reduced, reduce_pair, sweep

E_INVERSE = 0.36787944117144233  # exp(-1), rounded


NEGLIGIBLE = 90.0  # exponents below minus this may be left out,
FLOOR = 8.5e-40  # at this price: exp(-90 + 0.01) = 8.28e-40


class Kernel(NamedTuple):
    """What only the kernel form has: P = Q + R, Q_ij = s_i t_j K_ij.

    **Fields:**

    - `mass`: an upper bound on the mass of K = exp(w/epsilon - 1), unscaled.
    - `row_least`, `column_least`: lower bounds on Q 1 and Q' 1.
    - `row_log`, `column_log`: lower bounds on |log s| and |log t|.
    - `rest`: an upper bound on the mass of the remainder R.
    - `rest_inner`: a lower bound on sum R w.
    """

    mass: float
    row_least: np.ndarray
    column_least: np.ndarray
    row_log: np.ndarray
    column_log: np.ndarray
    rest: float
    rest_inner: float


def kernel_plan(case: Case) -> tuple[Plan, Kernel]:
    """The plan that potentials and scalings define."""
    return case.shared("transport/kernel", lambda: _kernel(case))


def exponential_of(case: Case) -> Exponential:
    """exp(. / epsilon) for the problem's epsilon."""
    try:
        return Exponential(scalar(case.problem.json, "epsilon"))
    except ValueError as error:
        raise Malformed(f"epsilon: {error}") from None


def entry_error(exponential: Exponential, reduced: Reduced) -> float:
    """Relative error of exp(w / epsilon); slack/epsilon is w's own share of it."""
    if reduced.largest > 0.99 * exponential.limit:
        raise Malformed("potentials: exp((x + y - C)/epsilon) exceeds exp(693)")
    if (reduced.tail + reduced.slack) / exponential.scale > 0.005:
        raise Malformed("epsilon: below 1e-13 of the costs, too small to judge")
    return EXP_ERROR + 1.02 * reduced.slack / exponential.scale


def mass_upper(row_mass: np.ndarray, m: int, entry: float) -> float:
    """Upper bound on the mass of exp(w/epsilon - 1), from sums over m columns."""
    n = row_mass.size
    mass = float(np.sum(row_mass)) * E_INVERSE
    return mass * (1 + 1.1 * (entry + gamma(m + n + 8))) + (2 * n * m * FLOOR)


def _scalings(case: Case, at: Setting) -> list[np.ndarray]:
    s = array(case.value, "row_scaling", (at.source.size,))[at.source.kept]
    t = array(case.value, "column_scaling", (at.target.size,))[at.target.kept]
    for name, scaling in (("row_scaling", s), ("column_scaling", t)):
        if not np.all((scaling > 0) & (scaling <= 1)):
            raise Malformed(f"{name}: expected entries in (0, 1]")
    remainders = []
    for name, side in (("row", at.source), ("column", at.target)):
        label = f"{name}_remainder"
        whole = nonnegative(array(case.value, label, (side.size,)), label)
        if np.any(np.delete(whole, side.kept)):
            raise Malformed(f"{label}: expected 0 where the weight is 0")
        remainders.append(whole[side.kept])
    return [s, t, *remainders]


class _KernelSums:
    """One pass: K t, K 1, s K, (K w) t and w b for K = exp(w / epsilon)."""

    def __init__(self, exponential: Exponential, s, t, b) -> None:
        self.exponential, self.s, self.t, self.b = exponential, s, t, b
        self.least = -NEGLIGIBLE * exponential.scale
        n, m = s.size, t.size
        self.row, self.mass, self.inner = np.empty(n), np.empty(n), np.empty(n)
        self.rest, self.column, self.ones = np.zeros(n), np.zeros(m), np.ones(m)
        self.blocks, self.height, self.buffer = 0, 0, np.empty((0, m))

    def visit(self, rows: slice, w, high, low, spare) -> None:
        """Add one block of rows."""
        if self.buffer.shape[0] < w.shape[0]:
            self.buffer = np.empty_like(w)
        k = self.buffer[: w.shape[0]]
        self.exponential.into(high, low, k, (high, spare[0], spare[1]))
        self.row[rows] = k @ self.t
        self.mass[rows] = k @ self.ones
        self.column += self.s[rows] @ k
        if self.b is not None:
            self.rest[rows] = w @ self.b
        k *= w
        self.inner[rows] = k @ self.t
        self._count(w)

    def visit_few(self, rows: slice, i, j, w, high, low, whole) -> None:
        """Add the entries (i, j) of a block whose others are below `FLOOR`."""
        k, n, m = np.empty_like(w), whole.shape[0], whole.shape[1]
        self.exponential.into(high, low, k, (high, np.empty_like(k), np.empty_like(k)))
        self.mass[rows] = np.bincount(i, k, n)
        self.column += np.bincount(j, self.s[rows][i] * k, m)
        k *= self.t[j]
        self.row[rows] = np.bincount(i, k, n)
        k *= w
        self.inner[rows] = np.bincount(i, k, n)
        if self.b is not None:
            self.rest[rows] = whole @ self.b
        self._count(whole)

    def _count(self, block) -> None:
        self.blocks += 1
        self.height = max(self.height, block.shape[0])


def _kernel(case: Case) -> tuple[Plan, Kernel]:
    """Errors: an entry of K is off by `entry` relatively or `floor` absolutely; a
    product with m terms adds m u, scaling by s_i exp(-1) adds 3u.
    """
    at = setting(case)
    s, t, a, b = _scalings(case, at)
    a_sum, b_sum = exact_sum(a), exact_sum(b)
    ratio = float(b_sum / a_sum) if a_sum else 0.0
    exponential, floor = exponential_of(case), FLOOR
    sums = _KernelSums(exponential, s, t, b if ratio else None)
    reduced = sweep(at.cost, at.x, at.y, sums.visit, sums)
    entry = entry_error(exponential, reduced)
    n, m = at.cost.shape
    row, column = s * (sums.row * E_INVERSE), t * (sums.column * E_INVERSE)
    row_error = row * (entry + gamma(m + 8)) + 2 * m * floor
    terms = sums.height + sums.blocks + 8
    column_error = column * (entry + gamma(terms)) + 2 * n * floor
    kernel_mass = float(np.sum(row + row_error)) * (1 + gamma(n + 1))
    inner = float(np.sum(s * sums.inner)) * E_INVERSE
    inner_off = inner_error(inner, kernel_mass, reduced, entry + gamma(m + n + 12))
    inner_off += 4 * n * m * floor * _size(reduced)
    rest, rest_inner, rest_error = _rest(a, b, a_sum, b_sum, sums.rest, reduced)
    kernel = Kernel(
        mass_upper(sums.mass, m, entry),
        np.maximum(0.0, row - 1.01 * row_error),
        np.maximum(0.0, column - 1.01 * column_error),
        _least_log(s),
        _least_log(t),
        rest,
        rest_inner - 1.01 * rest_error,
    )
    row, column = row + a * ratio, (column + b if ratio else column)
    inner = inner + rest_inner
    row_error, column_error = (
        error * (1 + 4 * U) + 4 * U * known
        for error, known in ((row_error, row), (column_error, column))
    )
    inner_off = 1.01 * (inner_off + rest_error) + 2 * U * abs(inner)
    plan = Plan(row, row_error, column, column_error, inner, inner_off, 0.0, reduced)
    return plan, kernel


def _size(reduced: Reduced) -> float:
    """max|w|, from above."""
    return max(abs(reduced.smallest), abs(reduced.largest))


def _rest(
    a: np.ndarray,
    b: np.ndarray,
    a_sum: Fraction,
    b_sum: Fraction,
    products: np.ndarray,
    reduced: Reduced,
) -> tuple[float, float, float]:
    """Mass of R = a b' / sum a (from above), sum R w and its error.

    |sum R w| <= mass(R) max|w|; n + m roundings of terms, and w's own error.
    """
    if not a_sum or not b_sum:
        return 0.0, 0.0, 0.0
    mass = float(b_sum) * (1 + 2 * U)  # 1' R 1 = sum b
    inner = float(a @ products) / float(a_sum)
    relative = gamma(a.size + b.size + 8)
    off = relative * _size(reduced) + reduced.slack + reduced.rough
    return mass, inner, 1.1 * mass * off + TINY


def _least_log(scaling: np.ndarray) -> np.ndarray:
    y, error = log_enclosed(scaling)
    return np.maximum(0.0, -y - error)


def kernel_entries(case: Case, at: Setting, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Lower bounds on P[i, j], shape (k,)."""
    plan, _ = kernel_plan(case)
    exponential = exponential_of(case)
    s, t, a, b = _scalings(case, at)
    high, low = reduce_pair(at.x[i], at.y[j], at.cost.entries(i, j))
    kernel = np.empty_like(high)
    exponential.into(high, low, kernel, np.empty((3, *high.shape)))
    found = s[i] * kernel * t[j] * E_INVERSE
    found *= 1 - 1.1 * entry_error(exponential, plan.reduced) - 8 * U
    total = a.sum()
    rest = a[i] * b[j] / total * (1 - gamma(a.size + 8)) if total > 0 else 0.0
    return np.maximum(0.0, found + rest - Exponential.floor_value) * (1 - 4 * U)
