"""Rules of equality constrained problems: stationarity, second order, convex optima."""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..definite import frobenius_norm, least_singular_value, spectral_norm
from ..intervals import add, exact, product
from ..program import NOT_POLYNOMIAL
from ..rigor import gamma
from ._constrained import (
    KIND,
    Setting,
    curvature_matrix,
    euclidean,
    greatest,
    reduced_curvature,
    setting,
    stationarity,
    up,
)


def kkt(case: Case) -> Measurement:
    """max(|grad f + G^T lambda| / max(1, |grad f|), |c|), maximum norms."""
    found = setting(case)
    slope, at = stationarity(found.at, exact(found.multipliers)), found.at
    sure = np.abs(at.gradient.mid) - at.gradient.radius  # rounds by u of |grad f|
    size = max(1.0, float(np.max(sure)) * (1 - gamma(4)))
    stationary, infeasible = up(greatest(slope) / size), greatest(at.constraint)
    measured = max(stationary, infeasible)
    if math.isnan(stationary) or math.isnan(infeasible):
        measured = math.nan
    detail = "" if math.isfinite(measured) else NOT_SMOOTH
    figures = {"stationarity": stationary, "infeasibility": infeasible}
    return Measurement(measured, detail, figures)


NOT_SMOOTH = "a function is not finite, or not twice differentiable, at the point"


def strict_minimum(case: Case) -> Measurement:
    """A bound s with z^T H z >= s |z|^2 for every z with c'(x) z = 0."""
    found = setting(case)
    if found.program.constraints == found.program.variables:
        raise Malformed("m = n: the constraints leave no direction")
    curvature = reduced(case)
    return Measurement(curvature, NOT_SMOOTH if math.isnan(curvature) else "")


def reduced(case: Case) -> float:
    """The reduced Hessian's bound, once per certificate."""
    found = setting(case)

    def compute() -> float:
        return reduced_curvature(curvature_matrix(found), found.at.jacobian)

    return case.shared("constrained-curvature", compute)


def require_quadratic(found: Setting) -> None:
    """Raises `Malformed` unless f is quadratic and c affine, as polynomials in x."""
    nodes, program = found.program.nodes, found.program
    if nodes[program.objective].degree > 2 or nodes[program.constraint].degree > 1:
        names = {NOT_POLYNOMIAL: "more"}
        degrees = [nodes[k].degree for k in (program.objective, program.constraint)]
        said = " and ".join(str(names.get(degree, degree)) for degree in degrees)
        raise Malformed(f"needs quadratic f and affine c; the degrees are {said}")


def global_minimum(case: Case) -> Measurement:
    """Width of an interval that holds min f and f(x), for quadratic f and affine c.

    x + d with A d = -c, |d| <= |c| / sigma_min(A), is feasible. There f = L = f +
    lambda^T c, off L(x) by |grad L||d| + ||Q|||d|^2 / 2, with a gradient of L of at
    most g = |grad L| + ||Q|||d|. Along the constraints f is s-strongly convex, so its
    minimum is at most g^2 / (2 s) lower, and at most g / s away.
    """
    found = setting(case)
    require_quadratic(found)
    at, convexity = found.at, reduced(case)
    if not convexity > 0:
        reason = "f is not shown to be strictly convex on the constraints"
        return Measurement(math.inf, reason)
    weighed = product(exact(found.multipliers.reshape(1, -1)), at.constraint)
    lagrangian = add(at.objective, weighed.reshape(()))
    slope = euclidean(stationarity(at, exact(found.multipliers)))
    sigma = least_singular_value(at.jacobian.mid, frobenius_norm(at.jacobian.radius))
    if not sigma > 0:
        return Measurement(math.inf, "the constraints are not shown to be independent")
    step = up(euclidean(at.constraint) / sigma)
    bend = curvature_matrix(found)
    norm = spectral_norm(bend.mid, frobenius_norm(bend.radius))
    moved = up(slope * step + norm * step**2 / 2)
    there = up(slope + norm * step)
    below = up(moved + there**2 / (2 * convexity))
    lower = math.nextafter(float(lagrangian.lower()) - below, -math.inf)
    upper = math.nextafter(float(lagrangian.upper()) + moved, math.inf)
    high = max(upper, float(at.objective.upper()))
    low = min(lower, float(at.objective.lower()))
    distance = up(step + there / convexity)
    figures = {"lower": lower, "upper": upper, "distance": distance}
    return Measurement(math.nextafter(high - low, math.inf), "", figures)


RULES: tuple[Rule, ...] = (
    Rule(
        "optimize.kkt/1",
        "proof",
        "<=",
        "max|grad f + c'(x)^T lambda| / max(1, max|grad f|) and max|c(x)| <= promised",
        "",
        kkt,
        (KIND,),
    ),
    Rule(
        "optimize.strict_minimum/1",
        "proof",
        ">=",
        "z^T H z >= promised |z|^2 wherever c'(x) z = 0, H the Hessian of f + lambda^T "
        "c in x: positive curvature, not a saddle",
        "",
        strict_minimum,
        (KIND,),
    ),
    Rule(
        "optimize.global_minimum/1",
        "proof",
        "<=",
        "UB - LB <= promised; [LB, UB] holds the global minimum of f where c = 0 and "
        "f(x), f quadratic and convex there, c affine",
        "",
        global_minimum,
        (KIND,),
    ),
)
