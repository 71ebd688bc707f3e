"""Linear measurements of a matrix: m numbers <A_i, M>, never as an m x n1 n2 array.

Every operator knows the factor `scale` with which its normal operator A*A is near the
identity on the matrices of interest (restricted isometry): scale A*A ~ I.
"""

import abc
import math
from typing import Any, ClassVar, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from ..core import AnyArray, InvalidProblem, array64

Shape = tuple[int, int]


class AbstractSensingOperator(eqx.Module):
    """What is measured of a matrix of shape (n1, n2); part of a problem."""

    name: ClassVar[str]

    @property
    @abc.abstractmethod
    def count(self) -> int:
        """Number m of measurements."""

    @property
    @abc.abstractmethod
    def shape(self) -> Shape:
        """(n1, n2)."""

    @abc.abstractmethod
    def apply(self, matrix: Any) -> Any:
        """A(M) with entries <A_i, M>, shape (m,); M is (n1, n2)."""

    @abc.abstractmethod
    def adjoint(self, residual: Any) -> Any:
        """A*(r) = sum_i r_i A_i, shape (n1, n2)."""

    @abc.abstractmethod
    def validate(self) -> None:
        """Checks the operator's own data. Raises `InvalidProblem`."""

    @abc.abstractmethod
    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Parameters and arrays of the packed problem."""

    @classmethod
    @abc.abstractmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        """Inverse of `pack`; takes what it knows out of both."""

    def scale(self, used: int) -> float:
        """Factor on A*A, where the first `used` measurements take part."""
        return 1.0 / used

    def residual_and_gradient(
        self, matrix: Any, measurements: Any, used: int
    ) -> tuple[Any, Any]:
        """(||r||^2, scale A*(r)) for r = A(M) - y, the first `used` rows only."""
        r = self.apply(matrix) - measurements
        if used < self.count:
            r = jnp.where(jnp.arange(self.count) < used, r, 0.0)
        return jnp.sum(r * r), self.scale(used) * self.adjoint(r)


@final
class IdentityOperator(AbstractSensingOperator):
    """The matrix itself, row by row: the population case, and factorisation.

    **Fields:** `shape` (n1, n2).
    """

    name: ClassVar[str] = "identity"
    rows: int = eqx.field(static=True)
    columns: int = eqx.field(static=True)

    def __init__(self, shape: Shape):
        self.rows, self.columns = positive_pair(self, shape)

    @property
    def shape(self) -> Shape:
        """(n1, n2)."""
        return self.rows, self.columns

    @property
    def count(self) -> int:
        """n1 n2."""
        return self.rows * self.columns

    def apply(self, matrix: Any) -> Any:
        return matrix.reshape(-1)

    def adjoint(self, residual: Any) -> Any:
        return residual.reshape(self.shape)

    def scale(self, used: int) -> float:
        return self.count / used

    def validate(self) -> None:
        pass

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"rows": self.rows, "columns": self.columns}, {}

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        del arrays
        return cls((parameters.pop("rows"), parameters.pop("columns")))


@final
class DenseOperator(AbstractSensingOperator):
    """Any measurement matrices, stored.

    **Fields:** `matrices` A_i, shape (m, n1, n2), float64. Step sizes assume that
    A*A / m is near the identity, as for independent entries of variance 1.
    """

    name: ClassVar[str] = "dense"
    matrices: Float64[AnyArray, "m n1 n2"] = eqx.field(converter=array64)

    @property
    def shape(self) -> Shape:
        """(n1, n2)."""
        return self.matrices.shape[1], self.matrices.shape[2]

    @property
    def count(self) -> int:
        """The number of matrices."""
        return self.matrices.shape[0]

    def apply(self, matrix: Any) -> Any:
        return self.matrices.reshape(self.count, -1) @ matrix.reshape(-1)

    def adjoint(self, residual: Any) -> Any:
        flat = residual @ self.matrices.reshape(self.count, -1)
        return flat.reshape(self.shape)

    def validate(self) -> None:
        require_part(self, "matrices", np.ndim(self.matrices) == 3, "shape (m, n1, n2)")
        require_part(self, "matrices", self.matrices.size > 0, "at least one entry")
        require_finite(self, "matrices")

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {}, {"matrices": as_f8(self.matrices)}

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        del parameters
        return cls(arrays.pop("matrices"))


@final
class RankOneOperator(AbstractSensingOperator):
    """Measurements a_i' M b_i, as in tomography or phase-less imaging.

    **Fields:** `left` a_i, shape (m, n1); `right` b_i, shape (m, n2); without `right`,
    b_i = a_i, and M must be square. Independent standard normal a_i and b_i are
    isotropic; with b_i = a_i the trace of M is weighted more than the rest.
    """

    name: ClassVar[str] = "rank_one"
    left: Float64[AnyArray, "m n1"]
    right: Float64[AnyArray, "m n2"]

    def __init__(self, left: Any, right: Any = None):
        self.left = array64(left)
        self.right = self.left if right is None else array64(right)

    @property
    def shape(self) -> Shape:
        """(n1, n2)."""
        return self.left.shape[1], self.right.shape[1]

    @property
    def count(self) -> int:
        """The number of vectors."""
        return self.left.shape[0]

    def apply(self, matrix: Any) -> Any:
        return ((self.left @ matrix) * self.right).sum(axis=1)

    def adjoint(self, residual: Any) -> Any:
        return (self.left * residual[:, None]).T @ self.right

    def validate(self) -> None:
        for field in ("left", "right"):
            array = getattr(self, field)
            require_part(self, field, np.ndim(array) == 2, "shape (m, n)")
            require_part(self, field, np.size(array) > 0, "at least one entry")
            require_finite(self, field)
        same = len(self.left) == len(self.right)
        require_part(self, "right", same, f"{len(self.left)} vectors, one per measure")

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {}, {
            "left_vectors": as_f8(self.left),
            "right_vectors": as_f8(self.right),
        }

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        del parameters
        return cls(arrays.pop("left_vectors"), arrays.pop("right_vectors", None))


def require_part(
    operator: AbstractSensingOperator, field: str, good: Any, expected: str
) -> None:
    """Raises `InvalidProblem` naming the operator's field."""
    if not bool(good):
        got = getattr(operator, field)
        got = f"shape {np.shape(got)}" if np.ndim(got) else got
        raise InvalidProblem(f"{type(operator).__name__}.{field}", expected, got)


def require_finite(operator: AbstractSensingOperator, field: str) -> None:
    """The same for an array of finite real numbers."""
    array = getattr(operator, field)
    where = f"{type(operator).__name__}.{field}"
    if getattr(array, "dtype", None) != np.float64:
        raise InvalidProblem(where, "real numbers", getattr(array, "dtype", array))
    if not math.isfinite(float(np.sum(np.abs(array)))):
        bad = int(np.sum(~np.isfinite(array)))
        raise InvalidProblem(where, "finite entries", f"{bad} not finite")


def as_f8(array: Any) -> np.ndarray:
    """Contiguous little-endian float64."""
    return np.ascontiguousarray(array, dtype="<f8")


def positive_pair(operator: AbstractSensingOperator, shape: Any) -> Shape:
    sizes: tuple[Any, ...] = tuple(shape) if isinstance(shape, tuple | list) else ()
    whole = len(sizes) == 2 and all(
        isinstance(n, int | np.integer) and n > 0 for n in sizes
    )
    if not whole:
        where = f"{type(operator).__name__}.shape"
        raise InvalidProblem(where, "two positive integers (n1, n2)", shape)
    return int(sizes[0]), int(sizes[1])
