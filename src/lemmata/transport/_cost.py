"""Costs of transport: a matrix, or a metric between points that is never stored.

Every cost answers the same few questions (`shape`, `rows`, `exact_rows`), with NumPy
where the user stands and JAX inside the driver; the passes over it are in `_passes`.
"""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from ..core import AnyArray, InvalidArgument, array64
from ..numerics import doubledouble as dd

Real = float | AnyArray
"""An option or tolerance: a Python float outside, a float64 array in the driver."""

_UNROLLED = 8  # coordinates; beyond, a compiled loop keeps the program small


class AbstractMetric(eqx.Module):
    """An outer function of a sum, over coordinates, of a function of the difference."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """As the checker knows it."""

    @abc.abstractmethod
    def term(self, difference: Any) -> Any:
        """One coordinate's contribution."""

    @abc.abstractmethod
    def outer(self, total: Any) -> Any:
        """What is applied to the sum."""

    @abc.abstractmethod
    def exact_term(self, difference: dd.Pair) -> dd.Pair:
        """`term` on a pair."""

    @abc.abstractmethod
    def exact_outer(self, total: dd.Pair) -> dd.Pair:
        """`outer` on a pair."""


@final
class SquaredEuclidean(AbstractMetric):
    """sum_k (x_k - y_k)^2, in squared units of the points."""

    @property
    def name(self) -> str:
        return "sqeuclidean"

    def term(self, difference: Any) -> Any:
        return difference * difference

    def outer(self, total: Any) -> Any:
        return total

    def exact_term(self, difference: dd.Pair) -> dd.Pair:
        return dd.multiply(difference, difference)

    def exact_outer(self, total: dd.Pair) -> dd.Pair:
        return total


@final
class Euclidean(AbstractMetric):
    """sqrt(sum_k (x_k - y_k)^2), in units of the points."""

    @property
    def name(self) -> str:
        return "euclidean"

    def term(self, difference: Any) -> Any:
        return difference * difference

    def outer(self, total: Any) -> Any:
        return np.sqrt(total) if isinstance(total, np.ndarray) else jnp.sqrt(total)

    def exact_term(self, difference: dd.Pair) -> dd.Pair:
        return dd.multiply(difference, difference)

    def exact_outer(self, total: dd.Pair) -> dd.Pair:
        return dd.square_root(total)


@final
class Cityblock(AbstractMetric):
    """sum_k |x_k - y_k|, in units of the points."""

    @property
    def name(self) -> str:
        return "cityblock"

    def term(self, difference: Any) -> Any:
        return abs(difference)

    def outer(self, total: Any) -> Any:
        return total

    def exact_term(self, difference: dd.Pair) -> dd.Pair:
        high, low = difference
        return jnp.abs(high), jnp.where(high < 0, -low, low)

    def exact_outer(self, total: dd.Pair) -> dd.Pair:
        return total


METRICS: dict[str, AbstractMetric] = {
    m.name: m for m in (SquaredEuclidean(), Euclidean(), Cityblock())
}


class AbstractCost(eqx.Module):
    """C of shape (n, m), asked for by blocks of rows."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """(n, m)."""

    @abc.abstractmethod
    def rows(self, start: Any, size: int) -> Any:
        """C[start : start + size], float64; `start` may be traced, `size` is static."""

    @abc.abstractmethod
    def exact_rows(self, start: Any, size: int) -> dd.Pair:
        """The same rows as the real numbers that the user means (relative 1e-23)."""

    @abc.abstractmethod
    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """JSON parameters and arrays by the names that the checker knows."""

    @abc.abstractmethod
    def part(self, start: int, stop: int) -> "AbstractCost":
        """Rows start to stop as a cost of their own; on the host."""

    @property
    def roundings(self) -> int:
        """Float64 roundings behind an entry of `rows`."""
        return 0

    def matrix(self) -> Any:
        """All of C, shape (n, m)."""
        return self.rows(0, self.shape[0])

    def entries(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """C[rows, columns] on the host, shape (k,)."""
        out = np.empty(len(rows))
        order = np.argsort(rows, kind="stable")
        values, starts = np.unique(np.asarray(rows)[order], return_index=True)
        for value, chosen in zip(values, np.split(order, starts[1:]), strict=True):
            out[chosen] = np.asarray(self.rows(int(value), 1))[0, columns[chosen]]
        return out

    def spread_bound(self) -> float:
        """An upper bound on max C - min C that costs no pass over C, or inf."""
        return float("inf")


@final
class MatrixCost(AbstractCost):
    """A cost that is stored: `matrix`, shape (n, m), float64."""

    values: Float64[AnyArray, "n m"] = eqx.field(converter=array64)

    @property
    def shape(self) -> tuple[int, int]:
        n, m = self.values.shape
        return n, m

    def rows(self, start: Any, size: int) -> Any:
        if size == self.shape[0]:
            return self.values
        if isinstance(self.values, np.ndarray):
            return self.values[start : start + size]
        return jax.lax.dynamic_slice_in_dim(self.values, start, size, axis=0)

    def exact_rows(self, start: Any, size: int) -> dd.Pair:
        high = self.rows(start, size)
        return high, jnp.zeros_like(high)

    def part(self, start: int, stop: int) -> "MatrixCost":
        return MatrixCost(self.values[start:stop])

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {}, {"cost": np.ascontiguousarray(self.values, dtype="<f8")}

    def entries(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return np.asarray(self.values)[rows, columns]


@final
class PointCost(AbstractCost):
    """C_ij = scale * metric(x_i, y_j), computed in blocks wherever it is needed.

    **Fields:**

    - `source_points`: x, shape (n, d), float64. `target_points`: y, shape (m, d).
    - `metric`: `SquaredEuclidean()`, `Euclidean()` or `Cityblock()`.
    - `scale`: > 0, in units of cost per unit of the metric.
    """

    source_points: Float64[AnyArray, "n d"] = eqx.field(converter=array64)
    target_points: Float64[AnyArray, "m d"] = eqx.field(converter=array64)
    metric: AbstractMetric = SquaredEuclidean()
    scale: Real = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        return self.source_points.shape[0], self.target_points.shape[0]

    @property
    def roundings(self) -> int:
        return self.source_points.shape[1] + 4

    def _block(self, start: Any, size: int) -> Any:
        points = self.source_points
        if size == points.shape[0] or isinstance(points, np.ndarray):
            return points[start : start + size] if size < points.shape[0] else points
        return jax.lax.dynamic_slice_in_dim(points, start, size, axis=0)

    def rows(self, start: Any, size: int) -> Any:
        x, y = self._block(start, size), self.target_points

        def add(k: Any, total: Any) -> Any:
            return total + self.metric.term(x[:, k, None] - y[None, :, k])

        d = x.shape[1]
        if isinstance(x, np.ndarray) or d <= _UNROLLED:
            total = self.metric.term(x[:, 0, None] - y[None, :, 0])
            for k in range(1, d):
                total = add(k, total)
        else:
            total = jax.lax.fori_loop(0, d, add, jnp.zeros((size, y.shape[0])))
        return self.scale * self.metric.outer(total)

    def exact_rows(self, start: Any, size: int) -> dd.Pair:
        x, y = self._block(start, size), jnp.asarray(self.target_points)

        def add(k: Any, total: dd.Pair) -> dd.Pair:
            difference = dd.two_sum(x[:, k, None], -y[None, :, k])
            return dd.add(total, self.metric.exact_term(difference))

        zero = jnp.zeros((size, y.shape[0]))
        total: dd.Pair = (zero, zero)
        if x.shape[1] <= _UNROLLED:
            for k in range(x.shape[1]):
                total = add(k, total)
        else:
            total = jax.lax.fori_loop(0, x.shape[1], add, total)
        scale = jnp.asarray(self.scale, jnp.float64)
        return dd.multiply(self.metric.exact_outer(total), (scale, jnp.zeros(())))

    def part(self, start: int, stop: int) -> "PointCost":
        x = self.source_points[start:stop]
        return PointCost(x, self.target_points, self.metric, self.scale)

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        names = ("source_points", "target_points")
        arrays = {k: np.ascontiguousarray(getattr(self, k), dtype="<f8") for k in names}
        return {"metric": self.metric.name, "cost_scale": float(self.scale)}, arrays

    def spread_bound(self) -> float:
        both = [np.asarray(p) for p in (self.source_points, self.target_points)]
        spread = np.ptp(np.concatenate(both), axis=0)
        term = sum(self.metric.term(spread))
        return float(self.scale * self.metric.outer(np.asarray(term)))


def as_cost(value: Any) -> Any:
    """Converter of a problem's `cost`: what is no cost becomes a `MatrixCost`."""
    return value if isinstance(value, AbstractCost) else MatrixCost(value)


def unpack_cost(parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """Takes what `AbstractCost.pack` gave out of the two dictionaries.

    **Raises:** `InvalidArgument` if neither a cost nor both point clouds are there.
    """
    names = ("source_points", "target_points")
    given = [name for name in ("cost", *names) if name in arrays]
    if given not in (["cost"], list(names)):
        expected = "cost, or source_points and target_points"
        raise InvalidArgument("data", expected, " and ".join(given) or "neither")
    metric = parameters.pop("metric", "sqeuclidean")
    scale = parameters.pop("cost_scale", 1.0)
    if metric not in METRICS:
        raise InvalidArgument("metric", " or ".join(METRICS), repr(metric))
    if given == ["cost"]:
        return MatrixCost(arrays.pop("cost"))
    return PointCost(arrays.pop(names[0]), arrays.pop(names[1]), METRICS[metric], scale)
