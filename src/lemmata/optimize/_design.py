"""Design matrices by which losses see their data: products, and blocks of columns.

Each answers the same questions, traced or not; a block is an array of column numbers in
which `n`, the number of columns, stands for "no column".
"""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float64, Int64

from ..core import AnyArray, array64
from ..numerics.sparse import SparseMatrix


class AbstractDesign(eqx.Module):
    """A real matrix A, (m, n)."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """(m, n)."""

    @abc.abstractmethod
    def product(self, x: Any) -> Array:
        """A x; x (n,) or (n, k)."""

    @abc.abstractmethod
    def transposed(self, r: Any) -> Array:
        """A^T r; r (m,) or (m, k)."""

    @abc.abstractmethod
    def columns(self, block: Any) -> Array:
        """A_b, dense (m, |b|); zero where the block has no column."""

    @abc.abstractmethod
    def block_product(self, block: Any, change: Any) -> Array:
        """A_b d, (m,) or, for d of shape (|b|, k), (m, k)."""

    @abc.abstractmethod
    def squared_norms(self) -> Array:
        """||a_j||^2, (n,)."""

    @abc.abstractmethod
    def absolute_product(self) -> Array:
        """|A|^T |A| 1, (n,): bounds the row sums of |A^T A|."""

    @abc.abstractmethod
    def absolute_sums(self) -> Array:
        """|A| 1, (m,)."""

    @abc.abstractmethod
    def diagonal(self) -> Array:
        """A_ii of a square matrix, (n,)."""

    @abc.abstractmethod
    def host(self) -> np.ndarray | scipy.sparse.csr_array:
        """A outside JAX."""


@final
class DenseDesign(AbstractDesign):
    """A stored in full."""

    values: Float64[AnyArray, "m n"]

    @property
    def shape(self) -> tuple[int, int]:
        m, n = np.shape(self.values)
        return m, n

    def product(self, x: Any) -> Array:
        return jnp.asarray(self.values) @ x

    def transposed(self, r: Any) -> Array:
        # r @ A streams the rows; XLA's A.T @ r takes twice the time.
        r = jnp.asarray(r)
        return (r.T @ self.values).T if r.ndim == 2 else r @ self.values

    def columns(self, block: Any) -> Array:
        # "fill" gives zero beyond the last column.
        return jnp.take(
            jnp.asarray(self.values), block, axis=1, mode="fill", fill_value=0.0
        )

    def block_product(self, block: Any, change: Any) -> Array:
        return self.columns(block) @ change

    def squared_norms(self) -> Array:
        # Row by row: XLA's own reduction along columns takes twenty times as long.
        a = jnp.asarray(self.values)

        def add(i: Any, total: Array) -> Array:
            return total + jnp.square(a[i])

        return jax.lax.fori_loop(0, a.shape[0], add, jnp.zeros(a.shape[1]))

    def absolute_product(self) -> Array:
        size = jnp.abs(jnp.asarray(self.values))
        return jnp.sum(size, axis=1) @ size

    def absolute_sums(self) -> Array:
        return jnp.sum(jnp.abs(jnp.asarray(self.values)), axis=1)

    def diagonal(self) -> Array:
        return jnp.diagonal(jnp.asarray(self.values))

    def host(self) -> np.ndarray:
        return np.asarray(self.values)


@final
class SparseDesign(AbstractDesign):
    """A by its entries.

    Products go through the layouts of `SparseMatrix`, of A and of its transpose; blocks
    of columns are read from compressed columns, of whatever lengths.
    """

    forward: SparseMatrix
    backward: SparseMatrix
    data: Float64[AnyArray, " k"]
    rows: Int64[AnyArray, " k"]
    starts: Int64[AnyArray, " n1"]
    longest: int = eqx.field(static=True)

    @classmethod
    def of(cls, matrix: Any) -> "SparseDesign":
        """From any SciPy sparse matrix; duplicates are added, zeros kept."""
        rows = scipy.sparse.csr_array(matrix, dtype=np.float64)
        rows.sum_duplicates()
        columns = scipy.sparse.csc_array(rows)
        columns.sort_indices()
        counts = np.diff(columns.indptr)
        return cls(
            SparseMatrix.of(rows),
            SparseMatrix.of(scipy.sparse.csr_array(rows.T)),
            np.asarray(columns.data, np.float64),
            np.asarray(columns.indices, np.int64),
            np.asarray(columns.indptr, np.int64),
            max(int(counts.max(initial=0)), 1),
        )

    @property
    def shape(self) -> tuple[int, int]:
        m, n = self.forward.shape
        return m, n

    def product(self, x: Any) -> Array:
        return self.forward @ jnp.asarray(x)

    def transposed(self, r: Any) -> Array:
        return self.backward @ jnp.asarray(r)

    def columns(self, block: Any) -> Array:
        values, rows = self._entries(block)
        width = jnp.shape(block)[0]
        place = jnp.broadcast_to(jnp.arange(width)[:, None], rows.shape)
        out = jnp.zeros((self.shape[0], width))
        return out.at[rows, place].add(values, mode="drop")

    def block_product(self, block: Any, change: Any) -> Array:
        values, rows = self._entries(block)
        change = jnp.asarray(change)
        out = jnp.zeros((self.shape[0], *change.shape[1:]))
        if change.ndim == 2:
            added = values[:, :, None] * change[:, None, :]
        else:
            added = values * change[:, None]
        return out.at[rows].add(added, mode="drop")

    def _entries(self, block: Any) -> tuple[Array, Array]:
        """Values and rows, (|b|, longest): padded by zeros in row m."""
        m, n = self.shape
        starts, inside = jnp.asarray(self.starts), jnp.asarray(block) < n
        first = jnp.take(starts, block, mode="clip")
        last = jnp.where(inside, jnp.take(starts, block + 1, mode="clip"), first)
        place = first[:, None] + jnp.arange(self.longest)[None, :]
        real = place < last[:, None]
        data, rows = jnp.asarray(self.data), jnp.asarray(self.rows)
        if data.shape[0] == 0:
            return jnp.zeros(place.shape), jnp.full(place.shape, m)
        values = jnp.where(real, jnp.take(data, place, mode="clip"), 0.0)
        return values, jnp.where(real, jnp.take(rows, place, mode="clip"), m)

    def squared_norms(self) -> Array:
        return self.backward.entrywise(jnp.square) @ jnp.ones(self.shape[0])

    def absolute_product(self) -> Array:
        return self.backward.entrywise(jnp.abs) @ self.absolute_sums()

    def absolute_sums(self) -> Array:
        return self.forward.entrywise(jnp.abs) @ jnp.ones(self.shape[1])

    def diagonal(self) -> Array:
        return jnp.asarray(self.forward.diagonal())

    def host(self) -> scipy.sparse.csr_array:
        return self.forward.scipy()


def as_design(matrix: Any) -> Any:
    """A design of an array, a SciPy sparse matrix or a design.

    Whatever is neither passes as a `DenseDesign`, for the problem's `validate` to
    refuse by name.
    """
    if isinstance(matrix, AbstractDesign):
        return matrix
    if scipy.sparse.issparse(matrix):
        return SparseDesign.of(matrix)
    if isinstance(matrix, SparseMatrix):
        return SparseDesign.of(matrix.scipy())
    return DenseDesign(array64(matrix))
