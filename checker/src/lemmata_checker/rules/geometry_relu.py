"""Rules of two-layer ReLU networks: their cost, and its distance from the optimum.

Source: Bai, Gautam and Sojoudi (2023), section 2; Pilanci and Ergen (2020).
"""

import math

from ..case import Case, Measurement, Rule
from ..rigor import U
from .geometry_relu_cells import complete
from .geometry_relu_data import CONVEX, cost, over_stated
from .geometry_relu_dual import dual_value
from .geometry_relu_run import linear_rate, scenario


def network_cost(case: Case) -> Measurement:
    """Cost / stated objective - 1."""
    return over_stated(case, cost(case))


def relative_gap(case: Case) -> Measurement:
    """Cost / (lower bound) - 1."""
    upper = cost(case)
    lower, largest = dual_value(case)
    figures = {"cost": upper, "lower bound": lower, "largest norm / decay": largest}
    above = upper - lower
    if above <= 0:
        return Measurement(above, figures=figures)
    gap = above / lower if lower > 0 else math.inf
    return Measurement(gap * (1 + 8 * U), figures=figures)


def network_gap(case: Case) -> Measurement:
    """Over networks whose units have the problem's patterns."""
    return relative_gap(case)


def global_gap(case: Case) -> Measurement:
    """Over all networks, of any width."""
    found = relative_gap(case)
    count, needed = complete(case)
    found.figures |= {"cells shown": float(count), "cells": float(needed)}
    if count < needed:
        found.detail = f"only {count} of {needed} cells are among the patterns"
        found.measured = math.inf
    found.assumptions["the patterns are complete"] = (
        "checked" if count == needed else "violated"
    )
    return found


RULES: tuple[Rule, ...] = (
    Rule(
        "geometry.network_cost/1",
        "proof",
        "<=",
        "loss and decay of the network exceed the stated objective by at most this "
        "share",
        "of the objective",
        network_cost,
        (CONVEX,),
    ),
    Rule(
        "geometry.network_gap/1",
        "proof",
        "<=",
        "the network's cost is at most 1 + promised times the least cost of any "
        "network whose hidden units have the problem's activation patterns",
        "of the optimum",
        network_gap,
        (CONVEX,),
    ),
    Rule(
        "geometry.global_gap/1",
        "proof",
        "<=",
        "the network's cost is at most 1 + promised times the least cost of any "
        "two-layer ReLU network of any width",
        "of the optimum",
        global_gap,
        (CONVEX,),
    ),
    Rule(
        "geometry.scenario_violation/1",
        "confidence",
        "<=",
        "a direction drawn uniformly violates |theta'relu(X u)| <= decay with at most "
        "this probability",
        "probability",
        scenario,
        (CONVEX,),
    ),
    Rule(
        "geometry.residual_decay/1",
        "evidence",
        ">=",
        "r^2 of a falling line through the logarithm of the residuals' tail",
        "",
        linear_rate,
        (CONVEX,),
    ),
)
