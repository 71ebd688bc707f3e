"""Sparse matrices for compiled products: the layout is chosen on the host, once.

Compressed rows are what travels; products use diagonals where there are few of them,
else padded rows stored transposed, entry k of every row beside its neighbours, so that
each of the k gathers is one long loop. Entries of overlong rows are summed apart.

Source: Saad, Iterative Methods for Sparse Linear Systems (2003), section 3.4 (diagonal
and Ellpack-Itpack formats); Bell and Garland, SC 2009 (the hybrid format).
"""

from collections.abc import Callable
from typing import Any, ClassVar, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import Array

from ..core import AnyArray, InvalidArgument, TooLarge, is_concrete

_DIAGONALS = 32  # at most so many are stored as such
_UNROLLED = 32  # padded columns in one fused loop; beyond, a compiled loop over them
_APART = 4  # an entry summed apart costs about as much as so many padded ones
_DENSE_ENTRIES = 2**25


class _Diagonals(eqx.Module):
    """Row i of diagonal k holds A[i, i + offsets[k]], 0 outside the matrix."""

    values: AnyArray
    places: AnyArray
    offsets: tuple[int, ...] = eqx.field(static=True)

    def product(self, x: Array, rows: int) -> Array:
        before = max(0, -min(self.offsets, default=0))
        after = max(0, rows + max(self.offsets, default=0) - x.shape[0])
        padded = jnp.concatenate([jnp.zeros(before), x, jnp.zeros(after)])
        total = jnp.zeros(rows)
        for value, offset in zip(self.values, self.offsets, strict=True):
            start = before + offset
            total = total + value * jax.lax.slice(padded, (start,), (start + rows,))
        return total

    def transposed(self, y: Array, columns: int) -> Array:
        total = jnp.zeros(columns)
        rows = y.shape[0]
        for value, offset in zip(self.values, self.offsets, strict=True):
            first, last = max(0, -offset), min(rows, columns - offset)
            part = (value * y)[first:last]
            total = total.at[first + offset : last + offset].add(part)
        return total

    def diagonal(self, size: int) -> Array:
        if 0 not in self.offsets:
            return jnp.zeros(size)
        return jnp.asarray(self.values)[self.offsets.index(0), :size]


class _PaddedRows(eqx.Module):
    """Entry k of row i is values[k, i], in column columns[k, i]; the rest apart."""

    values: AnyArray
    columns: AnyArray
    places: AnyArray
    apart_values: AnyArray
    apart_rows: AnyArray
    apart_columns: AnyArray
    apart_places: AnyArray

    def product(self, x: Array, rows: int) -> Array:
        width = self.values.shape[0]
        if width <= _UNROLLED:
            total = jnp.zeros(rows)
            for k in range(width):
                total = total + self.values[k] * _take(x, self.columns[k])
        else:

            def add(k: Any, total: Array) -> Array:
                return total + self.values[k] * _take(x, self.columns[k])

            total = jax.lax.fori_loop(0, width, add, jnp.zeros(rows))
        if self.apart_values.shape[0]:
            parts = self.apart_values * _take(x, self.apart_columns)
            total = total + jax.ops.segment_sum(
                parts, self.apart_rows, rows, indices_are_sorted=True
            )
        return total

    def transposed(self, y: Array, columns: int) -> Array:

        def add(k: Any, total: Array) -> Array:
            return total.at[self.columns[k]].add(self.values[k] * y)

        total = jnp.zeros(columns)
        if self.values.shape[0]:
            total = jax.lax.fori_loop(0, self.values.shape[0], add, total)
        parts = self.apart_values * _take(y, self.apart_rows)
        return total.at[self.apart_columns].add(parts)

    def diagonal(self, size: int) -> Array:
        values, row = jnp.asarray(self.values), jnp.arange(self.values.shape[1])
        found = jnp.sum(jnp.where(self.columns == row, values, 0.0), axis=0)
        on = self.apart_columns == self.apart_rows
        found = found.at[self.apart_rows].add(jnp.where(on, self.apart_values, 0.0))
        return found[:size]


def _take(x: Any, where: Any) -> Array:
    return x.at[where].get(mode="promise_in_bounds")


@final
class SparseMatrix(eqx.Module):
    """A sparse real matrix, float64.

    **Fields:**

    - `data` (k,), `indices` (k,), `indptr` (n + 1,): compressed rows, columns
      ascending within a row, no column twice.
    - `shape`: (n, m).

    Made by `SparseMatrix.of`. Inside the driver `A @ x` (x of shape (m,) or (m, c)),
    `y @ A` and `diagonal()` are compiled; `scipy()`, `T` and `dense()` need the host.
    """

    data: AnyArray
    indices: AnyArray
    indptr: AnyArray
    layout: _Diagonals | _PaddedRows
    shape: tuple[int, int] = eqx.field(static=True)

    __array_ufunc__: ClassVar[None] = None  # so that `array @ matrix` comes here

    @classmethod
    def of(cls, matrix: Any) -> Self:
        """From a SciPy sparse matrix or a dense array, on the host.

        Duplicates are added; stored zeros are kept, since they belong to the pattern.

        **Raises:** `InvalidArgument` for what has no two axes or no real numbers.
        """
        if isinstance(matrix, cls):
            return matrix
        csr = _csr(matrix)
        arrays: Any = csr
        return cls._of(arrays.data, arrays.indices, arrays.indptr, arrays.shape)

    @classmethod
    def from_csr(cls, data: Any, indices: Any, indptr: Any, columns: int) -> Self:
        """From compressed rows that are well formed (see `malformed_csr`)."""
        return cls._of(
            np.asarray(data, np.float64),
            np.asarray(indices),
            np.asarray(indptr),
            (len(indptr) - 1, int(columns)),
        )

    @classmethod
    def _of(cls, data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> Self:
        indices = np.ascontiguousarray(indices, np.int64)
        indptr = np.ascontiguousarray(indptr, np.int64)
        layout = _layout(data, indices, indptr, shape)
        return cls(np.ascontiguousarray(data), indices, indptr, layout, shape)

    def with_data(self, data: Any) -> Self:
        """The same pattern with other entries (k,), traced or not."""
        padded = jnp.concatenate([jnp.asarray(data), jnp.zeros(1)])
        if is_concrete(data) and isinstance(self.data, np.ndarray):
            padded = np.concatenate([np.asarray(data, np.float64), [0.0]])
        layout, where = self.layout, (lambda a: a.data, lambda a: a.layout.values)
        parts = (data, padded[layout.places])
        if isinstance(layout, _PaddedRows):
            where = (*where, lambda a: a.layout.apart_values)
            parts = (*parts, padded[layout.apart_places])
        return eqx.tree_at(lambda a: [w(a) for w in where], self, list(parts))

    def __matmul__(self, x: Any) -> Any:
        if isinstance(self.data, np.ndarray) and isinstance(x, np.ndarray):
            return self.scipy() @ x
        x = jnp.asarray(x)
        if x.ndim == 2:
            return jax.vmap(self.__matmul__, in_axes=1, out_axes=1)(x)
        return self.layout.product(x, self.shape[0])

    def __rmatmul__(self, y: Any) -> Any:
        if isinstance(self.data, np.ndarray) and isinstance(y, np.ndarray):
            return y @ self.scipy()
        y = jnp.asarray(y)
        if y.ndim == 2:
            return jax.vmap(self.__rmatmul__)(y)
        return self.layout.transposed(y, self.shape[1])

    def absolute(self) -> Self:
        """The matrix of absolute values, in the same layout."""
        return self.entrywise(np.abs if isinstance(self.data, np.ndarray) else jnp.abs)

    def entrywise(self, function: Callable[[Any], Any]) -> Self:
        """The matrix of f(A_ij), in the same layout; f(0) must be 0."""
        layout = self.layout
        found = eqx.tree_at(
            lambda a: (a.data, a.layout.values),
            self,
            (function(self.data), function(layout.values)),
        )
        if isinstance(layout, _PaddedRows):
            apart = function(layout.apart_values)
            found = eqx.tree_at(lambda a: a.layout.apart_values, found, apart)
        return found

    def rows(self) -> Any:
        """Row index of every stored entry, (k,)."""
        if isinstance(self.indptr, np.ndarray):
            return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
        entries = jnp.arange(self.data.shape[0])
        return jnp.searchsorted(self.indptr, entries, side="right") - 1

    def diagonal(self) -> Any:
        """A_ii, shape (min(n, m),), 0 where nothing is stored."""
        if isinstance(self.data, np.ndarray):
            return self.scipy().diagonal()
        return self.layout.diagonal(min(self.shape))

    @property
    def width(self) -> int:
        """Longest row; on the host."""
        return int(np.max(np.diff(np.asarray(self.indptr)), initial=0))

    @property
    def nnz(self) -> int:
        """Stored entries."""
        return int(self.data.shape[0])

    @property
    def T(self) -> Self:
        """The transpose; on the host."""
        return type(self).of(self.scipy().T)

    def scipy(self) -> sp.csr_array:
        """As `scipy.sparse.csr_array`; on the host."""
        arrays = (np.asarray(a) for a in (self.data, self.indices, self.indptr))
        found = sp.csr_array(tuple(arrays), shape=self.shape)
        found.has_canonical_format = True  # sorted, no column twice
        return found

    def dense(self) -> np.ndarray:
        """As an array (n, m). **Raises:** `TooLarge` beyond 2^25 entries."""
        if self.shape[0] * self.shape[1] > _DENSE_ENTRIES:
            size = " x ".join(map(str, self.shape))
            raise TooLarge(f"a dense {size} array; use the sparse matrix itself")
        return self.scipy().toarray()


def _csr(matrix: Any) -> sp.csr_array:
    if not sp.issparse(matrix):
        matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        got = f"shape {matrix.shape}, {matrix.dtype}"
        raise InvalidArgument("SparseMatrix.of", "a real matrix (n, m)", got)
    csr = sp.csr_array(matrix, dtype=np.float64)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def malformed_csr(data: Any, indices: Any, indptr: Any, columns: int) -> str | None:
    """What is wrong with compressed rows, as a phrase, or None."""
    if data.ndim != 1 or indices.shape != data.shape:
        return f"{data.shape} entries with {indices.shape} column indices"
    if indptr.ndim != 1 or not indptr.size or indptr[0] != 0:
        return "row pointers that do not start at 0"
    if indptr[-1] != data.size or np.any(np.diff(indptr) < 0):
        return "row pointers that do not rise to the number of entries"
    if indices.size and not (indices.min() >= 0 and indices.max() < columns):
        return f"column indices outside 0 .. {columns - 1}"
    first = np.zeros(indices.size + 1, bool)
    first[indptr[:-1]] = True
    if np.any((np.diff(indices) <= 0) & ~first[1:-1]):
        return "columns that do not ascend within a row"
    return None


def _layout(data: Any, indices: Any, indptr: Any, shape: Any) -> Any:
    rows = np.repeat(np.arange(shape[0], dtype=np.int32), np.diff(indptr))
    columns = indices.astype(np.int32)
    offsets = _offsets(columns - rows, shape)
    if offsets is not None:
        return _as_diagonals(data, rows, columns, offsets, shape[0])
    return _as_padded_rows(data, rows, columns, indptr, shape)


def _offsets(distance: np.ndarray, shape: tuple[int, int]) -> np.ndarray | None:
    """The occupied diagonals, where storing them in full is worth it."""
    found = np.unique(distance[:1000])
    if found.size > _DIAGONALS:  # most matrices are told apart here
        return None
    occupied = np.zeros(sum(shape) + 1, bool)
    occupied[distance + shape[0]] = True
    found = np.flatnonzero(occupied) - shape[0]
    worth = found.size <= _DIAGONALS and found.size * shape[0] <= 2 * distance.size
    return found if worth and found.size else None


def _as_diagonals(data, rows, columns, offsets, n) -> _Diagonals:
    values = np.zeros((offsets.size, n))
    places = np.full((offsets.size, n), data.size, np.int32)
    which = np.zeros(int(offsets[-1] - offsets[0]) + 1, np.int32)
    which[offsets - offsets[0]] = np.arange(offsets.size)
    k = which[columns - rows - offsets[0]]
    values[k, rows] = data
    places[k, rows] = np.arange(data.size)
    return _Diagonals(values, places, tuple(int(o) for o in offsets))


def _as_padded_rows(data, rows, columns, indptr, shape) -> _PaddedRows:
    lengths = np.diff(indptr)
    width = _best_width(lengths)
    within = np.arange(data.size) - np.repeat(indptr[:-1], lengths)
    inside = within < width
    padded = np.zeros((width, shape[0]))
    where = np.zeros((width, shape[0]), np.int32)
    places = np.full((width, shape[0]), data.size, np.int32)
    k, i = within[inside], rows[inside]
    padded[k, i], where[k, i] = data[inside], columns[inside]
    places[k, i] = np.flatnonzero(inside)
    apart = np.flatnonzero(~inside)
    return _PaddedRows(
        padded,
        where,
        places,
        data[apart],
        rows[apart],
        columns[apart],
        apart.astype(np.int32),
    )


def _best_width(lengths: np.ndarray) -> int:
    """The w that makes n w + apart(w) cheapest, apart(w) the entries beyond it."""
    if not lengths.size:
        return 0
    counts = np.bincount(lengths)
    longer = lengths.size - np.cumsum(counts)  # rows longer than w
    apart = np.concatenate([np.cumsum(longer[::-1])[::-1], [0]])[: counts.size]
    cost = lengths.size * np.arange(counts.size) + _APART * apart
    return int(np.argmin(cost))
