"""Validation and curvature of `CompositeProblem`, outside JAX."""

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg

from ..core import InvalidProblem, require
from ._design import DenseDesign
from ._losses import (
    AbstractLoss,
    LeastSquares,
    Logistic,
    Quadratic,
    Softmax,
)
from ._penalties import AbstractPenalty

FACTORISED = 2000  # rows of a dense Hessian whose least eigenvalue is estimated
SPARSE_ROWS = 200_000  # rows of a sparse one


def validate(problem: Any) -> None:
    """Everything about the data. Raises `InvalidProblem`."""
    loss, penalty = problem.loss, problem.penalty
    for field, kind in (("loss", AbstractLoss), ("penalty", AbstractPenalty)):
        got = type(getattr(problem, field)).__name__
        good = isinstance(getattr(problem, field), kind)
        expected = "a loss such as LeastSquares(design, target)"
        if field == "penalty":
            expected = "a penalty such as L1(strength)"
        require(problem, field, good, expected=expected, got=got)
    _validate_tolerance(problem)
    if isinstance(loss, Quadratic):
        _validate_quadratic(problem, loss)
    else:
        _validate_data(problem, loss)
    _validate_penalty(problem, penalty, loss.variables)


def _validate_tolerance(problem: Any) -> None:
    for field in ("gap_tol", "stationarity_tol"):
        tol = getattr(problem, field)
        if field == "stationarity_tol" and tol is None:
            continue
        kinds = int | float | np.number | np.ndarray
        number = isinstance(tol, kinds) and np.ndim(tol) == 0
        inside = number and not isinstance(tol, bool) and 0 < tol < 1
        require(problem, field, inside, expected="in (0, 1)", got=tol)


def _validate_matrix(problem: Any, field: str, matrix: Any) -> None:
    values = matrix.values if isinstance(matrix, DenseDesign) else matrix.data
    real = isinstance(values, np.ndarray) or hasattr(values, "dtype")
    real = real and values.dtype == np.float64
    got = f"{getattr(values, 'dtype', type(values).__name__)}"
    require(problem, field, real, expected="real numbers", got=got)
    if isinstance(matrix, DenseDesign):
        good = values.ndim == 2 and min(values.shape) > 0
        expected = "a matrix (m, n), m, n > 0"
        require(problem, field, good, expected=expected, got=f"shape {values.shape}")
    else:
        got = f"shape {matrix.shape}"
        expected = "a matrix (m, n), m, n > 0"
        require(problem, field, min(matrix.shape) > 0, expected=expected, got=got)
    _validate_finite(problem, field, values)


def _validate_finite(problem: Any, field: str, values: Any) -> None:
    bad = int(np.sum(~np.isfinite(values)))
    got = f"{bad} not finite"
    require(problem, field, bad == 0, expected="finite entries", got=got)


def _validate_vector(problem: Any, field: str, values: Any, size: int) -> None:
    real = getattr(values, "dtype", None) == np.float64
    got = getattr(values, "dtype", type(values).__name__)
    require(problem, field, real, expected="real numbers", got=got)
    shape = np.shape(values)
    require(problem, field, shape == (size,), expected=f"shape ({size},)", got=shape)
    _validate_finite(problem, field, values)


def _validate_data(problem: Any, loss: Any) -> None:
    _validate_matrix(problem, "design", loss.design)
    m = loss.design.shape[0]
    if isinstance(loss, LeastSquares):
        _validate_vector(problem, "target", loss.target, m)
        return
    if isinstance(loss, Softmax):
        whole = isinstance(loss.classes, int | np.integer) and loss.classes >= 2
        got = loss.classes
        require(problem, "classes", whole, expected="an integer >= 2", got=got)
    _validate_vector(problem, "labels", loss.labels, m)
    labels = np.asarray(loss.labels)
    if isinstance(loss, Logistic):
        allowed, expected = np.isin(labels, (-1.0, 1.0)), "labels -1 or 1"
    else:
        allowed = (labels == np.floor(labels)) & (labels >= 0) & (labels < loss.classes)
        expected = f"whole numbers 0 .. {loss.classes - 1}"
    if not np.all(allowed):
        row = int(np.argmin(allowed))
        got = f"{labels[row]:g} in row {row}"
        require(problem, "labels", False, expected=expected, got=got)
    _validate_numbers(problem, "l2", loss.l2, loss.variables)


def _validate_numbers(
    problem: Any, field: str, value: Any, n: int, finite: bool = True
) -> np.ndarray:
    """One number or (n,); >= 0 and finite unless they are bounds."""
    kind = np.asarray(value).dtype.kind
    real = kind in "fiu" and not isinstance(value, bool)
    got = f"{value!r}" if not real else np.shape(value)
    require(problem, field, real, expected="real numbers", got=got)
    fits = np.shape(value) in ((), (n,))
    require(problem, field, fits, expected=f"one number or shape ({n},)", got=got)
    array = np.asarray(value, dtype=np.float64)
    got = f"{int(np.sum(np.isnan(array)))} NaN"
    require(problem, field, not np.any(np.isnan(array)), expected="numbers", got=got)
    if finite:
        _validate_finite(problem, field, array)
        least = float(np.min(array, initial=0.0))
        require(problem, field, least >= 0, expected=">= 0", got=least)
    return array


def _validate_penalty(problem: Any, penalty: AbstractPenalty, n: int) -> None:
    strength, lower, upper = penalty.terms()
    _validate_numbers(problem, "strength", strength, n)
    low = _validate_numbers(problem, "lower", lower, n, finite=False)
    high = _validate_numbers(problem, "upper", upper, n, finite=False)
    low, high = np.broadcast_arrays(low, high)
    crossed = low > high
    if np.any(crossed):
        place = int(np.argmax(np.atleast_1d(crossed)))
        pair = np.atleast_1d(low)[place], np.atleast_1d(high)[place]
        got = f"lower {pair[0]:g} > upper {pair[1]:g} (coordinate {place})"
        require(problem, "lower", False, expected="lower <= upper", got=got)
    wrong = np.any(np.isposinf(low)) or np.any(np.isneginf(high))
    got = "lower = +inf or upper = -inf"
    require(problem, "lower", not wrong, expected="a point between bounds", got=got)


def _validate_quadratic(problem: Any, loss: Quadratic) -> None:
    _validate_matrix(problem, "operator", loss.operator)
    m, n = loss.operator.shape
    got = f"shape {(m, n)}"
    require(problem, "operator", m == n, expected="a square matrix", got=got)
    _validate_vector(problem, "linear", loss.linear, n)
    matrix = loss.operator.host()
    skew = abs(matrix - matrix.T)
    largest = float(skew.max())
    got = f"max|H - H^T| = {largest:.1e}"
    require(problem, "operator", largest == 0, expected="H = H^T", got=got)
    diagonal = matrix.diagonal()
    least = float(diagonal.min())
    got = f"{least:g} on the diagonal"
    expected = "positive semi-definite"
    require(problem, "operator", least >= 0, expected=expected, got=got)
    empty = np.flatnonzero(diagonal == 0)
    off = abs(matrix[empty]).sum(axis=1) if empty.size else np.zeros(0)
    got = "a zero on the diagonal of a row that is not zero"
    require(problem, "operator", not np.any(off), expected=expected, got=got)


def sound(problem: Any) -> bool:
    """Whether the data are concrete and pass `validate`, which reports by itself."""
    from ..core import is_concrete

    if not is_concrete((problem.loss, problem.penalty, problem.gap_tol)):
        return False
    try:
        validate(problem)
    except InvalidProblem:
        return False
    return True


def free(penalty: AbstractPenalty, n: int) -> np.ndarray:
    """Coordinates whose conjugate penalty is infinite on a half-line at strength 0."""
    strength, lower, upper = (
        np.broadcast_to(np.asarray(term, np.float64), (n,)) for term in penalty.terms()
    )
    return (strength == 0) & (np.isinf(lower) | np.isinf(upper))


def curvature_estimate(problem: Any) -> float:
    """About the least eigenvalue of H, 0 where it is not needed or not affordable."""
    loss = problem.loss
    if isinstance(loss, Quadratic):
        return least_eigenvalue_estimate(loss.operator.host())
    if not isinstance(loss, LeastSquares):
        return 0.0
    m, n = loss.design.shape
    if m < n or n > FACTORISED or not np.any(free(problem.penalty, n)):
        return 0.0
    design: Any = loss.design.host()
    gram = design.T @ design
    return least_eigenvalue_estimate(
        gram.toarray() if scipy.sparse.issparse(gram) else gram
    )


def least_eigenvalue_estimate(matrix: Any, steps: int = 20) -> float:
    """A tenth below what inverse iteration finds; 0 if not positive definite."""
    n = matrix.shape[0]
    solve = factorised(matrix)
    if solve is None:
        return 0.0
    x = np.random.default_rng(0).normal(size=n) + 1.0
    value = np.inf
    for _ in range(steps):
        x /= np.linalg.norm(x)
        y = solve(x)
        value = 1.0 / max(float(np.linalg.norm(y)), 1e-300)
        x = y
    size = float(abs(matrix).max())
    good = np.isfinite(value) and value > 1e-13 * size
    return 0.9 * value if good else 0.0


def factorised(matrix: Any) -> Any:
    """Solves with a symmetric positive definite matrix, or None."""
    n = matrix.shape[0]
    if scipy.sparse.issparse(matrix):
        if n > SPARSE_ROWS or np.any(matrix.diagonal() <= 0):
            return None
        try:
            factors = scipy.sparse.linalg.splu(
                scipy.sparse.csc_matrix(matrix),
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
        except RuntimeError:
            return None
        positive = np.all(factors.U.diagonal() > 0)
        return factors.solve if positive else None
    if n > FACTORISED:
        return None
    try:
        factor = scipy.linalg.cho_factor(matrix)
    except np.linalg.LinAlgError:
        return None
    return lambda b: scipy.linalg.cho_solve(factor, b)
