"""Rules of transport with a cap on the non-zeros of every column (or row)."""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..rigor import TINY, U, float_down, float_up, gamma
from .transport_cost import SHARE_ERROR, Marginal, array
from .transport_semidual import SPARSE, Sparse, differences, semi_dual, sparse_problem
from .transport_support import Support, feasible


class Entries(NamedTuple):
    """A plan's non-zeros: `i` on the side without a cap, `j` on the capped one."""

    i: np.ndarray
    j: np.ndarray
    mass: np.ndarray


def entries(case: Case, prefix: str = "") -> Entries:
    """Read a plan: sorted by (column, row), each entry once, mass > 0."""
    problem = sparse_problem(case)
    rows = array(case.value, f"{prefix}rows", (None,), np.int64)
    columns = array(case.value, f"{prefix}columns", rows.shape, np.int64)
    mass = array(case.value, f"{prefix}mass", rows.shape)
    sides = (problem.free, problem.capped)
    row_size, column_size = (
        s.size for s in (sides if problem.by_columns else sides[::-1])
    )
    for name, index, size in (
        ("rows", rows, row_size),
        ("columns", columns, column_size),
    ):
        if np.any((index < 0) | (index >= size)):
            raise Malformed(f"{prefix}{name}: expected indices from 0 to {size - 1}")
    if not np.all(np.diff(columns * row_size + rows) > 0):
        raise Malformed(
            f"{prefix}rows: expected entries sorted by column, then row, once"
        )
    if not np.all(mass > 0):
        raise Malformed(f"{prefix}mass: expected entries > 0")
    pair = (rows, columns) if problem.by_columns else (columns, rows)
    return Entries(*pair, mass)


def largest_count(problem: Sparse, plan: Entries) -> int:
    """Most non-zeros on one point of the capped side."""
    return int(np.bincount(plan.j, minlength=problem.capped.size).max())


def deviation(side: Marginal, index: np.ndarray, mass: np.ndarray) -> float:
    """Upper bound on the L1 distance of one side's sums from its shares.

    `bincount` adds one after another: k terms, k u relatively.
    """
    sums = np.bincount(index, mass, side.size)
    most = int(np.bincount(index, minlength=side.size).max())
    gap = np.abs(sums - side.share)
    gap += gamma(most + 2) * sums + (SHARE_ERROR + U) * side.share
    return float(gap.sum()) * (1 + gamma(side.size + 4))


def rounding_limit(problem: Sparse) -> float:
    """What the capped side may be off by, as it is met exactly by construction."""
    return max(1e-12, 8 * (problem.free.size + problem.capped.size) * U)


def objection(problem: Sparse, plan: Entries) -> str:
    """Why a plan is none of this problem, apart from the free side's sums; or ""."""
    high, _ = problem.cost.entries(plan.j, plan.i)
    if np.any(high == np.inf):
        return "a forbidden pair carries mass"
    count = largest_count(problem, plan)
    if count > problem.cap:
        return f"{count} non-zeros where {problem.cap} are allowed"
    off = deviation(problem.capped, plan.j, plan.mass)
    if not off <= rounding_limit(problem):
        return f"the capped side is off by {off:.3g} in L1"
    return ""


def cardinality(case: Case) -> Measurement:
    """Most non-zeros in one column (row, by axis) of the returned plan."""
    problem = sparse_problem(case)
    return Measurement(float(largest_count(problem, entries(case))))


def sparse_marginals(case: Case) -> Measurement:
    """The L1 error of the side without a cap."""
    which = case.parameters.get("plan", "returned")
    if which not in ("returned", "selection"):
        raise Malformed(f"plan: expected returned or selection, got {which!r}")
    problem = sparse_problem(case)
    plan = entries(case, "selection_" if which == "selection" else "")
    capped = deviation(problem.capped, plan.j, plan.mass)
    free = deviation(problem.free, plan.i, plan.mass)
    figures = {"free": free, "capped": capped}
    high, _ = problem.cost.entries(plan.j, plan.i)
    if np.any(high == np.inf):
        return Measurement(math.inf, "a forbidden pair carries mass", figures)
    if not capped <= rounding_limit(problem):
        return Measurement(math.inf, "the capped side is not met", figures)
    return Measurement(free, figures=figures)


def gain(problem: Sparse, alpha: np.ndarray, plan: Entries) -> tuple[float, float]:
    """Sum T s - gamma/2 T^2 = <alpha, T 1> - objective(T), and its error.

    Each mass off by u, s by 2u|s| + slack, three further roundings a term.
    """
    pair = problem.cost.entries(plan.j, plan.i)
    s, slack = differences(problem, alpha[plan.i], pair)
    linear, square = plan.mass * s, problem.gamma / 2 * plan.mass**2
    value = math.fsum(linear - square)
    size = float(np.abs(linear).sum()) + float(square.sum())
    error = 10 * U * size + 1.1 * slack * float(plan.mass.sum()) + plan.mass.size * TINY
    return value, 1.1 * error + 2 * U * abs(value)


def selection_optimality(case: Case) -> Measurement:
    """|objective(T) - (<alpha, T 1> - sum_j O_j)| for the selection plan T."""
    problem, alpha, terms = semi_dual(case)
    plan = entries(case, "selection_")
    reason = objection(problem, plan)
    if reason:
        return Measurement(math.inf, reason)
    value, error = gain(problem, alpha, plan)
    rounding = 4 * U * (abs(value) + abs(terms.upper) + abs(terms.lower)) + error
    most, least = terms.upper - value + rounding, terms.lower - value - rounding
    return Measurement(max(most, -least), figures={"difference": terms.upper - value})


def sparse_gap(case: Case) -> Measurement:
    """UB - D(alpha) for the returned plan, repaired exactly on its support."""
    problem, alpha, terms = semi_dual(case)
    plan = entries(case)
    high, _ = problem.cost.entries(plan.j, plan.i)
    if np.any(high == np.inf):
        return Measurement(math.inf, "a forbidden pair carries mass")
    if largest_count(problem, plan) > problem.cap:
        return Measurement(math.inf, "more non-zeros than allowed")
    support = Support(plan.i, plan.j, plan.mass, problem.free, problem.capped)
    reason = feasible(support)
    if reason:
        return Measurement(math.inf, reason)
    repaired = Entries(plan.i, plan.j, support.masses())
    value, error = gain(problem, alpha, repaired)
    moved = float(np.abs(repaired.mass - plan.mass).sum())
    # objective = <alpha, a> - gain, D = <alpha, a> - sum_j O_j, as T 1 = a exactly
    upper = terms.linear - Fraction(value) + Fraction(error)
    lower = terms.linear - Fraction(terms.upper)
    objective, dual = stated(case, "objective"), stated(case, "dual_value")
    return Measurement(
        float_up(max(upper, objective) - min(lower, dual)),
        figures={"lower": float_down(lower), "upper": float_up(upper), "moved": moved},
    )


def stated(case: Case, name: str) -> Fraction:
    """A figure that the value states of itself."""
    return Fraction(float(array(case.value, name, ())))


def sparse_lower_bound(case: Case) -> Measurement:
    """D(alpha), less what the stated dual value is above it."""
    problem, _, terms = semi_dual(case)
    array(case.value, "beta" if problem.by_columns else "alpha", (problem.capped.size,))
    lower = terms.linear - Fraction(terms.upper)
    over = max(Fraction(0), stated(case, "dual_value") - lower)
    return Measurement(float_down(lower - over), figures={"dual": float_down(lower)})


def _rule(name: str, relation, statement: str, unit: str, measure) -> Rule:
    identifier = f"transport.{name}/1"
    return Rule(identifier, "proof", relation, statement, unit, measure, (SPARSE,))


RULES: tuple[Rule, ...] = (
    _rule(
        "cardinality",
        "<=",
        "most non-zeros in one column (row, by axis) <= promised, zeros being exact",
        "entries",
        cardinality,
    ),
    _rule(
        "sparse_marginals",
        "<=",
        "||T 1 - a||_1 <= promised on the side without a cap, the capped side being "
        "met up to max(1e-12, 8 (n + m) u)",
        "L1 mass",
        sparse_marginals,
    ),
    _rule(
        "selection_optimality",
        "<=",
        "|objective(T) - (<alpha, T 1> - sum_j O_j)| <= promised: the selection plan T "
        "is a global minimiser for its own sums on the side without a cap",
        "cost",
        selection_optimality,
    ),
    _rule(
        "sparse_gap",
        "<=",
        "UB - LB <= promised, where LB <= D(alpha) <= OPT and UB is not below the "
        "objective of an exact plan on the support of the returned one; both stated "
        "figures lie between",
        "cost",
        sparse_gap,
    ),
    _rule(
        "sparse_lower_bound",
        ">=",
        "D(alpha) >= promised, where no plan within the cap has an objective below D, "
        "nor is the stated dual value above it",
        "cost",
        sparse_lower_bound,
    ),
)
