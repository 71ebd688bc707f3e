"""A x = b with A symmetric positive definite: the problem, and what an answer is worth.

Source: Saad, Iterative Methods for Sparse Linear Systems (2003); the error bound by a
positive vector is Collatz's, Math. Z. 48 (1942), for matrices without positive entries
off the diagonal (Varga, Matrix Iterative Analysis (2000), section 2.1).
"""

import abc
from typing import Any, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import Array

from lemmata_checker import Packed

from ..core import (
    AbstractProblem,
    AbstractValue,
    AnyArray,
    Claim,
    InvalidArgument,
    Withheld,
    array64,
    require,
)
from ..numerics.sparse import SparseMatrix
from ._function import LinearFunction as LinearFunction, recorded_claims
from ._operator import as_operator, unpack_operator, validate_operator

Real = float | AnyArray
"""An option or tolerance: a Python float outside, a float64 array in the driver."""

_U = 2.0**-53


@final
class LinearSolution(AbstractValue):
    """x, shape (n,), and where it was computed a positive vector for the error bound.

    **Fields:**

    - `x`: float64, in units of b / A.
    - `positive_vector`: v > 0 with A v > 0, shape (n,), or None.

    `np.asarray(solution)` is x.
    """

    x: AnyArray
    positive_vector: AnyArray | None = None

    def pack(self) -> dict[str, np.ndarray]:
        arrays = {"solution": np.asarray(self.x)}
        v = self.positive_vector
        if v is not None and np.all(np.asarray(v) > 0):  # zeros: none was found
            arrays["positive_vector"] = np.asarray(v)
        return arrays

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.x, dtype=dtype, copy=copy)


class AbstractLinearProblem(AbstractProblem):
    """Find x with A x = b, A symmetric positive definite, to a relative residual.

    **Fields of every such problem:** `rhs`: b, shape (n,), float64; `rtol`: the answer
    is good if ||b - A x|| <= rtol ||b||, in the Euclidean and in the maximum norm.
    """

    rhs: eqx.AbstractVar[Any]
    rtol: eqx.AbstractVar[Real]

    @property
    def size(self) -> int:
        """n, the number of unknowns."""
        return self.rhs.shape[0]

    @abc.abstractmethod
    def apply(self, x: Any) -> Any:
        """A x, shape (n,) to (n,), traced or not."""

    @abc.abstractmethod
    def diagonal(self) -> Any:
        """A_ii, shape (n,), positive (1 where nothing is stored)."""

    @abc.abstractmethod
    def matrix(self) -> sp.csr_array:
        """A in compressed rows, on the host only: for factorisations and peers."""

    def rounding(self, x: Any) -> Any:
        """What the judge adds for rounding to |b - A x|, shape (n,); 0 if unknown."""
        return jnp.zeros_like(x)

    def default_method(self) -> Any:
        from ._conjugate_gradients import ConjugateGradients

        return ConjugateGradients()

    def value_from(self, arrays: dict[str, np.ndarray]) -> LinearSolution:
        return LinearSolution(arrays["solution"], arrays.get("positive_vector"))

    def candidate(self, *, x: Any, positive_vector: Any = None) -> LinearSolution:
        """A value from elsewhere.

        **Arguments:**

        - `x`: the answer, shape (n,).
        - `positive_vector`: v > 0 with A v > 0, shape (n,), which bounds the error
          where A has no positive entry off the diagonal.

        **Raises:** `InvalidArgument` if a shape does not fit or v is not positive.
        """
        where = "candidate.positive_vector"
        v = self._vector(where, positive_vector)
        if v is not None and not np.all(v > 0):
            raise InvalidArgument(where, "> 0", f"a least entry of {np.min(v):.3g}")
        found = self._vector("candidate.x", x)
        if found is None:
            raise InvalidArgument("candidate.x", f"shape ({self.size},)", None)
        return LinearSolution(found, v)

    def _vector(self, where: str, value: Any) -> np.ndarray | None:
        if value is None:
            return None
        array = array64(value)
        if array.ndim == 2 and array.size == array.shape[0]:
            array = array.reshape(-1)  # one column of a table
        if array.shape != (self.size,) or array.dtype != np.float64:
            expected = f"real numbers of shape ({self.size},)"
            raise InvalidArgument(where, expected, f"{array.dtype} {array.shape}")
        return array


@final
class SPDSystem(AbstractLinearProblem):
    """Find x with A x = b, A symmetric positive definite.

    **Fields:**

    - `operator`: A, an array (n, n), a SciPy sparse matrix, a `SparseMatrix` or a
      `LinearFunction`; symmetric to the last bit, positive on the diagonal. In units
      of b / x.
    - `rhs`: b, shape (n,), float64.
    - `rtol`: the answer is good if ||b - A x|| <= rtol ||b||, in the Euclidean and in
      the maximum norm; in (0, 1).
    - `positive_vector`: v > 0 with A v > 0, shape (n,), if one is known: it bounds the
      error where A has no positive entry off the diagonal. None: the vector of ones
      is tried, or what a method found.

    Definiteness is not checked: no claim about the residual needs it.

    **Raises:** `InvalidProblem`.
    """

    operator: Any
    rhs: AnyArray
    rtol: Real
    positive_vector: AnyArray | None

    def __init__(
        self,
        operator: Any,
        rhs: Any,
        *,
        rtol: Real = 1e-8,
        positive_vector: Any = None,
    ):
        self.operator = as_operator(operator)
        self.rhs, self.rtol = array64(rhs), rtol
        self.positive_vector = (
            None if positive_vector is None else array64(positive_vector)
        )

    def validate(self) -> None:
        validate_operator(self, self.operator)
        n = self.operator.shape[0]
        self._validate_vector("rhs", self.rhs, n)
        rtol = self.rtol
        require(self, "rtol", 0 < rtol < 1, expected="in (0, 1)", got=rtol)
        if self.positive_vector is not None:
            self._validate_vector("positive_vector", self.positive_vector, n)
            least = float(np.min(self.positive_vector))
            got = f"a least entry of {least:.3g}"
            require(self, "positive_vector", least > 0, expected="> 0", got=got)

    def _validate_vector(self, field: str, vector: Any, n: int) -> None:
        real = vector.dtype == np.float64
        require(self, field, real, expected="real numbers", got=vector.dtype)
        fits = vector.shape == (n,)
        require(self, field, fits, expected=f"shape ({n},)", got=vector.shape)
        bad = int(np.sum(~np.isfinite(vector)))
        got = f"{bad} not finite"
        require(self, field, bad == 0, expected="finite entries", got=got)

    def apply(self, x: Any) -> Any:
        return self.operator @ x

    def diagonal(self) -> Any:
        if isinstance(self.operator, SparseMatrix | LinearFunction):
            return self.operator.diagonal()
        return jnp.diagonal(jnp.asarray(self.operator))

    def matrix(self) -> sp.csr_array:
        if isinstance(self.operator, SparseMatrix):
            return self.operator.scipy()
        if isinstance(self.operator, LinearFunction):
            got = "a LinearFunction, whose entries are unknown"
            raise InvalidArgument("SPDSystem.matrix", "a stored operator", got)
        return sp.csr_array(np.asarray(self.operator))

    def rounding(self, x: Array) -> Array:
        if isinstance(self.operator, LinearFunction):
            return jnp.zeros_like(x)
        if isinstance(self.operator, SparseMatrix):
            lengths = jnp.diff(jnp.asarray(self.operator.indptr))
            size = self.operator.absolute() @ jnp.abs(x)
            return 1.03 * _U * (lengths + 4.0) * size
        size = jnp.abs(jnp.asarray(self.operator)) @ jnp.abs(x)
        return 1.03 * _U * (self.size + 4.0) * size

    def pack(self) -> Packed:
        parameters: dict[str, Any] = {"rtol": float(self.rtol)}
        arrays = {"rhs": np.ascontiguousarray(self.rhs, dtype="<f8")}
        if self.positive_vector is not None:
            v = np.ascontiguousarray(self.positive_vector, dtype="<f8")
            arrays["positive_vector"] = v
        if isinstance(self.operator, LinearFunction):
            parameters |= self.operator.describe()
            return Packed("linear.spd_system/1", parameters, arrays)
        if isinstance(self.operator, SparseMatrix):
            arrays["operator_data"] = np.asarray(self.operator.data)
            arrays["operator_indices"] = np.asarray(self.operator.indices)
            arrays["operator_indptr"] = np.asarray(self.operator.indptr)
        else:
            arrays["operator"] = np.ascontiguousarray(self.operator, dtype="<f8")
        return Packed("linear.spd_system/1", parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        parameters, arrays = dict(parameters), dict(arrays)
        return cls(unpack_operator(cls, parameters, arrays), **arrays, **parameters)

    def claims(self, value: Any) -> tuple[Claim | Withheld, ...]:
        if isinstance(self.operator, LinearFunction):
            return recorded_claims(self, value)
        from ._enclosure import error_claim

        rtol = float(self.rtol)
        return (
            Claim("linear.residual/1", rtol),
            Claim("linear.residual_max/1", rtol),
            error_claim(self, value),
        )
