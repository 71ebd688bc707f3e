"""What an operator may be handed in as, and everything that is checked of it."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from ..core import InvalidProblem, array64, is_concrete, require
from ..numerics.sparse import SparseMatrix, malformed_csr
from ._function import LinearFunction

_PARTS = ("operator_data", "operator_indices", "operator_indptr")


def as_operator(operator: Any) -> Any:
    """Dense float64, `SparseMatrix` or `LinearFunction`; the rest is refused later."""
    if isinstance(operator, SparseMatrix | LinearFunction):
        return operator
    if sp.issparse(operator):
        real = operator.dtype.kind in "biuf" and operator.ndim == 2
        return SparseMatrix.of(operator) if real else operator
    return array64(operator)


def validate_operator(problem: Any, operator: Any) -> None:
    """Shape, finiteness, symmetry, diagonal. Raises `InvalidProblem`."""
    if isinstance(operator, LinearFunction):
        return _validate_function(problem, operator)
    field = "operator"
    if callable(operator) or getattr(operator, "dtype", np.dtype(float)).kind == "O":
        expected = "an array, a sparse matrix or LinearFunction(function, size)"
        got = type(operator).__name__
        return require(problem, field, False, expected=expected, got=got)
    shape, dtype = operator.shape, getattr(operator, "dtype", np.dtype(np.float64))
    real = isinstance(operator, SparseMatrix) or dtype == np.float64
    require(problem, field, real, expected="real numbers", got=dtype)
    square = len(shape) == 2 and shape[0] == shape[1] > 0
    require(problem, field, square, expected="shape (n, n), n > 0", got=shape)
    entries = operator.data if isinstance(operator, SparseMatrix) else operator
    bad = int(np.sum(~np.isfinite(entries)))
    got = f"{bad} not finite"
    require(problem, field, bad == 0, expected="finite entries", got=got)
    skew = asymmetry(operator)
    got = f"max|A - A.T| = {skew:.3g}"
    require(problem, field, skew == 0, expected="A = A.T exactly", got=got)
    _validate_diagonal(problem, operator.diagonal())


def _validate_diagonal(problem: Any, diagonal: np.ndarray) -> None:
    where = int(np.argmin(diagonal))
    got = f"{diagonal[where]:.3g} in row {where}"
    good = diagonal[where] > 0
    require(problem, "operator", good, expected="a positive diagonal", got=got)


def _validate_function(problem: Any, operator: LinearFunction) -> None:
    field = "operator"
    size = operator.size
    require(problem, field, size > 0, expected="a size > 0", got=size)
    given = operator.diagonal_entries
    if given is None:
        return
    fits = given.shape == (size,)
    expected = f"diagonal_entries of shape ({size},)"
    require(problem, field, fits, expected=expected, got=given.shape)
    good = bool(np.all(np.isfinite(given)))
    require(problem, field, good, expected="a finite diagonal", got="NaN or infinity")
    _validate_diagonal(problem, np.asarray(given))


def asymmetry(operator: Any) -> float:
    """max|A - A^T|, exactly 0 for a symmetric matrix."""
    if not isinstance(operator, SparseMatrix):
        return float(np.max(np.abs(operator - operator.T), initial=0.0))
    a = operator.scipy()
    b = a.T.tocsr()  # rows of A^T, columns ascending
    same = np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices)
    skew = np.abs(a.data - b.data) if same else abs(a - b).data
    return float(np.max(skew, initial=0.0))


def unpack_operator(kind: type, parameters: dict, arrays: dict) -> Any:
    """Takes the operator out of packed arrays; raises `InvalidProblem`."""
    if "function" in parameters:
        known = parameters.pop("function")
        return LinearFunction(
            None,
            known["size"],
            name=known["name"],
            source_digest=known["source_sha256"],
        )
    if "operator" in arrays:
        return arrays.pop("operator")
    missing = [name for name in _PARTS if name not in arrays]
    if missing:
        expected = "a matrix, or " + ", ".join(_PARTS)
        got = f"no {', '.join(missing)}"
        raise InvalidProblem(f"{kind.__name__}.operator", expected, got)
    data, indices, indptr = (arrays.pop(name) for name in _PARTS)
    wrong = malformed_csr(data, indices, indptr, indptr.size - 1)
    if wrong:
        where = f"{kind.__name__}.operator"
        raise InvalidProblem(where, "compressed rows, columns ascending", wrong)
    return SparseMatrix.from_csr(data, indices, indptr, indptr.size - 1)


def is_stored(operator: Any) -> bool:
    """Whether the entries are known here and now."""
    return not isinstance(operator, LinearFunction) and is_concrete(operator)
