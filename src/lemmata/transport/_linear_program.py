"""Optimal transport by an exact solver on the host: assignment, or the simplex method.

Source: Crouse, IEEE Trans. AES 52 (2016) as in SciPy's `linear_sum_assignment`; Huangfu
and Hall, Math. Prog. Comp. 10 (2018), HiGHS, as in SciPy's `linprog`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import equinox as eqx
import numpy as np
import scipy.optimize
import scipy.sparse

from ..core import CONVERGED, AbstractMethod, Outcome, TooLarge
from ._candidates import support_duals
from ._cost import MatrixCost
from ._optimal import unavoidable_range
from ._plan import SparseCoupling

_LARGEST = 2**22  # variables of the linear program
_TOLERANCE = 1e-10  # HiGHS's smallest; on costs and masses scaled to about 1


class LinearProgramState(eqx.Module):
    """A vertex in coordinates, its duals, and whether and why the solver stopped."""

    rows: np.ndarray
    columns: np.ndarray
    mass: np.ndarray
    row_potential: np.ndarray
    column_potential: np.ndarray
    status: np.ndarray


@final
class LinearProgram(AbstractMethod):
    """An optimal vertex and its duals: assignment for uniform squares, else HiGHS.

    Runs on the host in one step. Memory and time of a linear program with n m
    variables; assignment takes n = 2,000 in a second.

    **Raises:** `TooLarge` above 2^22 variables.
    """

    host: ClassVar[bool] = True

    def init(self, problem: Any, key: Any) -> LinearProgramState:
        del key  # deterministic
        n, m = problem.cost.shape
        if n * m > _LARGEST:
            raise TooLarge(
                f"LinearProgram: {n} x {m} variables exceed {_LARGEST}; use "
                "EntropicTransport at small epsilon, whose enclosure holds this optimum"
            )
        none = np.zeros(0, np.int64)
        status = np.array(-1)
        return LinearProgramState(
            none, none, np.zeros(0), np.zeros(n), np.zeros(m), status
        )

    def step(self, problem: Any, state: LinearProgramState) -> LinearProgramState:
        cost = np.asarray(problem.cost.matrix())
        source = np.asarray(problem.source) / np.sum(problem.source)
        target = np.asarray(problem.target) / np.sum(problem.target)
        capped, (rows, columns, mass, status) = _solve(cost, source, target)
        u, v = support_duals(capped, rows, columns)
        return LinearProgramState(
            rows.astype(np.int64),
            columns.astype(np.int64),
            mass,
            u,
            v,
            np.array(status),
        )

    def done(self, problem: Any, state: LinearProgramState) -> bool:
        del problem
        return int(state.status) >= 0

    def finish(self, problem: Any, state: LinearProgramState) -> SparseCoupling:
        place = (state.rows, state.columns)
        plan = scipy.sparse.coo_array((state.mass, place), shape=problem.cost.shape)
        entries = problem.cost.entries(state.rows, state.columns)
        cost = float(np.sum(entries * state.mass))
        return SparseCoupling.of(
            plan, state.row_potential, state.column_potential, cost
        )

    def observe(self, problem: Any, state: LinearProgramState) -> dict[str, Any]:
        del problem
        return {"entries": float(len(state.mass))}

    def outcome(self, problem: Any, state: LinearProgramState) -> Outcome:
        del problem
        if int(state.status) == 0:
            return CONVERGED
        return Outcome(
            "solver_failed",
            f"HiGHS ended with status {int(state.status)}; rescale the costs, or use "
            "EntropicTransport.",
        )

    def citations(self) -> tuple[str, ...]:
        return ("huangfu2018highs", "crouse2016assignment")

    def to_arrays(self, state: LinearProgramState) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in vars(state).items()}

    def from_arrays(
        self, problem: Any, arrays: Mapping[str, np.ndarray]
    ) -> LinearProgramState:
        del problem
        return LinearProgramState(**arrays)


Vertex = tuple[np.ndarray, np.ndarray, np.ndarray, int]


def _solve(
    cost: np.ndarray, source: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, Vertex]:
    """Costs as they were used, and (rows, columns, mass, status) of an optimal vertex.

    A cost of 1e32 that stands for a forbidden pair would drown all others in rounding.
    So costs are capped: where the vertex found leaves capped pairs alone it is optimal
    for the costs as given, and its duals are feasible for them.
    """
    low, spread = float(cost.min()), float(np.ptp(cost))
    cap = 100.0 * max(cost.shape) * unavoidable_range(MatrixCost(cost))
    while True:
        used = np.minimum(cost, low + cap)
        found = _vertex(used, source, target)
        rows, columns, _, status = found
        if cap >= spread or (status == 0 and np.all(cost[rows, columns] <= low + cap)):
            return used, found
        cap *= 1e4


def _vertex(cost: np.ndarray, source: np.ndarray, target: np.ndarray) -> Vertex:
    """By assignment where the problem is one, else by HiGHS."""
    n, m = cost.shape
    if n == m and np.ptp(source) == 0 and np.ptp(target) == 0:
        rows, columns = scipy.optimize.linear_sum_assignment(cost)
        return rows, columns, source.copy(), 0
    return _simplex(cost, source, target)


def _simplex(cost: np.ndarray, source: np.ndarray, target: np.ndarray) -> Vertex:
    """By HiGHS's dual simplex method, costs and masses scaled to its tolerances."""
    n, m = cost.shape
    spread = float(np.ptp(cost))
    scale = 1e3 / spread if spread > 0 else 1.0
    size = float(max(n, m))
    rows = scipy.sparse.kron(scipy.sparse.eye_array(n), np.ones((1, m)))
    columns = scipy.sparse.kron(np.ones((1, n)), scipy.sparse.eye_array(m))
    found = scipy.optimize.linprog(
        (scale * (cost - cost.min())).ravel(),
        A_eq=scipy.sparse.vstack([rows, columns], format="csc"),
        b_eq=size * np.concatenate([source, target]),
        method="highs-ds",
        options={
            "primal_feasibility_tolerance": _TOLERANCE,
            "dual_feasibility_tolerance": _TOLERANCE,
        },
    )
    if found.x is None:
        none = np.zeros(0, np.int64)
        return none, none, np.zeros(0), max(int(found.status), 1)
    plan = np.maximum(found.x, 0.0).reshape(n, m) / size
    i, j = np.nonzero(plan > 1e-15)
    return i, j, plan[i, j], int(found.status)
