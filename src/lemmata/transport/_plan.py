"""What transport problems answer with: views, dense plans, sparse couplings."""

import functools
from collections.abc import Iterator
from typing import Any, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Float64, Int64

from ..core import AbstractValue, AnyArray, TooLarge, array64, float64
from ._cost import AbstractCost
from ._passes import Column, Row
from ._rounding import needs_pairs, plan_rows

_DENSE_LIMIT = 2**27  # entries: 1 GiB
_BLOCK = 2**22  # entries of one block of a view: 32 MiB
_DIGITS = 1e-13  # relative error of the entries that a view shows


class AbstractPlan(AbstractValue):
    """A coupling P of shape (n, m) with P >= 0 that can be applied and looked at."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        return self.row_potential.shape[0], self.column_potential.shape[0]  # type: ignore[attr-defined]

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, rows of P), block by block."""
        raise NotImplementedError

    def __matmul__(self, other: Any) -> np.ndarray:
        """P @ other: shape (m,) or (m, k) to (n,) or (n, k)."""
        other = np.asarray(other, dtype=np.float64)
        return np.concatenate([block @ other for _, block in self.blocks()])

    def __rmatmul__(self, other: Any) -> np.ndarray:
        """Other @ P: shape (n,) or (k, n) to (m,) or (k, m)."""
        other = np.asarray(other, dtype=np.float64)
        parts = ((other[..., i : i + len(b)], b) for i, b in self.blocks())
        return functools.reduce(np.add, (left @ block for left, block in parts))

    __array_ufunc__ = None  # so that `array @ plan` comes here

    @property
    def T(self) -> "TransposedPlan":  # noqa: N802
        """P transposed, as a view."""
        return TransposedPlan(self)

    def marginals(self) -> tuple[np.ndarray, np.ndarray]:
        """Row sums (n,) and column sums (m,)."""
        n, m = self.shape
        rows, columns = np.zeros(n), np.zeros(m)
        for start, block in self.blocks():
            rows[start : start + len(block)] = block.sum(axis=1)
            columns += block.sum(axis=0)
        return rows, columns

    def map(self, points: Any) -> np.ndarray:
        """Barycentric projection: where each source is sent on average.

        **Arguments:** `points`, the targets' positions or values, (m,) or (m, k).

        **Returns:** (n,) or (n, k), NaN for sources of zero weight.
        """
        points = np.asarray(points, dtype=np.float64)
        columns = points.reshape(len(points), -1)
        image = self @ np.column_stack([columns, np.ones(len(points))])
        mass = np.where(image[:, -1:] > 0, image[:, -1:], np.nan)
        return (image[:, :-1] / mass).reshape(-1, *points.shape[1:])

    def sparse(self, threshold: float = 0.0) -> scipy.sparse.csr_array:
        """The entries above `threshold` (in mass), as SciPy CSR."""
        parts = []
        for _, block in self.blocks():
            parts.append(scipy.sparse.csr_array(np.where(block > threshold, block, 0)))
        return scipy.sparse.csr_array(scipy.sparse.vstack(parts, format="csr"))

    def dense(self, limit: int = _DENSE_LIMIT) -> np.ndarray:
        """All of P, shape (n, m).

        **Raises:** `TooLarge` above `limit` entries.
        """
        n, m = self.shape
        if n * m > limit:
            raise TooLarge(
                f"a dense plan of {n} x {m} = {n * m} entries exceeds limit={limit}; "
                "use @, rows(), sparse() or map(), or raise limit"
            )
        return np.concatenate([block for _, block in self.blocks()])


@final
class TransposedPlan(eqx.Module):
    """The transpose of a plan, to be applied with `@`."""

    plan: AbstractPlan

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        n, m = self.plan.shape
        return m, n

    @property
    def T(self) -> AbstractPlan:  # noqa: N802
        """The plan itself."""
        return self.plan

    def __matmul__(self, other: Any) -> np.ndarray:
        return (np.asarray(other, dtype=np.float64).T @ self.plan).T

    def __rmatmul__(self, other: Any) -> np.ndarray:
        return (self.plan @ np.asarray(other, dtype=np.float64).T).T

    __array_ufunc__ = None


@final
class TransportPlan(AbstractPlan):
    """An exactly feasible plan, as a view over potentials.

    P_ij = s_i t_j exp((x_i + y_j - C_ij) / epsilon - 1) + a_i b_j / sum(a), and 0 in
    rows and columns of zero weight; x, y the potentials, s, t the scalings in (0, 1],
    a, b the remainders >= 0 (their term is absent where a is 0).

    **Fields:** float64; `row_potential`, `row_scaling`, `row_remainder` (n,);
    `column_potential`, `column_scaling`, `column_remainder` (m,); `cost` <C, P> and
    `regularised_cost` <C, P> + epsilon sum P log P, in units of the cost; `problem`,
    the instance (its cost, weights and epsilon are part of the definition).

    Atoms of zero weight carry the c-transform as potential: finite, and largest with
    x_i + y_j <= C_ij.
    """

    problem: Any
    row_potential: Row = eqx.field(converter=array64)
    column_potential: Column = eqx.field(converter=array64)
    row_scaling: Row = eqx.field(converter=array64)
    column_scaling: Column = eqx.field(converter=array64)
    row_remainder: Row = eqx.field(converter=array64)
    column_remainder: Column = eqx.field(converter=array64)
    cost: Float64[AnyArray, ""] = eqx.field(converter=array64)
    regularised_cost: Float64[AnyArray, ""] = eqx.field(converter=array64)

    def pack(self) -> dict[str, np.ndarray]:
        names = (
            "row_potential",
            "column_potential",
            "row_scaling",
            "column_scaling",
            "row_remainder",
            "column_remainder",
            "cost",
            "regularised_cost",
        )
        return {name: np.asarray(getattr(self, name), "<f8") for name in names}

    def rows(self, start: int, stop: int) -> np.ndarray:
        """P[start:stop], shape (stop - start, m), entries to a relative 1e-13."""
        problem, here = self.problem, slice(start, stop)
        with float64():
            plan = np.asarray(
                _jitted_plan(
                    problem.cost.part(start, stop),
                    jnp.asarray(problem.epsilon, jnp.float64),
                    jnp.asarray(self.row_potential[here]),
                    jnp.asarray(self.column_potential),
                )
            )
        live = (problem.source[here, None] > 0) & (problem.target > 0)
        scaled = self.row_scaling[here, None] * plan * self.column_scaling
        rest, missing = self.row_remainder[here], np.sum(self.row_remainder)
        if missing > 0:
            scaled = scaled + rest[:, None] * (self.column_remainder / missing)
        return np.where(live, scaled, 0.0)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        n, m = self.shape
        size = max(1, min(n, _BLOCK // m))
        for start in range(0, n, size):
            yield start, self.rows(start, min(start + size, n))


@eqx.filter_jit
def _jitted_plan(cost: AbstractCost, epsilon: Any, x: Any, y: Any) -> Any:
    pairs = needs_pairs(cost, epsilon, x, y, _DIGITS)
    return plan_rows(cost, epsilon, x, y, 0, x.shape[0], pairs)


@final
class DensePlan(AbstractPlan):
    """A plan that is stored, usually one from elsewhere.

    **Fields:** `plan` (n, m) in units of mass (all weights sum to 1); `row_potential`
    (n,), `column_potential` (m,); `cost`; `regularised_cost`, None for the problem
    without entropy.
    """

    plan: Float64[AnyArray, "n m"] = eqx.field(converter=array64)
    row_potential: Row = eqx.field(converter=array64)
    column_potential: Column = eqx.field(converter=array64)
    cost: Float64[AnyArray, ""] = eqx.field(converter=array64)
    regularised_cost: Float64[AnyArray, ""] | None = None

    def pack(self) -> dict[str, np.ndarray]:
        names = ["plan", "row_potential", "column_potential", "cost"]
        if self.regularised_cost is not None:
            names.append("regularised_cost")
        return {
            name: np.ascontiguousarray(getattr(self, name), "<f8").reshape(
                np.shape(getattr(self, name))
            )
            for name in names
        }

    def rows(self, start: int, stop: int) -> np.ndarray:
        """P[start:stop]."""
        return np.asarray(self.plan)[start:stop]

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        yield 0, np.asarray(self.plan)


@final
class SparseCoupling(AbstractPlan):
    """A plan with few entries, such as a vertex of the transport polytope.

    **Fields:** `rows`, `columns` (k,) int64, sorted by row and column, no duplicates;
    `mass` (k,), > 0, all together 1; `row_potential` u (n,), `column_potential` v (m,),
    duals with u_i + v_j <= C_ij; `cost` <C, P>.
    """

    rows: Int64[AnyArray, " k"]
    columns: Int64[AnyArray, " k"]
    mass: Float64[AnyArray, " k"] = eqx.field(converter=array64)
    row_potential: Row = eqx.field(converter=array64)
    column_potential: Column = eqx.field(converter=array64)
    cost: Float64[AnyArray, ""] = eqx.field(converter=array64)

    @classmethod
    def of(
        cls,
        coo: Any,
        row_potential: np.ndarray,
        column_potential: np.ndarray,
        cost: Any,
    ) -> Self:
        """From a SciPy sparse array of shape (n, m)."""
        matrix = scipy.sparse.csr_array(coo)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        matrix.sort_indices()
        entries = matrix.tocoo()
        return cls(
            entries.row.astype(np.int64),
            entries.col.astype(np.int64),
            entries.data,
            row_potential,
            column_potential,
            np.asarray(cost, dtype=np.float64),
        )

    def pack(self) -> dict[str, np.ndarray]:
        floats = ("mass", "row_potential", "column_potential", "cost")
        packed = {name: np.asarray(getattr(self, name), "<f8") for name in floats}
        for name in ("rows", "columns"):
            packed[name] = np.asarray(getattr(self, name), "<i8")
        return packed

    def sparse(self, threshold: float = 0.0) -> scipy.sparse.csr_array:
        keep = self.mass > threshold
        place = (self.rows[keep], self.columns[keep])
        return scipy.sparse.csr_array((self.mass[keep], place), shape=self.shape)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        matrix, n, m = self.sparse(), *self.shape
        size = max(1, min(n, _BLOCK // m))
        for start in range(0, n, size):
            yield start, matrix[start : start + size].toarray()

    def __matmul__(self, other: Any) -> np.ndarray:
        return self.sparse() @ np.asarray(other, dtype=np.float64)

    def __rmatmul__(self, other: Any) -> np.ndarray:
        return (self.sparse().T @ np.asarray(other, dtype=np.float64).T).T
