"""What every transport rule reads: marginals, and costs by blocks of rows.

The problem that is judged has the float64 data as they stand, marginals divided
by their exact real sums, atoms of zero weight removed, and, for a cost given by points,
C_ij = cost_scale * metric(x_i, y_j) in exact real arithmetic.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np

from ..case import Case, Malformed
from ..rigor import TINY, U, exact_sum, two_product, two_sum

LARGEST = 1e150  # data beyond are refused, so that no product below overflows
METRICS = ("sqeuclidean", "euclidean", "cityblock")
Pair = tuple[np.ndarray, np.ndarray | None]


def array(
    arrays: Mapping[str, np.ndarray],
    name: str,
    shape: tuple[int | None, ...],
    dtype: type = np.float64,
) -> np.ndarray:
    """`arrays[name]`, of this dtype and shape (None: any length), finite."""
    found = arrays.get(name)
    if found is None:
        raise Malformed(f"array {name} is missing")
    if found.dtype != dtype:
        raise Malformed(f"{name}: expected {np.dtype(dtype)}, got {found.dtype}")
    fits = found.ndim == len(shape) and all(
        want in (None, got) for want, got in zip(shape, found.shape, strict=True)
    )
    if not fits:
        raise Malformed(f"{name}: expected shape {shape}, got {found.shape}")
    if found.dtype.kind == "f" and found.size and not _within(found):
        raise Malformed(f"{name}: expected entries up to {LARGEST:g}, got others")
    return found


def _within(found: np.ndarray) -> bool:
    """Whether all entries are numbers up to `LARGEST`; NaN makes both extremes NaN."""
    return bool(found.min() >= -LARGEST and found.max() <= LARGEST)


def nonnegative(found: np.ndarray, name: str) -> np.ndarray:
    """The same array, if no entry is negative."""
    if np.any(found < 0):
        raise Malformed(f"{name}: expected entries >= 0, got {found.min()}")
    return found


def scalar(json: Mapping, name: str, *, positive: bool = True) -> float:
    """A finite number of the problem's JSON, positive unless said otherwise."""
    found = json.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise Malformed(f"{name}: expected a number, got {found!r}")
    value = float(found)
    if not abs(value) <= LARGEST or (positive and not value >= 1 / LARGEST):
        raise Malformed(f"{name}: expected a positive finite number, got {found}")
    return value


class Marginal(NamedTuple):
    """One side's weights.

    **Fields:**

    - `kept`: indices of the atoms of positive weight.
    - `weights`: their weights, as given.
    - `total`: their exact sum.
    - `share`: weights / total in float64, off by `SHARE_ERROR` relatively.
    - `size`: number of atoms before removal.
    """

    kept: np.ndarray
    weights: np.ndarray
    total: Fraction
    share: np.ndarray
    size: int


SHARE_ERROR = 3 * U  # the sum and the division are each rounded once


def marginal(case: Case, name: str) -> Marginal:
    """The weights `name` of the problem, shape (n,), judged fit to be normalised."""

    def compute() -> Marginal:
        weights = nonnegative(array(case.problem.arrays, name, (None,)), name)
        kept = np.flatnonzero(weights)
        if kept.size == 0:
            raise Malformed(f"{name}: expected a positive weight, got none")
        positive = weights[kept]
        total = exact_sum(positive)
        share = positive / float(total)
        if share.min() < 1e-290:
            raise Malformed(f"{name}: expected shares above 1e-290, got smaller")
        return Marginal(kept, positive, total, share, weights.size)

    return case.shared(f"transport/marginal/{name}", compute)


class Cost(Protocol):
    """C, shape (n, m), as pairs: |C - (high + low)| <= relative |high| + absolute."""

    shape: tuple[int, int]
    relative: float
    absolute: float

    @property
    def transpose(self) -> "Cost":
        """C'."""
        ...

    def block(self, start: int, stop: int) -> Pair:
        """Rows start to stop; a low part of None is zero."""
        ...

    def entries(self, i: np.ndarray, j: np.ndarray) -> Pair:
        """C[i, j], shape (k,)."""
        ...


class MatrixCost:
    """A cost given as a matrix: exact."""

    relative = absolute = 0.0

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix, self.shape = matrix, (matrix.shape[0], matrix.shape[1])

    @property
    def transpose(self) -> "MatrixCost":
        """C', copied once so that its rows are contiguous."""
        return MatrixCost(np.ascontiguousarray(self.matrix.T))

    def block(self, start: int, stop: int) -> Pair:
        """Rows start to stop."""
        return self.matrix[start:stop], None

    def entries(self, i: np.ndarray, j: np.ndarray) -> Pair:
        """C[i, j]."""
        return self.matrix[i, j], None


class PointsCost:
    """scale * metric(x_i, y_j) of points x (n, d), y (m, d), in about 106 bits.

    Error, D = d, T the exact sum: a difference is exact as h + l, |l| <= u|h|; its
    square is kept to 6.1 u^2 h^2; the low parts, at most (D + 3.1) u T in all,
    are added D times with relative error u. Together (D^2 + 5D + 10) u^2 T;
    the square root halves that and adds 10 u^2, the scale adds 4 u^2.
    Underflow adds D 2^-1050 to T, hence 2^-520 D to its root.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, metric: str, scale: float) -> None:
        self.x, self.y = np.ascontiguousarray(x.T), np.ascontiguousarray(y.T)
        self.metric, self.scale = metric, scale
        self.shape = (x.shape[0], y.shape[0])
        d = x.shape[1]
        self.relative = 2 * (d * d + 5 * d + 25) * U * U
        underflow = 2.0**-520 if metric == "euclidean" else 2.0**-1050
        self.absolute = (abs(scale) * underflow + TINY) * (d + 1)

    @property
    def transpose(self) -> "PointsCost":
        """C'."""
        return PointsCost(self.y.T, self.x.T, self.metric, self.scale)

    def block(self, start: int, stop: int) -> Pair:
        """Rows start to stop."""
        return self._measure(self.x[:, start:stop, None], self.y[:, None, :])

    def entries(self, i: np.ndarray, j: np.ndarray) -> Pair:
        """C[i, j]."""
        return self._measure(self.x[:, i], self.y[:, j])

    def _measure(self, xs: np.ndarray, ys: np.ndarray) -> Pair:
        high = np.zeros(np.broadcast_shapes(xs.shape[1:], ys.shape[1:]))
        low = np.zeros_like(high)
        for p, q in zip(xs, ys, strict=True):
            h, tail = two_sum(p, -q)
            if self.metric == "cityblock":
                term, extra = np.abs(h), np.where(h < 0, -tail, tail)
            else:
                term, extra = two_product(h, h)
                extra = extra + 2 * h * tail
            high, error = two_sum(high, term)
            low = low + (error + extra)
        high, low = two_sum(high, low)
        if self.metric == "euclidean":
            high, low = _root(high, low)
        if self.scale == 1:
            return high, low
        product, error = two_product(high, self.scale)
        return product, error + low * self.scale


def _root(high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sqrt(high + low) = r + ((high - r^2) + low) / (2 r), r = fl(sqrt(high))."""
    root = np.sqrt(high)
    square, error = two_product(root, root)
    rest = ((high - square) - error) + low
    return root, np.where(root > 0, rest / np.where(root > 0, 2 * root, 1), 0.0)


def cost_of(
    case: Case, source: Marginal, target: Marginal, *, forbidden: bool = False
) -> Cost:
    """The problem's cost between the atoms of positive weight.

    With `forbidden`, a matrix may have entries +inf.
    """

    def compute() -> Cost:
        arrays = case.problem.arrays
        if "cost" not in arrays:
            return _points(case, source, target)
        shape = (source.size, target.size)
        matrix = arrays["cost"]
        if forbidden and matrix.dtype == np.float64:
            finite = np.where(matrix == np.inf, 0.0, matrix)
            array({"cost": finite}, "cost", shape)
        else:
            matrix = array(arrays, "cost", shape)
        if source.kept.size < source.size or target.kept.size < target.size:
            matrix = matrix[np.ix_(source.kept, target.kept)]
        return MatrixCost(np.ascontiguousarray(matrix))

    return case.shared(f"transport/cost/{forbidden}", compute)


def _points(case: Case, source: Marginal, target: Marginal) -> PointsCost:
    arrays, json = case.problem.arrays, case.problem.json
    x = array(arrays, "source_points", (source.size, None))
    y = array(arrays, "target_points", (target.size, x.shape[1]))
    if json.get("metric") not in METRICS:
        raise Malformed(f"metric: expected one of {METRICS}")
    scale = scalar(json, "cost_scale", positive=False)
    if max(np.abs(x).max(initial=0), np.abs(y).max(initial=0)) > 1e60:
        raise Malformed("points: expected coordinates up to 1e60, got others")
    if abs(scale) > 1e20 or not 1 <= x.shape[1] <= 10**6:
        raise Malformed("cost: expected |cost_scale| <= 1e20, 1 <= d <= 1e6")
    return PointsCost(x[source.kept], y[target.kept], json["metric"], scale)
