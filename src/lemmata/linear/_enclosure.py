"""How far x is from the solution: the claim, and the witness that makes it small.

lambda_min(A) >= s gives ||x - x*||_2 <= ||b - A x||_2 / s. Where A has no positive
entry off the diagonal, any v > 0 with A v >= s v > 0 shows it (Collatz); a small dense
A is factorised by the judge.
"""

from typing import Any

import numpy as np

from lemmata_checker.definite import least_eigenvalue

from ..core import Claim, Withheld
from ..numerics.sparse import SparseMatrix

ID = "linear.error_bound/1"
LARGEST_DENSE = 1000  # rows that the judge is asked to factorise: about 0.4 s


def error_claim(problem: Any, value: Any) -> Claim | Withheld:
    """The error that `rtol` and the least eigenvalue shown leave."""
    x = np.asarray(value.x)
    operator = problem.operator
    with np.errstate(all="ignore"):
        least, witness = _by_vector(problem, operator, value)
        if not least > 0 and problem.size <= LARGEST_DENSE:
            dense = operator if isinstance(operator, np.ndarray) else operator.dense()
            least, witness = least_eigenvalue(dense), {}
        if not least > 0:
            return Withheld(ID, _reason(problem))
        if not np.any(problem.rhs):
            return Claim(ID, 0.0, witness)
        # 1e-6: rounding in the judge's least eigenvalue and here.
        share = float(problem.rtol) * (1 + 1e-6)
        bound = share * (_norm(problem.rhs) / least / _norm(x))
    if not 0 < bound < np.inf:
        return Withheld(ID, "x is zero or not finite, so no relative error is defined")
    return Claim(ID, float(bound), witness)


def _norm(vector: Any) -> np.float64:
    """Euclidean, whose squares neither overflow nor vanish."""
    top = np.max(np.abs(vector), initial=0.0)
    return np.float64(top * np.linalg.norm(np.asarray(vector) / (top or 1.0)))


def _reason(problem: Any) -> str:
    if off_diagonal_max(problem.operator) > 0:
        return (
            "A has positive entries off the diagonal and more than "
            f"{LARGEST_DENSE} rows (or is not shown to be definite): its least "
            "eigenvalue is unknown"
        )
    return (
        "no v > 0 with A v > 0 is known: give positive_vector, or solve with "
        "ConjugateGradients(enclose=True)"
    )


def off_diagonal_max(operator: Any) -> float:
    """Largest entry off the diagonal."""
    if isinstance(operator, SparseMatrix):
        off = operator.rows() != operator.indices
        return float(np.max(operator.data[off], initial=-np.inf))
    off = ~np.eye(len(operator), dtype=bool)
    return float(np.max(operator[off], initial=-np.inf))


def _by_vector(problem: Any, operator: Any, value: Any) -> tuple[float, dict]:
    """(s, witness): the best of the vectors at hand; s <= 0 if none shows anything."""
    if off_diagonal_max(operator) > 0:
        return -np.inf, {}
    candidates = [problem.positive_vector, value.positive_vector]
    given = [np.asarray(v) for v in candidates if v is not None]
    found: tuple[float, dict] = (-np.inf, {})
    for v in (*given, np.ones(problem.size)):
        if v.shape != (problem.size,) or not np.all(v > 0):
            continue
        s = float(np.min((operator @ v) / v))
        if s > found[0]:
            found = s, {"positive_vector": v}
    return found
