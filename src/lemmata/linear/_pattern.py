"""Sparsity patterns that a stream's systems share."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from ..core import InvalidProblem


class CSRSystems(NamedTuple):
    """Systems of one pattern: `data` (T, nnz), `indices`, `indptr`, `rhs` (T, n)."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    rhs: np.ndarray


def stack_systems(
    owner: str, systems: Iterable[tuple[Any, Any]] | CSRSystems
) -> CSRSystems:
    """One symmetric pattern with a diagonal for all systems, missing entries zero.

    **Raises:** `InvalidProblem` where a system is no square matrix with a vector, or
    is of another size than the first.
    """
    if isinstance(systems, CSRSystems):
        _well_formed(owner, systems)
        return _completed(systems)
    matrices, vectors = [], []
    for index, (operator, rhs) in enumerate(systems):
        matrices.append(as_csr(f"{owner}.systems[{index}]", operator))
        vectors.append(np.asarray(rhs))
        size = matrices[0].shape[0]
        shapes = (matrices[-1].shape, vectors[-1].shape)
        if shapes != ((size, size), (size,)):
            expected = f"shapes ({size}, {size}) and ({size},)"
            raise InvalidProblem(f"{owner}.systems[{index}]", expected, shapes)
    if not matrices:
        raise InvalidProblem(f"{owner}.systems", "at least one system", "none")
    first = matrices[0]
    alike = all(same_pattern(first, other) for other in matrices)
    if alike:
        data = np.stack([m.data for m in matrices])
        indices, indptr = first.indices, first.indptr
    else:
        pattern = union_pattern(matrices)
        data = np.stack([aligned(m, pattern) for m in matrices])
        indices, indptr = pattern.indices, pattern.indptr
    return _completed(
        CSRSystems(
            data, indices.astype(np.int64), indptr.astype(np.int64), np.stack(vectors)
        )
    )


def as_csr(where: str, operator: Any) -> sp.csr_array:
    """Sorted CSR in float64, no entry stored twice. Raises `InvalidProblem`."""
    if not sp.issparse(operator):
        operator = np.asarray(operator)
    if operator.ndim != 2 or operator.dtype.kind not in "biuf":
        got = f"{operator.dtype} {operator.shape}"
        raise InvalidProblem(where, "a real matrix (n, n)", got)
    if operator.shape[0] != operator.shape[1] or not operator.shape[0]:
        raise InvalidProblem(where, "shape (n, n), n > 0", operator.shape)
    matrix = sp.csr_array(operator, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    return matrix


def same_pattern(one: sp.csr_array, other: sp.csr_array) -> bool:
    """Whether both store the same entries."""
    return np.array_equal(one.indptr, other.indptr) and np.array_equal(
        one.indices, other.indices
    )


def union_pattern(matrices: Iterable[sp.csr_array]) -> sp.csr_array:
    """Every entry that any matrix, or its transpose, stores, and the diagonal."""
    total = None
    for matrix in matrices:
        ones = sp.csr_array(
            (np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape
        )
        total = ones if total is None else total + ones
    assert total is not None
    total = sp.csr_array(total + total.T + sp.eye_array(rows_of(total)))
    total.sort_indices()
    return total


def aligned(matrix: sp.csr_array, pattern: sp.csr_array) -> np.ndarray:
    """The entries of `matrix` at the places of a larger pattern, zero elsewhere."""
    size = rows_of(matrix)
    places = np.searchsorted(_codes(pattern, size), _codes(matrix, size))
    data = np.zeros(pattern.nnz)
    data[places] = matrix.data
    return data


def transposed_entries(indices: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """For each entry (i, j) of a symmetric CSR pattern the place of (j, i)."""
    size = indptr.size - 1
    rows = np.repeat(np.arange(size), np.diff(indptr))
    return np.searchsorted(rows * size + indices, indices * size + rows)


def rows_of(matrix: sp.csr_array) -> int:
    """Number of rows."""
    return matrix.indptr.size - 1


def _codes(matrix: sp.csr_array, size: int) -> np.ndarray:
    rows = np.repeat(np.arange(rows_of(matrix)), np.diff(matrix.indptr))
    return rows * size + matrix.indices.astype(np.int64)


def _completed(systems: CSRSystems) -> CSRSystems:
    """The same systems with a pattern that is symmetric and has a diagonal."""
    size = systems.indptr.size - 1
    shape = (size, size)
    ones = np.ones(systems.indices.size)
    own = sp.csr_array((ones, systems.indices, systems.indptr), shape=shape)
    whole = union_pattern([own])
    if whole.nnz == own.nnz:
        return systems
    places = np.searchsorted(_codes(whole, size), _codes(own, size))
    data = np.zeros((systems.data.shape[0], whole.nnz))
    data[:, places] = systems.data
    indices, indptr = whole.indices.astype(np.int64), whole.indptr.astype(np.int64)
    return CSRSystems(data, indices, indptr, systems.rhs)


def _well_formed(owner: str, systems: CSRSystems) -> None:
    data, indices, indptr, rhs = (np.asarray(a) for a in systems)
    where = f"{owner}.operator"
    flat = indices.ndim == indptr.ndim == 1 and indptr.size > 1
    if not flat or data.ndim != 2 or rhs.ndim != 2 or not data.shape[0]:
        shapes = (data.shape, indices.shape, indptr.shape, rhs.shape)
        raise InvalidProblem(where, "shapes (T, nnz), (nnz,), (n + 1,), (T, n)", shapes)
    n = indptr.size - 1
    counts = np.diff(indptr)
    sound = indptr[0] == 0 and indptr[-1] == indices.size == data.shape[1]
    sound = sound and bool(np.all(counts >= 0)) and rhs.shape == (data.shape[0], n)
    if sound:
        rows = np.repeat(np.arange(n), counts)
        inside = bool(np.all((indices >= 0) & (indices < n)))
        sound = inside and bool(np.all(np.diff(rows * n + indices) > 0))
    if not sound:
        expected = "CSR with sorted rows, one row of data and rhs per system"
        raise InvalidProblem(where, expected, "another structure")
