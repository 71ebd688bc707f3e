"""Rule of unregularised transport: the gap between a plan's cost and a dual bound."""

from ..case import Case, Malformed, Measurement, Rule
from .transport_entropic import OPTIMAL, plan_of, width
from .transport_plan import setting
from .transport_repair import cost_upper, repair, transform_lower


def optimality_gap(case: Case) -> Measurement:
    """UB - LB; the duals are replaced by their c-transforms, feasible exactly."""
    if case.problem.kind != OPTIMAL:
        raise Malformed(f"no optimal transport problem: {case.problem.kind}")
    at, plan = setting(case), plan_of(case)
    upper = cost_upper(plan, repair(at.source, at.target, plan))
    return width(case, transform_lower(case, plan), upper, "cost")


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
