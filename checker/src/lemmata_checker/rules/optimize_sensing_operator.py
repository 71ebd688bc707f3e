"""Linear measurements of a matrix, applied with a bound on the rounding.

Sums of k products, in any order, err by gamma_k sum |a_j p_j| <= gamma_k ||a|| ||p||
(Higham 2002, section 3.5). The entries of a seeded operator are drawn again in blocks;
the m x n1 n2 matrix is never formed.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .. import gaussian
from ..case import Case, Malformed
from ..definite import frobenius_norm
from ..packed import Packed
from ..rigor import TINY, U, gamma
from .optimize_sensing_fourier import fourier

SENSING, PLANTED = "optimize.matrix_sensing/1", "optimize.planted_sensing/1"
KINDS = (SENSING, PLANTED)
BLOCK = 256  # rows of the operator, at most
BLOCK_ENTRIES = 2**22


class Sensing(NamedTuple):
    """A sensing problem that was looked at: sizes, names and y, float64, finite."""

    problem: Packed
    operator: str
    shape: tuple[int, int]
    rows: int
    used: int
    psd: bool
    y: np.ndarray

    @property
    def scale(self) -> float:
        """The factor c of the normal operator cA*A, rounded once or twice."""
        n1, n2 = self.shape
        if self.operator in ("identity", "mask"):
            return n1 * n2 / self.used
        return (2.0 if self.operator == "fourier" else 1.0) / self.used


class Product(NamedTuple):
    """A matrix and a bound on its Frobenius distance from the exact one."""

    matrix: np.ndarray
    error: float


class Image(NamedTuple):
    """Residuals A(P) - y of some products P, their errors, and cA*(r) if asked for.

    `residual` (p, rows); `error` (p,) bounds on 2-norms; `gradient` (p, n1, n2) or
    None; `gradient_error` (p,) bounds on Frobenius norms.
    """

    residual: np.ndarray
    error: np.ndarray
    gradient: np.ndarray | None
    gradient_error: np.ndarray


def sensing_of(case: Case) -> Sensing:
    """The case's problem, checked once. Raises `Malformed`."""
    return case.shared("sensing", lambda: _sensing(case.problem))


def _sensing(problem: Packed) -> Sensing:
    if problem.kind not in KINDS:
        raise Malformed(f"no sensing problem: {problem.kind}")
    fields, arrays = problem.json, problem.arrays
    operator = fields.get("operator")
    operator = operator if isinstance(operator, str) else "none"
    shape, count = _sizes(operator, fields, arrays)
    y = real(arrays, "measurements", (count,))
    held = whole(fields, "held_out", 0, count - 1)
    if held and operator != "gaussian":
        raise Malformed("held-out rows are those of a seeded Gaussian operator")
    psd = fields.get("psd")
    if not isinstance(psd, bool) or (psd and shape[0] != shape[1]):
        raise Malformed("psd: expected a flag, true only for square matrices")
    return Sensing(problem, operator, shape, count, count - held, psd, y)


def _sizes(operator, fields, arrays) -> tuple[tuple[int, int], int]:
    if operator == "dense":
        array = real(arrays, "matrices", None)
        if array.ndim != 3 or not array.size:
            raise Malformed(f"matrices: shape {array.shape}")
        return array.shape[1:], array.shape[0]
    if operator == "rank_one":
        left, right = (real(arrays, f"{s}_vectors", None) for s in ("left", "right"))
        if left.ndim != 2 or right.ndim != 2 or len(left) != len(right):
            raise Malformed(f"vectors: shapes {left.shape} and {right.shape}")
        return (left.shape[1], right.shape[1]), len(left)
    if operator not in ("identity", "mask", "fourier", "gaussian"):
        raise Malformed(f"no operator {operator!r}")
    shape = (whole(fields, "rows", 1, 2**31), whole(fields, "columns", 1, 2**31))
    if operator == "identity":
        return shape, shape[0] * shape[1]
    if operator == "gaussian":
        whole(fields, "key", 0, 2**63 - 1)
        return shape, whole(fields, "count", 1, 2**40)
    size = len(_pairs(arrays, shape)[0])
    return shape, size if operator == "mask" else 2 * size


def _pairs(arrays, shape) -> tuple[np.ndarray, np.ndarray]:
    found = [arrays.get(name) for name in ("row_index", "column_index")]
    for index, size in zip(found, shape, strict=True):
        if index is None or index.dtype != np.int64 or index.ndim != 1:
            raise Malformed("row_index, column_index: expected vectors of int64")
        if index.size and not (0 <= index.min() and index.max() < size):
            raise Malformed(f"an index is not in [0, {size})")
    rows, columns = found
    if rows.shape != columns.shape or not rows.size:
        raise Malformed(f"indices of shapes {rows.shape} and {columns.shape}")
    if np.any(np.diff(np.sort(rows * shape[1] + columns)) == 0):
        raise Malformed("a pair of indices comes twice")
    return rows, columns


def real(arrays, name: str, shape: tuple | None) -> np.ndarray:
    """A finite float64 array of this shape (None: any). Raises `Malformed`."""
    array = arrays.get(name)
    if array is None:
        raise Malformed(f"{name} is missing")
    if array.dtype != np.float64 or (shape is not None and array.shape != shape):
        raise Malformed(f"{name}: {array.dtype} of shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise Malformed(f"{name} has an entry that is not finite")
    return array


def whole(fields, name: str, low: int, high: int) -> int:
    """An integer parameter within bounds. Raises `Malformed`."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed(f"{name}: expected an integer, got {value!r}")
    if not low <= value <= high:
        raise Malformed(f"{name}: expected {low} to {high}, got {value}")
    return value


def norm_down(vector: np.ndarray) -> float:
    """Lower bound on the 2-norm (Frobenius norm) of finite numbers."""
    largest = float(np.max(np.abs(vector), initial=0.0))
    if not 0 < largest < math.inf:
        return 0.0
    size = vector / largest
    total = float(np.sum(size * size)) * (1 - gamma(size.size + 4))
    return largest * math.sqrt(max(total - size.size * TINY, 0.0)) * (1 - 4 * U)


def factor_product(left: np.ndarray, right: np.ndarray) -> Product:
    """L R' with |error| <= gamma_k |L||R|', in the Frobenius norm."""
    size = np.abs(left) @ np.abs(right).T
    error = gamma(2 * left.shape[1] + 4) * frobenius_norm(size) + size.size * TINY
    return Product(left @ right.T, error)


def factors_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The value's factors, of the problem's sides and one width."""
    shape = sensing_of(case).shape
    left, right = (real(case.value, name, None) for name in ("left", "right"))
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1]:
        raise Malformed(f"factors of shapes {left.shape} and {right.shape}")
    if (left.shape[0], right.shape[0]) != shape or not left.shape[1]:
        raise Malformed(f"factors of shapes {left.shape} and {right.shape}")
    return left, right


def truth_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The planted factors: their width bounds the rank of M*. Raises `Malformed`."""
    if case.problem.kind != PLANTED:
        raise Malformed("the true matrix is not known")
    shape = sensing_of(case).shape
    arrays = case.problem.arrays
    left, right = (real(arrays, f"truth_{name}", None) for name in ("left", "right"))
    fits = left.ndim == right.ndim == 2 and left.shape[1:] == right.shape[1:]
    if not fits or (left.shape[0], right.shape[0]) != shape:
        raise Malformed(f"truth: factors of {left.shape} and {right.shape}")
    return left, right


def image(
    at: Sensing,
    products: list[Product],
    *,
    gradient: bool = False,
    held: bool = False,
) -> Image:
    """Residuals over the used rows (or the held-out ones), in one pass."""
    first, last = (at.used, at.rows) if held else (0, at.used)
    stack = np.stack([p.matrix for p in products])
    sizes = np.array([frobenius_norm(p.matrix) for p in products])
    errors = np.array([p.error for p in products])
    value, slope, depth, turns, total, norm = _pass(at, stack, gradient, first, last)
    r = value - at.y[first:last]
    norms = np.array([frobenius_norm(row) for row in r])
    # rounding of the sums, of the products' own entries, and of the subtraction
    ample = 1 + 16 * U
    rounding = gamma(depth + 2) * total * sizes + norm * errors + 2 * U * norms
    rounding = ample * rounding + r.shape[1] * TINY
    off = np.zeros(len(products))
    if slope is not None:
        slope = slope * at.scale
        off = norm * rounding + gamma(turns + depth + 8) * total * norms
        off = ample * at.scale * off
    return Image(r, rounding, slope, off)


def _pass(at: Sensing, stack, gradient: bool, first: int, last: int):
    """(A(P), A*(A(P) - y) or None, depths of both sums, bounds on ||A||_F, ||A||_2)."""
    y = at.y[first:last]
    n1, n2 = at.shape
    if at.operator == "identity":
        value = stack.reshape(len(stack), -1)
        slope = (value - y).reshape(stack.shape) if gradient else None
        return value, slope, 1, 1, 1.0, 1.0
    if at.operator == "mask":
        rows, columns = _pairs(at.problem.arrays, at.shape)
        value, slope = stack[:, rows, columns], None
        if gradient:
            slope = np.zeros_like(stack)
            slope[:, rows, columns] = value - y
        return value, slope, 1, 1, 1.0, 1.0
    if at.operator == "fourier":
        return fourier(
            at.shape, _pairs(at.problem.arrays, at.shape), at.y, stack, gradient
        )
    value, square, turns = np.empty((len(stack), last - first)), 0.0, BLOCK
    slope = np.zeros((len(stack), n1 * n2)) if gradient else None
    columns = np.ascontiguousarray(stack.transpose(1, 2, 0))
    for start, block in blocks(at, first, last):
        here = slice(start - first, start - first + len(block))
        # one short sum per row of the matrices, then one over the rows
        parts = np.matmul(block.transpose(1, 0, 2), columns)
        value[:, here] = parts.sum(axis=0).T
        square += float(np.einsum("bij,bij->", block, block))
        if slope is not None:
            r = value[:, here] - y[here]
            slope += r @ block.reshape(len(block), -1)
        turns += 1
    depth = max(BLOCK_ENTRIES, n1 * n2) + turns
    total = math.sqrt(square * (1 + gamma(depth)) + TINY * depth) * (1 + 4 * U)
    if slope is not None:
        slope = slope.reshape(stack.shape)
    return value, slope, n1 + n2 + 2, turns, total, total


def blocks(at: Sensing, first: int, last: int) -> Iterator[tuple[int, np.ndarray]]:
    """(row, measurement matrices from there), a few rows at a time.

    Rank-one matrices are rounded once, which the depth of the sums allows for.
    """
    n1, n2 = at.shape
    size = max(1, min(BLOCK, BLOCK_ENTRIES // (n1 * n2)))
    arrays = at.problem.arrays
    for start in range(first, last, size):
        stop = min(start + size, last)
        if at.operator == "dense":
            block = arrays["matrices"][start:stop]
        elif at.operator == "rank_one":
            left, right = arrays["left_vectors"], arrays["right_vectors"]
            block = left[start:stop, :, None] * right[start:stop, None, :]
        else:
            key = at.problem.json["key"]
            block = gaussian.rows(key, start, stop, n1 * n2)
        yield start, block.reshape(-1, n1, n2)
