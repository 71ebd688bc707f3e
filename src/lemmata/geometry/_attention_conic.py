"""The attention SVM by an interior-point method on the host.

Frobenius: min ||X||^2 / 2 subject to the margins. Nuclear: min (tr Y + tr Z) / 2 over
positive semidefinite [[Y, X], [X', Z]]. Both in the spans of differences and queries.

Source: Fazel, Hindi and Boyd, ACC 2001 (the nuclear norm as a semidefinite program).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import equinox as eqx
import jax
import numpy as np
import scipy.sparse

from ..core import CONVERGED, AbstractMethod, Outcome, TooLarge, float64, require
from ..numerics.conic import ConeProgram, solve_cone_program, svec_order
from ._attention_active_set import INFEASIBLE
from ._attention_host import farkas, to_host
from ._attention_svm import AttentionSVM, Real
from ._attention_value import AttentionWeights
from ._nuclear_reduction import Reduced

_VARIABLES = 6000
_ROWS = 2**22  # entries of the constraint matrix
_DROP = 1e-7  # singular values below this share are the interior's, not the solution's


class ConicState(eqx.Module):
    """Weights, multipliers, and how the solver ended (-1 before it ran)."""

    weights: np.ndarray
    multipliers: np.ndarray
    status: np.ndarray


@final
class ConicSVM(AbstractMethod):
    """Clarabel or SCS on the quadratic or semidefinite program, in one step.

    Needs `pip install lemmata[cones]`.

    **Options:**

    - `package`: "clarabel" or "scs".
    - `tol`: the solver's own tolerance, > 0.
    - `max_iterations`: of the solver, >= 1; SCS needs thousands.

    **Raises:** `ConicSolverNotFound`, `TooLarge`.
    """

    host: ClassVar[bool] = True
    package: str = "clarabel"
    tol: Real = 1e-10
    max_iterations: int = 200

    def validate(self) -> None:
        known = self.package in ("clarabel", "scs")
        require(self, "package", known, expected="clarabel or scs", got=self.package)
        require(self, "tol", self.tol > 0, expected="> 0", got=self.tol)
        count = self.max_iterations
        require(self, "max_iterations", count >= 1, expected=">= 1", got=count)

    def init(self, problem: AttentionSVM, key: Any) -> ConicState:
        del key  # deterministic
        d = problem.tokens.shape[2]
        shape = problem.tokens.shape[:2]
        return ConicState(np.zeros((d, d)), np.zeros(shape), np.array(-1))

    def step(self, problem: AttentionSVM, state: ConicState) -> ConicState:
        with float64():
            reduced = jax.tree.map(np.asarray, Reduced.of(to_host(problem)))
        active = np.asarray(reduced.active)
        places = np.argwhere(active)
        d = reduced.constraints.differences[places[:, 0], places[:, 1]]
        z = reduced.constraints.queries[places[:, 0]]
        p, q = d.shape[1], z.shape[1]
        size = p + q if problem.norm == "nuclear" else 0
        variables = size * (size + 1) // 2 if size else p * q
        if variables > _VARIABLES or len(places) * p * q > _ROWS:
            raise TooLarge(
                f"ConicSVM: {variables} variables, {len(places)} constraints; use "
                "DualActiveSet() or NuclearADMM()"
            )
        rows = (d[:, :, None] * z[:, None, :]).reshape(len(places), p * q)
        bound = reduced.bound[active]
        make = _nuclear if size else _frobenius
        program = make(rows, bound, p, q)
        found = solve_cone_program(
            program,
            tol=float(self.tol),
            max_iterations=self.max_iterations,
            solver=self.package,
        )
        if found.status == "primal_infeasible":
            return self._infeasible(problem, state)
        if not found.usable:
            return ConicState(state.weights, state.multipliers, np.array(2))
        matrix = _matrix(found.x, p, q, bool(size))
        multipliers = np.zeros(active.shape)
        multipliers[active] = np.maximum(found.dual[: len(places)], 0.0) * bound
        weights = reduced.rows @ matrix @ reduced.columns.T
        return ConicState(weights, multipliers, np.array(0))

    def _infeasible(self, problem: AttentionSVM, state: ConicState) -> ConicState:
        found = farkas(problem)
        if found is None:
            return ConicState(state.weights, state.multipliers, np.array(2))
        return ConicState(state.weights, found, np.array(1))

    def done(self, problem: AttentionSVM, state: ConicState) -> bool:
        del problem
        return int(state.status) >= 0

    def finish(self, problem: AttentionSVM, state: ConicState) -> AttentionWeights:
        weights, mu = np.asarray(state.weights), np.asarray(state.multipliers)
        if int(state.status) != 0:
            return AttentionWeights(weights, mu, problem)
        constraints = to_host(problem)
        sure = constraints.margins(weights) - constraints.rounding(weights)
        least = float(np.min(sure[constraints.active]))
        scale = (1 + 2.0**-50) / least if least > 0 else 1.0
        return AttentionWeights(weights * scale, mu, problem)

    def observe(self, problem: AttentionSVM, state: ConicState) -> dict[str, Any]:
        del problem
        return {"support": float(np.sum(state.multipliers > 0))}

    def outcome(self, problem: AttentionSVM, state: ConicState) -> Outcome:
        del problem
        if int(state.status) == 0:
            return CONVERGED
        if int(state.status) == 1:
            return INFEASIBLE
        return Outcome(
            "solver_failed",
            f"{self.package} returned no usable point; raise tol or max_iterations, or "
            "use DualActiveSet() or NuclearADMM().",
        )

    def citations(self) -> tuple[str, ...]:
        return ("tarzanagh2023transformers", "fazel2001rank")

    def to_arrays(self, state: ConicState) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in vars(state).items()}

    def from_arrays(
        self, problem: AttentionSVM, arrays: Mapping[str, np.ndarray]
    ) -> ConicState:
        del problem
        return ConicState(**arrays)


def _frobenius(rows: np.ndarray, bound: np.ndarray, p: int, q: int) -> ConeProgram:
    return ConeProgram(
        np.zeros(p * q),
        scipy.sparse.csc_array(-rows),
        -bound,
        (("nonnegative", len(rows)),),
        scipy.sparse.eye_array(p * q, format="csc"),
    )


def _nuclear(rows: np.ndarray, bound: np.ndarray, p: int, q: int) -> ConeProgram:
    """Variables are the symmetric matrix's triangle, off the diagonal times sqrt 2."""
    row, column = svec_order(p + q)
    cross = (row < p) & (column >= p)
    wide = np.zeros((len(rows), row.size))
    wide[:, cross] = rows[:, row[cross] * q + column[cross] - p] / np.sqrt(2.0)
    matrix = scipy.sparse.vstack(
        [scipy.sparse.csc_array(-wide), -scipy.sparse.eye_array(row.size)], format="csc"
    )
    rhs = np.concatenate([-bound, np.zeros(row.size)])
    cones = (("nonnegative", len(rows)), ("semidefinite", p + q))
    return ConeProgram(np.where(row == column, 0.5, 0.0), matrix, rhs, cones)


def _matrix(x: np.ndarray, p: int, q: int, nuclear: bool) -> np.ndarray:
    """X of a solution; small singular values are the interior point's."""
    if not nuclear:
        return x.reshape(p, q)
    row, column = svec_order(p + q)
    cross = (row < p) & (column >= p)
    matrix = np.zeros((p, q))
    matrix[row[cross], column[cross] - p] = x[cross] / np.sqrt(2.0)
    left, values, rows = np.linalg.svd(matrix, full_matrices=False)
    kept = values > _DROP * values[0]
    return (left[:, kept] * values[kept]) @ rows[kept]
