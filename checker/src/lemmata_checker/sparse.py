"""Packed matrices, dense or as compressed rows, and products with their rounding.

Source of the bounds: Higham, Accuracy and Stability of Numerical Algorithms (2002),
section 3.5: a sum of k products, in any order, errs by gamma_k sum |a_j x_j|.
"""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .errors import Malformed
from .rigor import TINY, gamma

MAX_DENSE = 2**25  # entries


class Product(NamedTuple):
    """`value` (n,), and `error` (n,) with |value - exact| <= error elementwise."""

    value: np.ndarray
    error: np.ndarray


def real(array: np.ndarray | None, name: str, ndim: int) -> np.ndarray:
    """The array if it is float64, finite and of so many axes.

    **Raises:** `Malformed`.
    """
    if array is None:
        raise Malformed(f"{name} is missing")
    if array.dtype != np.float64 or array.ndim != ndim:
        raise Malformed(f"{name}: {array.dtype} of shape {array.shape}")
    if not _finite(array):
        raise Malformed(f"{name} has an entry that is not finite")
    return array


def _finite(array: np.ndarray) -> bool:
    """Squares sum up to something finite only if all entries are; it is faster."""
    flat = array.ravel(order="K")
    with np.errstate(over="ignore", invalid="ignore"):
        squares = float(flat @ flat)
    return math.isfinite(squares) or bool(np.all(np.isfinite(array)))


def matrix_of(
    arrays: Mapping[str, np.ndarray],
    name: str,
    shape: tuple[int, int] | None = None,
    columns: int | None = None,
) -> "Matrix":
    """The matrix `name` (n, m), or `name_data`, `name_indices`, `name_indptr`.

    **Arguments:**

    - `shape`: what it must have, if known.
    - `columns`: m of compressed rows; None takes it from `shape`, else square.

    **Raises:** `Malformed`.
    """
    if name in arrays:
        matrix = Matrix(dense=real(arrays[name], name, 2))
    else:
        parts = [arrays.get(f"{name}_{part}") for part in _PARTS]
        if any(part is None for part in parts):
            raise Malformed(f"{name} is missing")
        matrix = _compressed(name, parts, columns or (shape[1] if shape else None))
    if shape is not None and matrix.shape != shape:
        raise Malformed(f"{name} has shape {matrix.shape}, expected {shape}")
    return matrix


_PARTS = ("data", "indices", "indptr")


def _compressed(name: str, parts: list, columns: int | None) -> "Matrix":
    data, indices, indptr = parts
    data = real(data, f"{name}_data", 1)
    for part, array in (("indices", indices), ("indptr", indptr)):
        if array.dtype not in (np.int64, np.int32) or array.ndim != 1:
            raise Malformed(f"{name}_{part}: {array.dtype} of shape {array.shape}")
    indices, indptr = indices.astype(np.int64), indptr.astype(np.int64)
    if not indptr.size or indptr[0] != 0 or np.any(np.diff(indptr) < 0):
        raise Malformed(f"{name}_indptr does not rise from 0")
    if indptr[-1] != data.size or indices.size != data.size:
        raise Malformed(f"{name}: row pointers, columns and entries do not match")
    columns = indptr.size - 1 if columns is None else columns
    if max(columns, indptr.size) > 2**32:
        raise Malformed(f"{name} has more than 2^32 rows or columns")
    if indices.size and not (indices.min() >= 0 and indices.max() < columns):
        raise Malformed(f"{name}_indices leave 0 .. {columns - 1}")
    starts = np.zeros(indices.size + 1, bool)
    starts[indptr[:-1]] = True
    if np.any((np.diff(indices) <= 0) & ~starts[1:-1]):
        raise Malformed(f"{name}: columns do not ascend within a row")
    return Matrix(data=data, indices=indices, indptr=indptr, columns=columns)


class Matrix:
    """A real matrix whose products know their rounding. Made by `matrix_of`."""

    data: Any  # None where it is dense, as are the next two
    indices: Any
    indptr: Any
    shape: tuple[int, int]

    def __init__(
        self,
        dense: Any = None,
        data: Any = None,
        indices: Any = None,
        indptr: Any = None,
        columns: Any = None,
    ) -> None:
        self._dense = dense
        self.data, self.indices, self.indptr = data, indices, indptr
        if dense is not None:
            self.shape = dense.shape
            return
        self.shape = (indptr.size - 1, columns)
        self.lengths = np.diff(indptr)
        # `reduceat` adds from one start to the next: only rows that have entries.
        self._filled = np.flatnonzero(self.lengths)
        self._starts = indptr[:-1][self._filled]

    @property
    def is_dense(self) -> bool:
        """Whether it is stored as an array (n, m)."""
        return self._dense is not None

    def product(self, x: np.ndarray) -> Product:
        """A x for x of shape (m,), with |value - A x| <= error."""
        if self._dense is not None:
            size = np.abs(self._dense) @ np.abs(x)
            return Product(self._dense @ x, _error(size, self.shape[1]))
        terms = x[self.indices]
        terms *= self.data
        value = self._sums(terms)
        size = self._sums(np.abs(terms, out=terms))
        return Product(value, _error(size, self.lengths))

    def transposed(self, y: np.ndarray) -> Product:
        """A^T y for y of shape (n,), with |value - A^T y| <= error."""
        if self._dense is not None:
            size = np.abs(y) @ np.abs(self._dense)
            return Product(y @ self._dense, _error(size, self.shape[0]))
        terms = self.data * np.repeat(y, self.lengths)
        value = np.bincount(self.indices, terms, self.shape[1])
        size = np.bincount(self.indices, np.abs(terms), self.shape[1])
        counts = np.bincount(self.indices, minlength=self.shape[1])
        return Product(value, _error(size, counts))

    def pulled(self, y: np.ndarray) -> np.ndarray:
        """A^T Y for Y of shape (n, k), as it is computed: each entry sums up to n."""
        if self._dense is not None:
            return (y.T @ self._dense).T
        terms = (self.data * np.repeat(column, self.lengths) for column in y.T)
        found = [np.bincount(self.indices, t, self.shape[1]) for t in terms]
        return np.stack(found, axis=1)

    def absolute_product(self, x: np.ndarray) -> np.ndarray:
        """Upper bound on |A| |x|, shape (n,)."""
        if self._dense is not None:
            size = np.abs(self._dense) @ np.abs(x)
            return size + _error(size, self.shape[1])
        size = self._sums(np.abs(self.data * x[self.indices]))
        return size + _error(size, self.lengths)

    def _sums(self, terms: np.ndarray) -> np.ndarray:
        total = np.zeros(self.shape[0])
        if self._filled.size:
            total[self._filled] = np.add.reduceat(terms, self._starts)
        return total

    def rows(self) -> np.ndarray:
        """Row index of every stored entry (k,), in the order of `entries`."""
        if self._dense is not None:
            return np.repeat(np.arange(self.shape[0]), self.shape[1])
        return self._rows

    @cached_property
    def _rows(self) -> np.ndarray:
        found = np.repeat(np.arange(self.shape[0]), self.lengths)
        found.flags.writeable = False
        return found

    def columns_of_entries(self) -> np.ndarray:
        """Column index of every stored entry (k,)."""
        if self._dense is not None:
            return np.tile(np.arange(self.shape[1]), self.shape[0])
        return self.indices

    def entries(self) -> np.ndarray:
        """Every stored entry (k,), row by row."""
        return self.data if self._dense is None else self._dense.reshape(-1)

    def diagonal(self) -> np.ndarray:
        """A_ii, shape (min(n, m),)."""
        size = min(self.shape)
        if self._dense is not None:
            return self._dense.diagonal().copy()
        rows = self.rows()
        on = rows == self.indices
        found = np.zeros(size)
        found[rows[on]] = self.data[on]
        return found

    def is_symmetric(self) -> bool:
        """A = A^T to the last bit; stored zeros are no entries."""
        if self._dense is not None:
            return np.array_equal(self._dense, self._dense.T)
        if self.shape[0] != self.shape[1]:
            return False
        rows, columns, entries = self.rows(), self.indices, self.data
        above, below = columns > rows, columns < rows
        if not np.all(entries):
            above, below = above & (entries != 0), below & (entries != 0)
        upper, lower = np.flatnonzero(above), np.flatnonzero(below)
        if upper.size != lower.size:
            return False
        # By column; rows ascend within each already.
        lower = lower[_stable_order(columns[lower])]
        return (
            np.array_equal(rows[upper], columns[lower])
            and np.array_equal(columns[upper], rows[lower])
            and np.array_equal(entries[upper], entries[lower])
        )

    def dense(self) -> np.ndarray:
        """As an array (n, m). **Raises:** `Malformed` beyond 2^25 entries."""
        if self._dense is not None:
            return self._dense
        if self.shape[0] * self.shape[1] > MAX_DENSE:
            raise Malformed(f"a dense array of shape {self.shape} is too large")
        found = np.zeros(self.shape)
        found[self.rows(), self.indices] = self.data
        return found


def _stable_order(numbers: np.ndarray) -> np.ndarray:
    """A stable argsort of integers in 0 .. 2^32 - 1, by digits: NumPy's own sort of
    16 bits is linear, that of 64 bits takes five times as long.
    """
    order = np.argsort((numbers & 0xFFFF).astype(np.uint16), kind="stable")
    high = (numbers >> 16).astype(np.uint16)
    return order[np.argsort(high[order], kind="stable")]


def _error(size: np.ndarray, count) -> np.ndarray:
    """gamma_k size + k tiny, k + 2 for the roundings of this line and of `size`.

    `size`, itself a computed sum, is below the true one by a factor of at most
    1 - gamma_k; `gamma` has 1 percent of room for that while k u <= 0.009.
    """
    if np.ndim(count) == 0:
        return gamma(count + 2) * size + (count + 2) * TINY
    factors = np.array([gamma(k + 2) for k in range(int(np.max(count, initial=0)) + 1)])
    return factors[count] * size + (count + 2) * TINY
