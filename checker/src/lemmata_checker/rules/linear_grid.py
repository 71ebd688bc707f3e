"""The pressure equation on a grid, rebuilt from its cells."""

import math

import numpy as np

from ..case import Case, Malformed
from ..packed import Packed
from ..rigor import TINY, U
from ..sparse import Matrix, Product, real
from ._linear_operators import GRID, Least, Operator, positive, register
from .linear_residual import by_vector

AIR, FLUID, SOLID = 0, 1, 2


def cells_of(problem: Packed) -> np.ndarray:
    """Cell codes, shape of the grid. **Raises:** `Malformed`."""
    cells = problem.arrays.get("cells")
    if cells is None or cells.dtype != np.uint8 or cells.ndim not in (2, 3):
        raise Malformed("cells: expected bytes on a grid of two or three axes")
    if not cells.size or cells.max() > SOLID:
        raise Malformed("cells: expected codes 0 (air), 1 (fluid), 2 (solid)")
    return cells


def grid_rhs(problem: Packed) -> np.ndarray:
    """b, flat. **Raises:** `Malformed` unless it has the shape of the cells."""
    cells = cells_of(problem)
    rhs = real(problem.arrays.get("rhs"), "rhs", cells.ndim)
    if rhs.shape != cells.shape:
        raise Malformed(f"rhs has shape {rhs.shape}, expected {cells.shape}")
    return rhs.reshape(-1)


def grid_operator(problem: Packed) -> "Stencil":
    """A over all cells in C order; `2 dim / h^2` on the diagonal off the fluid."""
    spacing = problem.json.get("spacing")
    if not isinstance(spacing, float) or not 1e-100 < spacing < 1e100:
        raise Malformed("spacing: expected a number > 0")
    return Stencil(cells_of(problem), spacing)


def open_faces(cells: np.ndarray) -> np.ndarray:
    """Number of faces that are not walls; beyond the array lies air."""
    around = np.pad(cells == SOLID, 1).astype(np.int64)
    inner = (slice(1, -1),) * cells.ndim
    walls = np.zeros(cells.shape, np.int64)
    for axis in range(cells.ndim):
        for step in (-1, 1):
            walls += np.roll(around, step, axis)[inner]
    return 2 * cells.ndim - walls


class Stencil(Matrix):
    """Compressed rows of whole numbers, over h^2: products allow for that division.

    `entries`, `diagonal` and the like are rounded; `product` knows by how much.
    """

    def __init__(self, cells: np.ndarray, spacing: float) -> None:
        faces = open_faces(cells)
        active = (cells == FLUID) & (faces > 0)
        number = np.arange(cells.size).reshape(cells.shape)
        rows, columns = [number.reshape(-1)], [number.reshape(-1)]
        data = [np.where(active, faces, 2 * cells.ndim).reshape(-1).astype(float)]
        for axis in range(cells.ndim):
            one, two = number.swapaxes(0, axis)[:-1], number.swapaxes(0, axis)[1:]
            live = active.swapaxes(0, axis)
            both = live[:-1] & live[1:]
            rows += [one[both], two[both]]
            columns += [two[both], one[both]]
            data.append(np.full(2 * np.count_nonzero(both), -1.0))
        rows, columns = np.concatenate(rows), np.concatenate(columns)
        order = np.lexsort((columns, rows))
        lengths = np.bincount(rows, minlength=cells.size)
        super().__init__(
            data=np.concatenate(data)[order],
            indices=columns[order],
            indptr=np.concatenate([[0], np.cumsum(lengths)]),
            columns=cells.size,
        )
        self.factor = 1.0 / (spacing * spacing)  # two roundings
        if not math.isfinite(self.factor):
            raise Malformed("spacing is too small")
        self.active = active.reshape(-1)

    def product(self, x: np.ndarray) -> Product:
        """A x and its error: 2u in the factor, u each in two products."""
        return self._scaled(super().product(x))

    def transposed(self, y: np.ndarray) -> Product:
        """The same: A is symmetric."""
        return self.product(y)

    def absolute_product(self, x: np.ndarray) -> np.ndarray:
        """Upper bound on |A| |x|."""
        return super().absolute_product(x) * self.factor * (1 + 8 * U) + TINY

    def _scaled(self, found: Product) -> Product:
        value = found.value * self.factor
        error = found.error * self.factor * (1 + 8 * U) + 5 * U * np.abs(value)
        return Product(value, error + 2 * TINY)

    def entries(self) -> np.ndarray:
        """Every stored entry, rounded."""
        return self.data * self.factor

    def diagonal(self) -> np.ndarray:
        """A_ii, rounded."""
        return super().diagonal() * self.factor

    def dense(self) -> np.ndarray:
        """Refused: its entries are rounded. **Raises:** `Malformed`."""
        raise Malformed("a stencil is judged by a positive vector, not as an array")


class GridOperator(Operator):
    """The operator of `linear.grid_poisson/1`, from cells and spacing."""

    def __init__(self, case: Case) -> None:
        self.rhs = grid_rhs(case.problem)
        self.matrix = grid_operator(case.problem)

    def product(self, x: np.ndarray) -> Product:
        """A x and its error."""
        return self.matrix.product(x)

    def least(self, case: Case) -> Least:
        """By a positive vector; none exists where a fluid region touches no air."""
        for source in (case.witness, case.value):
            if "positive_vector" in source:
                v = positive(source["positive_vector"], self.rhs.size)
                return by_vector(self.matrix, v)
        return Least(-math.inf, "there is no positive vector")


register(GRID, GridOperator)
