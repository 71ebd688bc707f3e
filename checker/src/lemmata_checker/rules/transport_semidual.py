"""The semi-dual of transport with at most k non-zeros per column, enclosed.

D(alpha) = <alpha, a> - sum_j O_j, O_j = max { <s, t> - gamma/2 |t|^2 } over t >= 0
with sum(t) = b_j and at most k non-zeros, s_i = alpha_i - C_ij. Moving the constraint
on the sum into the objective, with a multiplier tau, and maximising entry by entry,
  O_j <= phi(tau) = tau b_j + sum over the k largest s_i of [s_i - tau]_+^2 / (2 gamma)
for every tau, with equality at the minimum of the convex phi. Where some s_i > tau,
phi'' >= 1/gamma from tau to the minimiser, so O_j >= phi(tau) - gamma phi'(tau)^2/2.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..rigor import TINY, U, exact_dot, gamma
from .transport_cost import (
    SHARE_ERROR,
    Cost,
    Marginal,
    array,
    cost_of,
    marginal,
    scalar,
)
from .transport_reduced import reduce_pair, reduced_slack

SPARSE = "transport.sparse/1"
BLOCK = 2**18  # entries a block, several temporaries each


class Sparse(NamedTuple):
    """The problem with the capped side first.

    **Fields:**

    - `free`, `capped`: marginals of the sides without and with a cap.
    - `cost`: shape (capped, free), +inf where forbidden.
    - `gamma`, `cap`: as given.
    - `by_columns`: whether the capped side are the columns.
    """

    free: Marginal
    capped: Marginal
    cost: Cost
    gamma: float
    cap: int
    by_columns: bool


def sparse_problem(case: Case) -> Sparse:
    """Read and check the problem."""

    def compute() -> Sparse:
        json = case.problem.json
        if case.problem.kind != SPARSE:
            raise Malformed(f"no sparse transport problem: {case.problem.kind}")
        source, target = marginal(case, "source"), marginal(case, "target")
        if source.kept.size < source.size or target.kept.size < target.size:
            raise Malformed("source, target: expected positive weights")
        cost = cost_of(case, source, target, forbidden=True)
        strength, cap, axis = scalar(json, "gamma"), json.get("cap"), json.get("axis")
        if axis not in ("columns", "rows"):
            raise Malformed(f"axis: expected columns or rows, got {axis!r}")
        by_columns = axis == "columns"
        free, capped = (source, target) if by_columns else (target, source)
        if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
            raise Malformed(f"cap: expected a positive integer, got {cap!r}")
        if cap > free.size:
            raise Malformed(f"cap: expected at most {free.size}, got {cap}")
        cost = cost.transpose if by_columns else cost
        return Sparse(free, capped, cost, strength, cap, by_columns)

    return case.shared("transport/sparse", compute)


def potential(case: Case, problem: Sparse) -> np.ndarray:
    """The value's potential on the side without a cap: alpha, or beta by rows."""
    name = "alpha" if problem.by_columns else "beta"
    return array(case.value, name, (problem.free.size,))


def differences(
    problem: Sparse, alpha: np.ndarray, pair: tuple[np.ndarray, np.ndarray | None]
) -> tuple[np.ndarray, float]:
    """(s, slack): s = alpha - C up to 2u|s| + slack, -inf where C is +inf."""
    forbidden = pair[0] == np.inf
    high_cost = np.where(forbidden, 0.0, pair[0])
    high, low = reduce_pair(alpha, np.zeros(1), (high_cost, pair[1]))
    size = float(np.abs(high).max(initial=0) + np.abs(high_cost).max(initial=0))
    slack, _ = reduced_slack(problem.cost, 1.01 * size)
    return np.where(forbidden, -np.inf, high + low), slack


class Conjugates(NamedTuple):
    """Bounds on sum_j O_j, and <alpha, a> exactly."""

    lower: float
    upper: float
    linear: Fraction


def conjugates(problem: Sparse, alpha: np.ndarray, cap: int) -> Conjugates:
    """Enclose the two terms of D(alpha) for this cap."""
    height = max(1, BLOCK // problem.free.size)
    lower: list[float] = []
    upper: list[float] = []
    for start in range(0, problem.capped.size, height):
        stop = min(problem.capped.size, start + height)
        s, slack = differences(problem, alpha, problem.cost.block(start, stop))
        b = problem.capped.share[start:stop]
        below, above = _conjugate(s, slack, b, problem.gamma, cap)
        lower.extend(below.tolist())
        upper.extend(above.tolist())
    if not np.all(np.isfinite(upper)):
        raise Malformed("the semi-dual overflows, or a point has no allowed partner")
    linear = exact_dot(problem.free.weights, alpha) / problem.free.total
    return Conjugates(
        math.nextafter(math.fsum(lower), -math.inf),
        math.nextafter(math.fsum(upper), math.inf),
        linear,
    )


def semi_dual(case: Case) -> tuple[Sparse, np.ndarray, Conjugates]:
    """The problem, the value's potential and its two terms; computed once."""

    def compute() -> tuple[Sparse, np.ndarray, Conjugates]:
        problem = sparse_problem(case)
        alpha = potential(case, problem)
        return problem, alpha, conjugates(problem, alpha, problem.cap)

    return case.shared("transport/semi_dual", compute)


def thresholds(top: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Tau with sum_i [s_i - tau]_+ = total, nearly; `top` (n, k) sorted downwards."""
    finite = np.where(np.isfinite(top), top, 0.0)
    ranks = np.arange(1, top.shape[1] + 1)
    candidate = (np.cumsum(finite, axis=1) - total[:, None]) / ranks
    candidate = np.where(np.isfinite(top), candidate, -np.inf)
    return candidate.max(axis=1)  # concave in the rank, largest at the right one


def _conjugate(
    s: np.ndarray, slack: float, b: np.ndarray, strength: float, cap: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on O_j for rows s (n, free) of differences, b (n,) of shares.

    s -> s + 2u|s| + slack increases, so that the k largest computed s bound the k
    largest true ones. Rounding: b by `SHARE_ERROR`, x = [s - tau]_+ by `off`, sums of k
    terms by gamma(k), the rest by a few u.
    """
    top = -np.sort(np.partition(-s, cap - 1, axis=1)[:, :cap], axis=1)
    tau = thresholds(top, strength * b)
    finite = np.isfinite(top)
    gap = np.where(finite, top, tau[:, None]) - tau[:, None]
    off = 3 * U * (np.abs(np.where(finite, top, 0.0)) + np.abs(gap)) + 1.01 * slack
    most = np.where(finite, np.maximum(0.0, gap + off), 0.0)
    least = np.where(finite, np.maximum(0.0, gap - off), 0.0)
    linear, rounding = tau * b, (SHARE_ERROR + 4 * U) * np.abs(tau * b) + TINY
    relative = gamma(cap + 8)
    above = linear + np.sum(most**2, axis=1) / (2 * strength) * (1 + relative)
    below = linear + np.sum(least**2, axis=1) / (2 * strength) * (1 - relative)
    rounding = rounding + 4 * U * (np.abs(above) + np.abs(below))
    slope = np.maximum(
        np.abs(b - np.sum(most, axis=1) / strength),
        np.abs(b - np.sum(least, axis=1) / strength),
    )
    slope += relative * (b + np.sum(most, axis=1) / strength) + SHARE_ERROR * b
    convex = below - strength * slope**2 / 2 * (1 + 8 * U)
    convex = np.where(least[:, 0] > 0, convex, -np.inf)
    # O_j >= s_i b_j - gamma b_j^2 / 2, all mass on the largest entry
    single = top[:, 0] * b - strength * b**2 / 2
    single -= 8 * U * (np.abs(top[:, 0] * b) + strength * b**2) + 1.01 * slack * b
    return np.maximum(convex - 2 * rounding, single - TINY), above + 2 * rounding
