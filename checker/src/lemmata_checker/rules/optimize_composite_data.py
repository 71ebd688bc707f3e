"""A composite problem as the rules see it, and products with their rounding.

Kind `optimize.composite/1`: min f(x) + sum_j strength_j |x_j| over lower <= x <= upper,
f one of four losses, ridge_j x_j^2 / 2 included in the two likelihoods.
"""

import math
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..rigor import TINY, U, gamma
from ..sparse import Matrix, Product, matrix_of, real

KIND = "optimize.composite/1"
LOSSES = ("least_squares", "logistic", "softmax", "quadratic")
# Each penalty: may it have a strength, its lower and its upper bound.
PENALTIES = {
    "unpenalised": (False, -math.inf, math.inf),
    "l1": (True, -math.inf, math.inf),
    "non_negative": (False, 0.0, math.inf),
    "non_negative_l1": (True, 0.0, math.inf),
    "box": (False, None, None),
}
SMALLEST = 2.0**-511  # the square root of TINY


class Terms(NamedTuple):
    """Per coordinate, each (n,)."""

    strength: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    ridge: np.ndarray


class Setting(NamedTuple):
    """Problem and answer.

    - `matrix`: A, (m, features), or H, (n, n).
    - `target`: y, labels, or b.
    - `x`: (n,), n = features * classes; classes is 1 but for softmax.
    - `norms`: upper bounds on ||a_f||, (features,).
    """

    loss: str
    matrix: Matrix
    target: np.ndarray
    classes: int
    terms: Terms
    x: np.ndarray
    norms: np.ndarray

    @property
    def admissible(self) -> bool:
        """Whether x keeps the bounds; F(x) is infinite otherwise."""
        terms = self.terms
        return bool(np.all((self.x >= terms.lower) & (self.x <= terms.upper)))


def setting(case: Case) -> Setting:
    """The problem and the answer, checked. **Raises:** `Malformed`."""
    return case.shared("optimize.composite.setting", lambda: _setting(case))


def _setting(case: Case) -> Setting:
    if case.problem.kind != KIND:
        raise Malformed(f"no composite problem: {case.problem.kind}")
    parameters, arrays = case.problem.json, case.problem.arrays
    loss = parameters.get("loss")
    if loss not in LOSSES:
        raise Malformed(f"no loss {loss!r}")
    name, side = ("operator", "linear") if loss == "quadratic" else ("design", "target")
    columns = parameters.get("columns")
    if columns is not None and (type(columns) is not int or not 0 < columns < 2**31):
        raise Malformed("columns is no positive integer")
    matrix = matrix_of(arrays, name, columns=columns)
    target = real(arrays.get(side), side, 1)
    if target.size != matrix.shape[0] or min(matrix.shape) < 1:
        raise Malformed(f"{side} of {target.size} for a matrix {matrix.shape}")
    classes = _labels(loss, parameters, target)
    if loss == "quadratic" and matrix.shape[0] != matrix.shape[1]:
        raise Malformed(f"operator of shape {matrix.shape}")
    if loss == "quadratic" and not matrix.is_symmetric():
        raise Malformed("operator is not symmetric")
    n = matrix.shape[1] * classes
    x = real(case.value.get("coefficients"), "coefficients", 1)
    if x.size != n:
        raise Malformed(f"{x.size} coefficients, expected {n}")
    support = case.value.get("support")
    if support is None or support.dtype != np.bool_ or support.shape != (n,):
        raise Malformed(f"support is missing or no mask of {n}")
    if not np.array_equal(support, x != 0):
        wrong = int(np.flatnonzero(support != (x != 0))[0])
        raise Malformed(f"support does not state where x is not zero, at {wrong}")
    terms = _terms(loss, parameters, arrays, n)
    return Setting(loss, matrix, target, classes, terms, x, column_norms(matrix))


def _labels(loss: str, parameters: dict, target: np.ndarray) -> int:
    if loss == "logistic" and not np.all(np.abs(target) == 1.0):
        raise Malformed("labels must be -1 or 1")
    if loss != "softmax":
        return 1
    classes = parameters.get("classes")
    if type(classes) is not int or not 2 <= classes <= 2**20:
        raise Malformed("classes must be an integer >= 2")
    whole = (target == np.floor(target)) & (target >= 0) & (target < classes)
    if not np.all(whole):
        raise Malformed(f"labels must be whole numbers below {classes}")
    return classes


def _terms(loss: str, parameters: dict, arrays, n: int) -> Terms:
    penalty = parameters.get("penalty")
    if penalty not in PENALTIES:
        raise Malformed(f"no penalty {penalty!r}")
    weighted, low, high = PENALTIES[penalty]
    zero = np.zeros(n)
    strength = _numbers("strength", parameters, arrays, n) if weighted else zero
    if penalty == "box":
        lower = _numbers("lower", parameters, arrays, n, bound=True)
        upper = _numbers("upper", parameters, arrays, n, bound=True)
    else:
        lower, upper = np.full(n, low), np.full(n, high)
    if np.any(lower > upper):
        raise Malformed("a lower bound exceeds its upper bound")
    ridge = zero
    if loss in ("logistic", "softmax") and ("l2" in parameters or "l2" in arrays):
        ridge = _numbers("l2", parameters, arrays, n)
    return Terms(strength, lower, upper, ridge)


def _numbers(name: str, parameters: dict, arrays, n: int, bound=False) -> np.ndarray:
    """(n,), from one number or n of them; >= 0 and finite unless they are bounds."""
    given = arrays.get(name)
    if given is None:
        number = parameters.get(name)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise Malformed(f"{name} is missing or no number")
        given = np.asarray(float(number))
    if given.dtype != np.float64 or given.shape not in ((), (n,)):
        raise Malformed(f"{name}: {given.dtype} of shape {given.shape}")
    if np.any(np.isnan(given)):
        raise Malformed(f"{name} has NaN")
    if not bound and not (np.all(given >= 0) and np.all(np.isfinite(given))):
        raise Malformed(f"{name} must be finite and >= 0")
    return np.broadcast_to(given, (n,))


def norm(vector: np.ndarray) -> float:
    """Upper bound on the Euclidean norm."""
    flat = np.asarray(vector).reshape(-1)
    square = float(flat @ flat) * (1 + gamma(flat.size + 4))
    return math.sqrt(square) * (1 + 4 * U) + math.sqrt(flat.size) * SMALLEST


def total(values: np.ndarray) -> float:
    """Upper bound on the sum of numbers >= 0."""
    return float(np.sum(values)) * (1 + gamma(values.size + 2))


def column_norms(matrix: Matrix) -> np.ndarray:
    """Upper bounds on the Euclidean norms of the columns."""
    m, n = matrix.shape
    if matrix.is_dense:
        squares = np.einsum("ij,ij->j", matrix.dense(), matrix.dense())
    else:
        squares = np.bincount(matrix.indices, np.square(matrix.data), n)
    return np.sqrt(squares * (1 + gamma(m + 4)) + m * TINY) * (1 + 2 * U)


def image(matrix: Matrix, x: np.ndarray) -> Product:
    """A x and its error; only the columns that x uses are read."""
    used = np.flatnonzero(x)
    if not matrix.is_dense or used.size > 0.5 * x.size:
        return matrix.product(x)
    part, values = matrix.dense()[:, used], x[used]
    size = np.abs(part) @ np.abs(values)
    error = gamma(used.size + 2) * size + (used.size + 2) * TINY
    return Product(part @ values, error)


def pulled(at: Setting, theta: np.ndarray, slip: float) -> Product:
    """A^T theta, (n,), and its error, for every theta within `slip` of the one given.

    theta is (m,) or (m, classes); |a_f|^T |theta| <= ||a_f|| ||theta|| serves for the
    rounding: no pass over |A| is needed.
    """
    columns, m = theta.reshape(theta.shape[0], -1), at.matrix.shape[0]
    value = at.matrix.pulled(columns)
    sizes = np.array([norm(column) for column in columns.T])
    error = at.norms[:, None] * (gamma(m + 3) * sizes)[None, :] + (m + 2) * TINY
    error = error + at.norms[:, None] * (slip * (1 + 4 * U))
    return Product(value.reshape(-1), error.reshape(-1) * (1 + 4 * U))
