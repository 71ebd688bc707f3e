"""Rules of entropic transport: marginals, and enclosures of both optimal values."""

import math
from fractions import Fraction

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..rigor import float_up
from .transport_cost import array, nonnegative, scalar
from .transport_entries import coupling_plan, dense_plan
from .transport_kernel import kernel_plan
from .transport_plan import Plan, setting
from .transport_repair import (
    base,
    cost_upper,
    dense_upper,
    kernel_lower,
    kernel_upper,
    repair,
    transform_lower,
    violation,
)

ENTROPIC, OPTIMAL = "transport.entropic/1", "transport.optimal/1"


def plan_of(case: Case) -> Plan:
    """The value's plan, in whichever form it comes."""
    if case.problem.kind not in (ENTROPIC, OPTIMAL):
        raise Malformed(f"no transport problem: {case.problem.kind}")
    if case.problem.kind == ENTROPIC and "row_scaling" in case.value:
        return kernel_plan(case)[0]
    if "plan" in case.value:
        return dense_plan(case)[0]
    if case.problem.kind == OPTIMAL:
        return coupling_plan(case)
    raise Malformed("expected a value with row_scaling or plan")


def marginals(case: Case) -> Measurement:
    """||P1 - r||_1 + ||P'1 - c||_1."""
    at = setting(case)
    return Measurement(violation(at.source, at.target, plan_of(case)))


def entropic_bounds(case: Case) -> tuple[float, float]:
    """(LB, UB) - base for the optimal regularised cost; base = <r, x> + <c, y>."""

    def compute() -> tuple[float, float]:
        if case.problem.kind != ENTROPIC:
            raise Malformed(f"no entropic problem: {case.problem.kind}")
        at, plan = setting(case), plan_of(case)
        epsilon = scalar(case.problem.json, "epsilon")
        fix = repair(at.source, at.target, plan)
        if "row_scaling" in case.value:
            kernel = kernel_plan(case)[1]
            upper = kernel_upper(plan, kernel, fix, epsilon)
            return kernel_lower(kernel.mass, epsilon), upper
        entropy = dense_plan(case)[1]
        if entropy is None:
            raise Malformed("no entropy of this plan")
        upper = dense_upper(plan, entropy, fix, epsilon)
        return kernel_lower(entropy.mass, epsilon), upper

    return case.shared("transport/entropic_bounds", compute)


def width(case: Case, lower: float, upper: float, stated: str) -> Measurement:
    """max(UB, stated) - min(LB, stated), all of them exact until the last line."""
    figure = Fraction(float(array(case.value, stated, ())))
    low, high = base(case) + Fraction(lower), base(case) + Fraction(upper)
    measured = float_up(max(high, figure) - min(low, figure))
    figures = {"lower": float(low), "upper": float(high), "stated": float(figure)}
    return Measurement(measured, figures=figures)


def entropic_enclosure(case: Case) -> Measurement:
    """The enclosure of the optimal regularised cost."""
    return width(case, *entropic_bounds(case), "regularised_cost")


def transport_enclosure(case: Case) -> Measurement:
    """The enclosure of the optimal cost without regularisation."""
    at, plan = setting(case), plan_of(case)
    upper = cost_upper(plan, repair(at.source, at.target, plan))
    return width(case, transform_lower(case, plan), upper, "cost")


def superlinear(case: Case) -> Measurement:
    """The last of e_{k+1} / e_k, if the last three strictly decrease.

    Looked at is the last run of errors within 1e-13 < e < 1e-2.
    """
    error = nonnegative(array(case.witness, "error", (None,)), "error")
    inside = (error > 1e-13) & (error < 1e-2)
    stop = int(np.flatnonzero(inside)[-1]) + 1 if inside.any() else 0
    before = np.flatnonzero(~inside[:stop])
    last = error[before[-1] + 1 if before.size else 0 : stop]
    if last.size < 4:
        return Measurement(math.inf, f"{last.size} errors in the window, 4 are needed")
    ratios = last[1:] / last[:-1]
    if not np.all(np.diff(ratios[-3:]) < 0):
        return Measurement(math.inf, f"the last ratios are {ratios[-3:].tolist()}")
    return Measurement(float(ratios[-1]), figures={"errors": float(last.size)})


def ascent(case: Case) -> Measurement:
    """The least increment of f between neighbours of one stage."""
    dual = array(case.witness, "dual", (None,))
    stage = case.witness.get("stage")
    if stage is None or stage.shape != dual.shape:
        raise Malformed("stage: expected one entry per entry of dual")
    same = stage[1:] == stage[:-1]
    increments = np.diff(dual)[same]
    if increments.size == 0:
        return Measurement(-math.inf, "fewer than two values of one stage")
    figures = {"increments": float(increments.size)}
    return Measurement(float(increments.min()), figures=figures)


KINDS = (ENTROPIC,)
RULES: tuple[Rule, ...] = (
    Rule(
        "transport.marginals/1",
        "proof",
        "<=",
        "||P 1 - r||_1 + ||P' 1 - c||_1 <= promised, for the plan P >= 0",
        "L1 mass",
        marginals,
        (ENTROPIC, OPTIMAL),
    ),
    Rule(
        "transport.entropic_enclosure/1",
        "proof",
        "<=",
        "UB - LB <= promised; [LB, UB] holds the optimal regularised cost and the "
        "stated one, and UB is not below that of an exact coupling near the plan",
        "cost",
        entropic_enclosure,
        KINDS,
    ),
    Rule(
        "transport.transport_enclosure/1",
        "proof",
        "<=",
        "UB - LB <= promised; [LB, UB] holds the optimal unregularised cost and the "
        "stated one, and UB is not below that of an exact coupling near the plan",
        "cost",
        transport_enclosure,
        KINDS,
    ),
    Rule(
        "transport.superlinear/1",
        "evidence",
        "<=",
        "e_{k+1} / e_k <= promised at the end of the recorded marginal errors within "
        "(1e-13, 1e-2), the last three ratios strictly decreasing",
        "",
        superlinear,
    ),
    Rule(
        "transport.ascent/1",
        "evidence",
        ">=",
        "f(z_{k+1}) - f(z_k) >= promised for all recorded steps at one epsilon",
        "cost",
        ascent,
    ),
)
