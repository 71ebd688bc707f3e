"""The inequality as a cone program, solved by Clarabel or SCS.

Coordinates are scaled so that M has a unit diagonal at a feasible point, multipliers by
that point. Where the pattern of M falls into blocks (the chain of the reduced form),
each block is a cone of its own.
"""

from typing import ClassVar, NamedTuple, final

import equinox as eqx
import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from ..core import AnyArray, require
from ..numerics.conic import ConeProgram, solve_cone_program, svec_order
from ._inequality import Inequality

MARGIN = 1e-10  # of the unit diagonal, by which M is asked to be positive


class ConicFound(NamedTuple):
    """Multipliers (m,) as the solver left them, and what it said."""

    theta: np.ndarray
    status: str
    iterations: int


class AbstractConicSolver(eqx.Module):
    """A package that solves cone programs."""

    package: ClassVar[str]
    tol: float | AnyArray
    max_iterations: int = eqx.field(static=True)

    def check(self, method: eqx.Module) -> None:
        """Checks the options. Raises `InvalidMethod`."""
        require(method, "solver.tol", self.tol > 0, expected="> 0", got=self.tol)
        count = self.max_iterations
        good = isinstance(count, int) and count >= 1
        require(method, "solver.max_iterations", good, expected=">= 1", got=count)


@final
class Clarabel(AbstractConicSolver):
    """Interior points; accurate, for inequalities of order up to about 150.

    **Options:**

    - `tol`: of gap and feasibility, > 0.
    - `max_iterations`: >= 1.
    """

    package: ClassVar[str] = "clarabel"
    tol: float | AnyArray = 1e-9
    max_iterations: int = eqx.field(static=True, default=200)


@final
class SCS(AbstractConicSolver):
    """First-order splittings; for larger inequalities and looser tolerances.

    **Options:**

    - `tol`: of gap and feasibility, > 0.
    - `max_iterations`: >= 1.
    """

    package: ClassVar[str] = "scs"
    tol: float | AnyArray = 1e-6
    max_iterations: int = eqx.field(static=True, default=20_000)


def conic_solution(
    inequality: Inequality,
    start: np.ndarray,
    solver: AbstractConicSolver,
    margin: float = MARGIN,
) -> ConicFound:
    """The solver's multipliers.

    **Arguments:** `start`: a point, (m,), for the scaling, best a feasible one;
    `margin`: by which the scaled M is to be positive.

    **Raises:** `ConicSolverNotFound`.
    """
    layout = inequality.layout
    positive = layout.positive
    typical = float(np.mean(start[positive]))
    units = np.where(positive, np.maximum(start, 1e-12 * typical), typical)
    rows, base = np.asarray(inequality.rows), np.asarray(inequality.base)
    diagonal = np.diagonal(base) + (rows * rows).T @ inequality.scale(start)
    scale = 1 / np.sqrt(np.maximum(np.abs(diagonal), 1e-300))
    rows, base = rows * scale, base * scale * scale[:, None]
    parts, cones, rhs = [], [], []
    for part in _blocks(rows, base):
        parts.append(_columns(rows[:, part], layout, units))
        rhs.append(_svec(base[np.ix_(part, part)] - margin * np.eye(len(part))))
        cones.append(("semidefinite", len(part)))
    count = int(positive.sum())
    places = np.arange(count), np.flatnonzero(positive)
    signs = scipy.sparse.csr_array((np.ones(count), places), (count, len(positive)))
    matrix = -scipy.sparse.vstack([*parts, signs], format="csc")
    cost = layout.cost * units
    program = ConeProgram(
        cost / np.max(cost),
        matrix,
        np.concatenate([*rhs, np.zeros(count)]),
        (*cones, ("nonnegative", count)),
    )
    found = solve_cone_program(
        program,
        tol=float(solver.tol),
        max_iterations=solver.max_iterations,
        solver=solver.package,
    )
    theta = np.where(np.isfinite(found.x), found.x, 0.0) * units
    theta = np.where(positive, np.maximum(theta, 0.0), theta)
    return ConicFound(theta, found.status, found.iterations)


def _blocks(rows: np.ndarray, base: np.ndarray) -> list[np.ndarray]:
    """Coordinates that hang together."""
    some = scipy.sparse.csr_array(rows != 0).astype(np.int64)
    linked = some.T @ some + scipy.sparse.csr_array(base != 0)
    count, label = connected_components(linked, directed=False)
    return [np.flatnonzero(label == i) for i in range(count)]


def _columns(rows: np.ndarray, layout, units: np.ndarray) -> scipy.sparse.csc_array:
    """svec(F_j) of one block as columns, scaled."""
    owners, signs = np.asarray(layout.owners), np.asarray(layout.signs)
    size = rows.shape[1]
    length = size * (size + 1) // 2
    order = np.argsort(owners, kind="stable")
    ends = np.searchsorted(owners[order], np.arange(len(layout.kinds) + 1))
    index, data, heads = [], [], [0]
    for j in range(len(layout.kinds)):
        own = order[ends[j] : ends[j + 1]]
        own = own[np.any(rows[own] != 0, axis=1)]
        if own.size:
            u = rows[own]
            column = _svec((u.T * (signs[own] * units[j])) @ u)
            filled = np.flatnonzero(column)
            index.append(filled)
            data.append(column[filled])
        heads.append(heads[-1] + (len(index[-1]) if own.size else 0))
    index = np.concatenate([np.zeros(0, np.int64), *index])
    data = np.concatenate([np.zeros(0), *data])
    shape = (length, len(layout.kinds))
    return scipy.sparse.csc_array((data, index, np.asarray(heads)), shape=shape)


def _svec(matrix: np.ndarray) -> np.ndarray:
    """Upper triangle by columns, off the diagonal times the square root of 2."""
    row, column = svec_order(len(matrix))
    return matrix[row, column] * np.where(row == column, 1.0, np.sqrt(2.0))
