"""Rules of linear systems: the residual, and the error that it leaves.

Sources: Higham, Accuracy and Stability of Numerical Algorithms (2002), chapter 3;
Collatz, Math. Z. 48 (1942), and Varga, Matrix Iterative Analysis (2000), section 2.1,
for the least eigenvalue by a positive vector.
"""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..definite import LARGEST, least_eigenvalue
from ..rigor import TINY, U
from ..sparse import Matrix, Product, matrix_of, real
from ._linear_operators import (
    KINDS,
    SYSTEM,
    Least,
    Operator,
    norm_lower,
    norm_upper,
    operator_of,
    positive,
    register,
    residual_of,
    solution_of,
)


class Stored(Operator):
    """The operator of `linear.spd_system/1` whose entries are stored."""

    def __init__(self, case: Case) -> None:
        arrays = case.problem.arrays
        self.rhs = real(arrays.get("rhs"), "rhs", 1)
        size = self.rhs.size
        self.matrix = matrix_of(arrays, "operator", (size, size))

    def product(self, x: np.ndarray) -> Product:
        """By the stored entries."""
        return self.matrix.product(x)

    def least(self, case: Case) -> Least:
        """By a positive vector (of claim, answer or problem; ones), else by a verified
        factorisation. **Raises:** `Malformed` unless A = A^T.
        """
        matrix, size = self.matrix, self.rhs.size
        if not case.shared("linear.symmetric_entries", matrix.is_symmetric):
            raise Malformed("the operator is not symmetric")
        sources = (case.witness, case.value, case.problem.arrays)
        given = [source.get("positive_vector") for source in sources]
        vector = next((v for v in given if v is not None), np.ones(size))
        found = by_vector(matrix, positive(vector, size))
        if found.value > 0 or size > LARGEST:
            return found
        value = least_eigenvalue(matrix.dense())
        return Least(value, "least eigenvalue by a verified factorisation")


register(SYSTEM, Stored)


def by_vector(matrix: Matrix, v: np.ndarray) -> Least:
    """lambda_min >= s if A v >= s v > 0 and no entry off the diagonal is positive."""
    off = matrix.rows() != matrix.columns_of_entries()
    if np.any(off & (matrix.entries() > 0)):
        return Least(-math.inf, "an entry off the diagonal is positive")
    value, error = matrix.product(v)
    image = value - error * (1 + 2 * U)
    image = image - 2 * U * np.abs(image) - TINY
    ratio = float(np.min(image / v, initial=math.inf))
    if not ratio > 0:
        return Least(-math.inf, "A v is not positive for the vector v at hand")
    ratio = math.nextafter(ratio, -math.inf)
    return Least(ratio, "least eigenvalue by a positive vector", v, image)


def _zero_rhs(case: Case) -> Measurement | None:
    """Where b = 0, only x = 0 is good, whatever the operator does to it."""
    rhs = operator_of(case).rhs
    x = solution_of(case, rhs.size)
    if np.any(rhs):
        return None
    exact = not np.any(x)
    detail = "b = 0, and x = 0" if exact else "b = 0, but x is not 0"
    return Measurement(0.0 if exact else math.inf, detail)


def residual(case: Case) -> Measurement:
    """||b - A x||_2 / ||b||_2, rounded up."""
    rhs, found = operator_of(case).rhs, _zero_rhs(case)
    return found or Measurement(_up(residual_of(case).norm / norm_lower(rhs)))


def residual_max(case: Case) -> Measurement:
    """max|b - A x| / max|b|, rounded up."""
    rhs, found = operator_of(case).rhs, _zero_rhs(case)
    if found:
        return found
    largest = float(np.max(residual_of(case).size))
    return Measurement(_up(largest / float(np.max(np.abs(rhs)))))


def error_bound(case: Case) -> Measurement:
    """||b - A x||_2 / (lambda_min ||x||_2), rounded up."""
    operator = operator_of(case)
    x, found = solution_of(case, operator.rhs.size), operator.least(case)
    assumptions = {"positive definite": "checked" if found.value > 0 else "violated"}
    zero = _zero_rhs(case)
    if zero:
        zero.assumptions.update(assumptions)
        return zero
    if not found.value > 0:
        return Measurement(math.nan, found.detail, assumptions=assumptions)
    size = residual_of(case)
    absolute = _up(size.norm / found.value)
    figures = {"least eigenvalue, at least": found.value, "||x - x*||_2": absolute}
    if found.vector is not None and found.image is not None:
        factor = _up(float(np.max(size.size / found.image)))
        figures["max|x - x*|"] = _up(factor * float(np.max(found.vector)))
    relative = _up(absolute / norm_lower(x)) if np.any(x) else math.inf
    return Measurement(relative, found.detail, figures, assumptions)


def recorded_residual(case: Case) -> Measurement:
    """Largest over both norms of ||b - y|| / ||b||, y what A x was recorded to be."""
    rhs = real(case.problem.arrays.get("rhs"), "rhs", 1)
    if case.problem.kind != SYSTEM or "function" not in case.problem.json:
        raise Malformed("the operator is stored: its residual is computed")
    x = solution_of(case, rhs.size)
    point = real(case.witness.get("point"), "point", 1)
    image = real(case.witness.get("image"), "image", 1)
    if point.shape != x.shape or image.shape != x.shape or np.any(point != x):
        raise Malformed("the evaluation was recorded at another point")
    assumptions = {"the operator is the function recorded": "unchecked"}
    if not np.any(rhs):
        good = not np.any(x)
        return Measurement(0.0 if good else math.inf, assumptions=assumptions)
    size = np.abs(rhs - image) * (1 + 2 * U)
    ratios = (
        norm_upper(size) / norm_lower(rhs),
        float(np.max(size)) / float(np.max(np.abs(rhs))),
    )
    return Measurement(_up(max(ratios)), assumptions=assumptions)


def _up(value: float) -> float:
    return math.nextafter(value, math.inf)


RULES: tuple[Rule, ...] = (
    Rule(
        "linear.residual/1",
        "proof",
        "<=",
        "||b - A x||_2 <= promised * ||b||_2; x = 0 if b = 0",
        "share of ||b||_2",
        residual,
        KINDS,
    ),
    Rule(
        "linear.residual_max/1",
        "proof",
        "<=",
        "max|b - A x| <= promised * max|b|; x = 0 if b = 0",
        "share of max|b|",
        residual_max,
        KINDS,
    ),
    Rule(
        "linear.error_bound/1",
        "proof",
        "<=",
        "||x - A^-1 b||_2 <= promised * ||x||_2",
        "share of ||x||_2",
        error_bound,
        KINDS,
    ),
    Rule(
        "linear.recorded_residual/1",
        "evidence",
        "<=",
        "||b - y|| <= promised * ||b|| in both norms, y the recorded value of A x",
        "share of ||b||",
        recorded_residual,
    ),
)
