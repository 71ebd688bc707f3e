"""Small systems on which the theory of relaxation is held against counts.

Source: Young, Iterative Solution of Large Linear Systems (1971); Khodak et al., ICLR
2024 (arXiv 2310.02246), sections 2.1 and 2.3; Axelsson (1994), theorem 7.17.
"""

from typing import Any, Self, final

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import Array

from lemmata_checker import Packed

from ..core import (
    AbstractMethod,
    AbstractProblem,
    AbstractValue,
    AnyArray,
    Claim,
    InvalidArgument,
    Withheld,
    array64,
    require,
)
from ._pattern import CSRSystems, as_csr, rows_of, stack_systems
from ._problem import Real
from ._relaxed_solve import Job, norm, sor, ssor_cg
from ._sequence import check_entries
from ._wavefront import Wavefronts

LARGEST = 400  # unknowns; the judge works with dense powers
WIDTH = 1e-6  # promised of the intervals around Young's figures
_YOUNG = "linear.young_optimum/1"
_SURROGATE, _BOUND = "linear.sor_surrogate/1", "linear.cg_bound/1"


@final
class RelaxationCounts(AbstractValue):
    """What iterations took, and Young's figures for them.

    **Fields:** `sor_counts`, `cg_counts` (m,) int64, from zero to the tolerance;
    `sor_radius` (m,), rho of SOR's matrix by Young's formula; `best_relaxation` ();
    `eigenvector` (n,) of D^{-1/2} (D - A) D^{-1/2} at its largest eigenvalue.
    """

    sor_counts: AnyArray
    cg_counts: AnyArray
    sor_radius: AnyArray
    best_relaxation: AnyArray
    eigenvector: AnyArray

    def pack(self) -> dict[str, np.ndarray]:
        names = ("sor_counts", "cg_counts", "sor_radius", "best_relaxation")
        arrays = {name: np.asarray(getattr(self, name)) for name in names}
        return arrays | {"eigenvector": np.asarray(self.eigenvector)}


@final
class RelaxationAudit(AbstractProblem):
    """One system and a grid of relaxations: do counts obey their bounds?

    **Fields:**

    - `operator`: A, symmetric positive definite, dense or SciPy sparse, n <= 400.
    - `rhs`: b, shape (n,), not zero.
    - `relaxation`: omega, (m,), in (0, 2).
    - `rtol`: iterations go from zero to ||b - A x|| <= rtol ||b||, in (0, 1).

    **Raises:** `InvalidProblem`.
    """

    data: AnyArray
    indices: AnyArray
    indptr: AnyArray
    fronts: Wavefronts
    rhs: AnyArray
    relaxation: AnyArray
    rtol: Real

    def __init__(self, operator: Any, rhs: Any, relaxation: Any, *, rtol: Real = 1e-8):
        if isinstance(operator, CSRSystems):
            stacked = stack_systems("RelaxationAudit", operator)
        else:
            matrix = as_csr("RelaxationAudit.operator", operator)
            nothing = np.zeros(rows_of(matrix))
            stacked = stack_systems("RelaxationAudit", [(matrix, nothing)])
        self.data, self.indices = np.asarray(stacked.data)[0], stacked.indices
        self.indptr = stacked.indptr
        self.fronts = Wavefronts.of(self.indices, self.indptr)
        self.rhs, self.relaxation = array64(rhs), array64(relaxation)
        self.rtol = rtol

    def validate(self) -> None:
        n, rtol, relaxation = self.indptr.size - 1, self.rtol, self.relaxation
        require(self, "operator", n <= LARGEST, expected=f"n <= {LARGEST}", got=n)
        check_entries(self, self.data, self.indices, self.indptr)
        shape = self.rhs.shape
        require(self, "rhs", shape == (n,), expected=f"shape ({n},)", got=shape)
        good = bool(np.all(np.isfinite(self.rhs)) and np.any(self.rhs))
        require(self, "rhs", good, expected="finite, not all zero", got="other")
        vector = relaxation.ndim == 1 and relaxation.size > 0
        got = relaxation.shape
        require(self, "relaxation", vector, expected="shape (m,)", got=got)
        inside = bool(np.all((relaxation > 0) & (relaxation < 2)))
        require(self, "relaxation", inside, expected="in (0, 2)", got=relaxation)
        require(self, "rtol", 0 < rtol < 1, expected="in (0, 1)", got=rtol)

    def matrix(self) -> sp.csr_array:
        """A, on the host."""
        shape = (self.indptr.size - 1,) * 2
        return sp.csr_array((self.data, self.indices, self.indptr), shape=shape)

    def pack(self) -> Packed:
        arrays = {
            "operator_data": np.asarray(self.data),
            "operator_indices": np.asarray(self.indices),
            "operator_indptr": np.asarray(self.indptr),
            "rhs": np.asarray(self.rhs),
            "relaxation": np.asarray(self.relaxation),
        }
        return Packed("linear.relaxation_audit/1", {"rtol": float(self.rtol)}, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        data: dict[str, Any] = dict(arrays)
        if "operator" not in data:
            data["operator"] = CSRSystems(
                np.atleast_2d(data.pop("operator_data")),
                data.pop("operator_indices"),
                data.pop("operator_indptr"),
                np.atleast_2d(data["rhs"]),
            )
        return cls(**data, **parameters)

    def claims(self, value: RelaxationCounts) -> tuple[Claim | Withheld, ...]:
        bound = Claim(_BOUND, 1.0)
        levels = ordering(self.indices, self.indptr, self.data)
        if levels is None:
            reason = (
                "the rows are not consistently ordered, which Young's formula needs"
            )
            return (Withheld(_YOUNG, reason), Withheld(_SURROGATE, reason), bound)
        witness = {"levels": levels}
        young = Claim(_YOUNG, WIDTH, witness)
        if np.min(value.sor_counts) < 2:
            reason = "a count of one says nothing about tau"
            return (young, Withheld(_SURROGATE, reason), bound)
        return (young, Claim(_SURROGATE, 1.0, witness), bound)

    def candidate(self, *, sor_counts: Any, cg_counts: Any) -> RelaxationCounts:
        """Counts (m,) from elsewhere; Young's figures are computed here.

        **Raises:** `InvalidArgument` if a shape does not fit.
        """
        counts = []
        for name, given in (("sor_counts", sor_counts), ("cg_counts", cg_counts)):
            array = np.asarray(given)
            if array.shape != self.relaxation.shape or array.dtype.kind not in "iu":
                expected = f"integers of shape {self.relaxation.shape}"
                got = f"{array.dtype} {array.shape}"
                raise InvalidArgument(f"candidate.{name}", expected, got)
            counts.append(array.astype(np.int64))
        return young_figures(self, *counts)

    def value_from(self, arrays: dict[str, np.ndarray]) -> RelaxationCounts:
        return RelaxationCounts(**arrays)

    def default_method(self) -> "MeasureCounts":
        return MeasureCounts()


def ordering(indices: Any, indptr: Any, data: Any) -> np.ndarray | None:
    """Integers g (n,), g_j - g_i = 1 for couplings i < j, or None if there are none."""
    n = indptr.size - 1
    rows = np.repeat(np.arange(n), np.diff(indptr))
    coupled = (rows != indices) & (data != 0)
    graph = sp.csr_array(
        (np.ones(coupled.sum()), (rows[coupled], indices[coupled])), shape=(n, n)
    )
    levels = np.full(n, np.iinfo(np.int64).min)
    for root in range(n):
        if levels[root] != np.iinfo(np.int64).min:
            continue
        levels[root], waiting = 0, [root]
        while waiting:
            i = waiting.pop()
            for j in graph.indices[graph.indptr[i] : graph.indptr[i + 1]]:
                level = levels[i] + (1 if j > i else -1)
                if levels[j] == np.iinfo(np.int64).min:
                    levels[j] = level
                    waiting.append(int(j))
                elif levels[j] != level:
                    return None
    return levels


def young_figures(
    problem: RelaxationAudit, sor_counts: np.ndarray, cg_counts: np.ndarray
) -> RelaxationCounts:
    """The counts with Young's figures, from dense eigenvalues on the host."""
    matrix = problem.matrix().toarray()
    root = np.sqrt(matrix.diagonal())
    h = (np.diag(matrix.diagonal()) - matrix) / root / root[:, None]
    values, vectors = np.linalg.eigh(h)
    beta, omega = float(values[-1]), np.asarray(problem.relaxation)
    inside = omega**2 * beta**2 - 4 * (omega - 1)
    radius = (omega * beta + np.sqrt(np.maximum(inside, 0))) ** 2 / 4
    radius = np.where(inside >= 0, radius, omega - 1)
    with np.errstate(invalid="ignore"):
        best = np.float64(1 + (beta / (1 + np.sqrt(1 - beta * beta))) ** 2)
    return RelaxationCounts(
        sor_counts, cg_counts, radius, np.asarray(best), vectors[:, -1]
    )


class AuditState:
    """Counts so far, on the host."""

    def __init__(self, done: int, sor_counts: np.ndarray, cg_counts: np.ndarray):
        self.done, self.sor_counts, self.cg_counts = done, sor_counts, cg_counts


@jax.jit
def _counts(fronts: Any, data: Any, rhs: Any, rtol: Any, omega: Any, cap: Any) -> Array:
    matrix, b = fronts.matrix(data), fronts.enter(rhs)
    job = Job(matrix, b, jnp.zeros_like(b), rtol * norm(b), cap)
    return jnp.stack([sor(job, omega).steps, ssor_cg(job, omega).steps])


@final
class MeasureCounts(AbstractMethod):
    """One step runs SOR and SSOR-preconditioned conjugate gradients at one relaxation.

    **Options:** `cap`: iterations after which a run is given up.
    """

    cap: int = 100_000

    host = True

    def validate(self) -> None:
        require(self, "cap", self.cap >= 1, expected=">= 1", got=self.cap)

    def init(self, problem: RelaxationAudit, key: Any) -> AuditState:
        del key
        zero = np.zeros(problem.relaxation.shape, np.int64)
        return AuditState(0, zero, zero.copy())

    def step(self, problem: RelaxationAudit, state: AuditState) -> AuditState:
        omega = problem.relaxation[state.done]
        found = np.asarray(
            _counts(
                problem.fronts,
                problem.data,
                problem.rhs,
                float(problem.rtol),
                omega,
                self.cap,
            )
        )
        sor_counts, cg_counts = state.sor_counts.copy(), state.cg_counts.copy()
        sor_counts[state.done], cg_counts[state.done] = found
        return AuditState(state.done + 1, sor_counts, cg_counts)

    def done(self, problem: RelaxationAudit, state: AuditState) -> bool:
        return state.done >= problem.relaxation.size

    def finish(self, problem: RelaxationAudit, state: AuditState) -> RelaxationCounts:
        return young_figures(problem, state.sor_counts, state.cg_counts)

    def observe(self, problem: RelaxationAudit, state: AuditState) -> dict[str, Any]:
        last = max(state.done - 1, 0)
        return {
            "relaxation": float(problem.relaxation[last]),
            "sor_count": int(state.sor_counts[last]),
            "cg_count": int(state.cg_counts[last]),
        }

    def to_arrays(self, state: AuditState) -> dict[str, np.ndarray]:
        return {
            "done": np.asarray(state.done),
            "sor_counts": state.sor_counts,
            "cg_counts": state.cg_counts,
        }

    def from_arrays(self, problem: RelaxationAudit, arrays: Any) -> AuditState:
        return AuditState(
            int(arrays["done"]), arrays["sor_counts"], arrays["cg_counts"]
        )

    def citations(self) -> tuple[str, ...]:
        return ("khodak2024learning", "young1971iterative", "axelsson1994iterative")
