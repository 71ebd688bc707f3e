"""Measurements named by pairs of indices: entries, and Fourier coefficients."""

from typing import Any, ClassVar, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int64

from ..core import AnyArray, InvalidProblem
from ._sensing_operators import (
    AbstractSensingOperator,
    Shape,
    positive_pair,
    require_part,
)


class AbstractIndexedOperator(AbstractSensingOperator):
    """An operator given by pairs of indices into an (n1, n2) grid."""

    rows: int = eqx.field(static=True)
    columns: int = eqx.field(static=True)
    row_index: Int64[AnyArray, " q"]
    column_index: Int64[AnyArray, " q"]

    def __init__(self, shape: Shape, row_index: Any, column_index: Any):
        self.rows, self.columns = positive_pair(self, shape)
        self.row_index = _whole(self, "row_index", row_index)
        self.column_index = _whole(self, "column_index", column_index)

    @property
    def shape(self) -> Shape:
        """(n1, n2)."""
        return self.rows, self.columns

    def validate(self) -> None:
        for field, size in (("row_index", self.rows), ("column_index", self.columns)):
            index = getattr(self, field)
            require_part(self, field, index.ndim == 1 and index.size > 0, "shape (q,)")
            inside = np.all((index >= 0) & (index < size))
            require_part(self, field, inside, f"indices in [0, {size})")
        same = self.row_index.shape == self.column_index.shape
        require_part(self, "column_index", same, f"shape {self.row_index.shape}")
        flat = np.sort(self.row_index * self.columns + self.column_index)
        twice = bool(np.any(np.diff(flat) == 0))
        require_part(self, "row_index", not twice, "each pair once")

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        index = {
            "row_index": np.asarray(self.row_index, dtype="<i8"),
            "column_index": np.asarray(self.column_index, dtype="<i8"),
        }
        return {"rows": self.rows, "columns": self.columns}, index

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        shape = (parameters.pop("rows"), parameters.pop("columns"))
        return cls(shape, arrays.pop("row_index"), arrays.pop("column_index"))

    def _scattered(self, values: Any) -> Any:
        grid = jnp.zeros(self.shape, values.dtype)
        return grid.at[self.row_index, self.column_index].set(
            values, unique_indices=True, mode="promise_in_bounds"
        )


@final
class MaskOperator(AbstractIndexedOperator):
    """Some entries of the matrix: completion. Spiky matrices are not recoverable.

    **Fields:** `shape` (n1, n2); `row_index`, `column_index` (q,), each pair once.
    """

    name: ClassVar[str] = "mask"

    def __init__(self, shape: Shape, row_index: Any, column_index: Any):
        super().__init__(shape, row_index, column_index)

    @property
    def count(self) -> int:
        """The number of entries seen."""
        return self.row_index.shape[0]

    def apply(self, matrix: Any) -> Any:
        return matrix[self.row_index, self.column_index]

    def adjoint(self, residual: Any) -> Array:
        return self._scattered(residual)

    def scale(self, used: int) -> float:
        return self.rows * self.columns / used


@final
class FourierOperator(AbstractIndexedOperator):
    """Some coefficients of the two-dimensional discrete Fourier transform.

    Coefficient (k, l) is sum_pq M_pq exp(-2 pi i (k p / n1 + l q / n2)), as `fft2`. The
    measurements are the real parts of all chosen ones, then the imaginary parts.

    **Fields:** `shape` (n1, n2); `row_index` k, `column_index` l, (q,), each pair once.
    """

    name: ClassVar[str] = "fourier"

    def __init__(self, shape: Shape, row_index: Any, column_index: Any):
        super().__init__(shape, row_index, column_index)

    @property
    def count(self) -> int:
        """Twice the number of coefficients."""
        return 2 * self.row_index.shape[0]

    def apply(self, matrix: Any) -> Any:
        if isinstance(matrix, np.ndarray):
            chosen = np.fft.fft2(matrix)[self.row_index, self.column_index]
            return np.concatenate([chosen.real, chosen.imag])
        chosen = jnp.fft.fft2(_row_major(matrix))[self.row_index, self.column_index]
        return jnp.concatenate([chosen.real, chosen.imag])

    def adjoint(self, residual: Any) -> Array:
        half = self.row_index.shape[0]
        grid = self._scattered(residual[:half] + 1j * residual[half:])
        return _row_major(jnp.fft.ifft2(_row_major(grid)).real) * grid.size

    def scale(self, used: int) -> float:
        return 2.0 / used


def _row_major(matrix: Array) -> Array:
    """The same matrix, copied: XLA's Fourier transform on the CPU fails where a
    decomposition nearby wants columns first, and a gather is what it does not see
    through.
    """
    flat = matrix.reshape(-1)
    same = flat.at[jnp.arange(flat.size)].get(mode="promise_in_bounds")
    return same.reshape(matrix.shape)


def _whole(operator: AbstractSensingOperator, field: str, index: Any) -> np.ndarray:
    array = np.asarray(index)
    if array.dtype.kind == "f" and np.all(array == np.rint(array)):
        array = array.astype(np.int64)  # a table of numbers from a text file
    if array.dtype.kind not in "iu":
        where = f"{type(operator).__name__}.{field}"
        raise InvalidProblem(where, "integers", f"{array.dtype}")
    return array.astype(np.int64)
