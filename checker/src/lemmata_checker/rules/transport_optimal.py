"""Rule of unregularised transport: the gap between a plan's cost and a dual bound."""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..rigor import TINY, U
from .transport_cost import Cost
from .transport_entries import entries_within
from .transport_entropic import OPTIMAL, plan_of, width
from .transport_plan import Setting, setting
from .transport_reduced import reduce_pair
from .transport_repair import cost_upper, repair, transform_lower
from .transport_support import Support, feasible

ENTRIES = 20_000  # of a plan, up to which its own support is repaired exactly


def optimality_gap(case: Case) -> Measurement:
    """UB - LB; the duals are replaced by their c-transforms, feasible exactly."""
    if case.problem.kind != OPTIMAL:
        raise Malformed(f"no optimal transport problem: {case.problem.kind}")
    at, plan = setting(case), plan_of(case)
    upper = cost_upper(plan, repair(at.source, at.target, plan))
    upper = min(upper, support_upper(case, at))
    return width(case, transform_lower(case, plan), upper, "cost")


def support_upper(case: Case, at: Setting) -> float:
    """Upper bound on <C, P*> - base, P* an exact coupling on the plan's own support.

    Pairs that the plan leaves alone cost nothing here, however dear they are; inf where
    the support admits no coupling, or is large.
    """
    i, j, mass = entries_within(case, at)
    if not 0 < mass.size <= ENTRIES:
        return math.inf
    sides = [side._replace(size=side.kept.size) for side in (at.source, at.target)]
    support = Support(i, j, mass, *sides)
    if feasible(support):
        return math.inf
    return -weighed(at.cost, at.x[i], at.y[j], support.masses(), i, j)


def weighed(cost: Cost, x, y, mass, i, j) -> float:
    """Lower bound on sum P w over entries, each mass rounded once.

    w is off by u|w| + kappa (|high| + |C|) + 2 absolute, the product by u, the mass by
    u, and fsum rounds once.
    """
    pair = cost.entries(i, j)
    high, low = reduce_pair(x, y, pair)
    w = high + low
    kappa = 9 * U * U + 1.01 * cost.relative
    off = 4 * U * np.abs(w) + 1.1 * kappa * (np.abs(high) + np.abs(pair[0]))
    error = math.fsum(mass * (off + 2.1 * cost.absolute + TINY)) * 1.1
    value = math.fsum(mass * w)
    return value - (error + 4 * U * abs(value) + mass.size * TINY)


RULES: tuple[Rule, ...] = (
    Rule(
        "transport.optimality_gap/1",
        "proof",
        "<=",
        "UB - LB <= promised; [LB, UB] holds the optimal cost and the stated one, and "
        "UB is not below that of an exact coupling near the plan",
        "cost",
        optimality_gap,
        (OPTIMAL,),
    ),
)
