"""Rules of conjugate directions: descent of the energy, conjugacy, contraction.

With e = x - x*, A e = -(b - A x), so differences of ||e||_A^2 need no solution.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..rigor import U, exact_dot, exact_sum, float_down, float_up
from ..sparse import Product, real
from ._linear_operators import (
    Operator,
    operator_of,
    residual_of,
    solution_of,
)
from .linear_grid import GridOperator
from .linear_residual import Stored


class Interval(NamedTuple):
    """Two fractions with the real number between them."""

    low: Fraction
    high: Fraction


def symmetric_operator(case: Case) -> tuple[Operator, dict[str, str]]:
    """A, and what is known of it. **Raises:** `Malformed` unless it is symmetric."""
    operator = operator_of(case)
    if isinstance(operator, GridOperator):  # so by construction
        return operator, {"A is positive semidefinite": "checked"}
    if not isinstance(operator, Stored):
        raise Malformed("the operator is not stored")
    same = case.shared("linear.symmetric", operator.matrix.is_symmetric)
    if not same:
        raise Malformed("the operator is not symmetric")
    return operator, {"A is positive semidefinite": "unchecked"}


def bilinear(x: np.ndarray, operator: Operator, y: np.ndarray) -> Interval:
    """x^T A y: exact dot product with the computed A y, and its rounding."""
    image = operator.product(y)
    if not (np.all(np.isfinite(image.value)) and np.all(np.isfinite(image.error))):
        raise Malformed("A times a vector overflows")
    middle = exact_dot(x, image.value)
    width = exact_dot(np.abs(x), image.error)
    return Interval(middle - width, middle + width)


def descent_of(case: Case, operator: Operator) -> Interval:
    """||e_0||_A^2 - ||e_K||_A^2 = (x_K - x_0)^T (r_0 + r_K), enclosed.

    That is (e_0 - e_K)^T A (e_0 + e_K) with A symmetric; unlike a difference of two
    energies it loses nothing where x_0 is near.
    """
    x = solution_of(case, operator.rhs.size)
    start = np.zeros_like(x)
    if "start" in case.witness:
        start = real(case.witness["start"], "start", 1)
        if start.shape != x.shape:
            raise Malformed(f"start has shape {start.shape}, expected {x.shape}")
    middle, moved = Fraction(0), np.abs(x - start) * (1 + 2 * U)
    width = Fraction(0)
    for point in (start, x):
        value, error = _residual(operator, point)
        middle += exact_dot(x, value) - exact_dot(start, value)
        width += exact_dot(moved, error)
    return Interval(middle - width, middle + width)


def _residual(operator: Operator, x: np.ndarray) -> Product:
    """B - A x with its error; exactly b at zero."""
    if not np.any(x):
        return Product(operator.rhs, np.zeros_like(x))
    image = operator.product(x)
    value = operator.rhs - image.value
    error = image.error * (1 + 2 * U) + 2 * U * np.abs(value)
    if not (np.all(np.isfinite(value)) and np.all(np.isfinite(error))):
        raise Malformed("the residual overflows")
    return Product(value, error)


def energy_descent(case: Case) -> Measurement:
    """|sum of decrements - descent| / descent, infinite if a decrement is negative."""
    operator, assumptions = symmetric_operator(case)
    decrements = real(case.witness.get("decrement"), "decrement", 1)
    if not decrements.size:
        raise Malformed("no decrement")
    rises = int(np.sum(decrements < 0))
    descent, total = descent_of(case, operator), exact_sum(decrements)
    figures = {
        "descent": float_down(descent.low),
        "smallest decrement": float(decrements.min()),
        "steps": float(decrements.size),
    }
    if rises:
        detail = f"{rises} steps raised the error"
        return Measurement(math.inf, detail, figures, assumptions)
    apart = max(total - descent.low, descent.high - total)
    if apart == 0:
        return Measurement(0.0, "", figures, assumptions)
    if descent.low <= 0:
        detail = "the answer is no nearer to the solution than the start"
        return Measurement(math.inf, detail, figures, assumptions)
    return Measurement(float_up(apart / descent.low), "", figures, assumptions)


def conjugacy(case: Case) -> Measurement:
    """Largest over pairs of |d_i^T A d_j| / sqrt(d_i^T A d_i d_j^T A d_j)."""
    operator, assumptions = symmetric_operator(case)
    directions = real(case.witness.get("directions"), "directions", 2)
    count = len(directions)
    if directions.shape[1] != operator.rhs.size or not 2 <= count <= 64:
        raise Malformed(f"directions has shape {directions.shape}")
    curvatures = [bilinear(d, operator, d).low for d in directions]
    if min(curvatures) <= 0:
        return Measurement(math.inf, "a direction has no curvature", {}, assumptions)
    worst = Fraction(0)  # of the squares, which need no root
    for i in range(count):
        for j in range(i):
            pair = bilinear(directions[i], operator, directions[j])
            size = max(abs(pair.low), abs(pair.high))
            worst = max(worst, size * size / (curvatures[i] * curvatures[j]))
    return Measurement(root_up(worst), f"{count} directions", {}, assumptions)


def root_up(square: Fraction) -> float:
    """Upper bound on a square root: one rounding of it and one of its argument."""
    return math.nextafter(math.sqrt(float_up(square)) * (1 + 2 * U), math.inf)


def contraction(case: Case) -> Measurement:
    """||e_K||_A / ||e_0||_A <= sqrt(u / (descent + u)), u = ||r_K||^2 / lambda_min."""
    operator, assumptions = symmetric_operator(case)
    least = operator.least(case)
    if not least.value > 0:
        return Measurement(math.inf, least.detail, assumptions=assumptions)
    size = residual_of(case).size
    if not np.all(np.isfinite(size)):
        raise Malformed("the residual overflows")
    remaining = exact_dot(size, size) / Fraction(least.value)
    descent = descent_of(case, operator)
    figures = {
        "least eigenvalue, at least": least.value,
        "descent": float_down(descent.low),
    }
    if descent.low + remaining <= 0:
        return Measurement(math.inf, "no descent", figures, assumptions)
    factor = root_up(remaining / (descent.low + remaining))
    return Measurement(factor, least.detail, figures, {"positive definite": "checked"})


RULES: tuple[Rule, ...] = (
    Rule(
        "linear.energy_descent/1",
        "proof",
        "<=",
        "||x_0 - x*||_A^2 - ||x_K - x*||_A^2 is the sum of the steps' decrements, none "
        "of which is negative, up to the relative error promised",
        "",
        energy_descent,
    ),
    Rule(
        "linear.conjugacy/1",
        "proof",
        "<=",
        "|d_i^T A d_j| <= promised * sqrt(d_i^T A d_i * d_j^T A d_j) for every two of "
        "the last directions",
        "",
        conjugacy,
    ),
    Rule(
        "linear.contraction/1",
        "proof",
        "<=",
        "||x_K - x*||_A <= promised * ||x_0 - x*||_A",
        "",
        contraction,
    ),
)
