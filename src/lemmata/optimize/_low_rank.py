"""A matrix in factored form: what matrix sensing answers with."""

from typing import Any, Self, final

import equinox as eqx
import numpy as np
from jaxtyping import Float64

from ..core import AbstractValue, AnyArray, InvalidArgument, TooLarge, array64

_LIMIT = 2**27  # entries: 1 GiB


@final
class LowRank(AbstractValue):
    """L R' of rank at most k.

    **Fields:** `left` L, shape (n1, k), and `right` R, shape (n2, k), float64. A
    symmetric positive semidefinite matrix has L = R.
    """

    left: Float64[AnyArray, "n1 k"] = eqx.field(converter=array64)
    right: Float64[AnyArray, "n2 k"] = eqx.field(converter=array64)

    @property
    def shape(self) -> tuple[int, int]:
        """(n1, n2)."""
        return self.left.shape[0], self.right.shape[0]

    @property
    def width(self) -> int:
        """The number of columns k of the factors, a bound on the rank."""
        return self.left.shape[1]

    def pack(self) -> dict[str, np.ndarray]:
        return {
            name: np.ascontiguousarray(getattr(self, name), dtype="<f8")
            for name in ("left", "right")
        }

    def matrix(self, limit: int = _LIMIT) -> np.ndarray:
        """L R', shape (n1, n2). Raises `TooLarge` above `limit` entries."""
        n1, n2 = self.shape
        if n1 * n2 > limit:
            raise TooLarge(
                f"{n1} x {n2} entries exceed limit={limit}; use @, or raise limit"
            )
        return np.asarray(self.left) @ np.asarray(self.right).T

    def __matmul__(self, other: Any) -> np.ndarray:
        """L (R' other): shape (n2,) or (n2, j) to (n1,) or (n1, j)."""
        return np.asarray(self.left) @ (np.asarray(self.right).T @ np.asarray(other))

    def singular_values(self) -> np.ndarray:
        """The k largest singular values of L R', decreasing."""
        left = np.linalg.qr(np.asarray(self.left)).R
        right = np.linalg.qr(np.asarray(self.right)).R
        return np.linalg.svd(left @ right.T, compute_uv=False)

    @classmethod
    def of(
        cls, matrix: Any, width: int | None = None, *, symmetric: bool = False
    ) -> Self:
        """The best approximation of a matrix by one of rank `width`, balanced factors.

        **Arguments:**

        - `matrix`: shape (n1, n2), finite.
        - `width`: None takes the numerical rank.
        - `symmetric`: L = R; negative eigenvalues are dropped.

        **Raises:** `InvalidArgument`.
        """
        matrix = array64(matrix)
        good = getattr(matrix, "ndim", 0) == 2 and np.all(np.isfinite(matrix))
        if not good or matrix.dtype != np.float64:
            expected = "a finite real matrix (n1, n2)"
            raise InvalidArgument("LowRank.of.matrix", expected, np.shape(matrix))
        if symmetric and matrix.shape[0] != matrix.shape[1]:
            raise InvalidArgument("LowRank.of.matrix", "a square matrix", matrix.shape)
        if symmetric:
            values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
            values, left = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
            right = left
        else:
            left, values, rows = np.linalg.svd(matrix, full_matrices=False)
            right = rows.T
        if width is None:
            width = max(1, int(np.sum(values > 1e-13 * max(matrix.shape) * values[0])))
        root = np.sqrt(values[:width])
        return cls(left[:, :width] * root, right[:, :width] * root)
