"""Entropic optimal transport: the problem, and what an answer to it is worth.

Source: Cuturi, NeurIPS 2013; dual and constants as in Tang et al., ICLR 2024
(arXiv 2401.12253), section 2; sparsity bound from Weed, COLT 2018, corollary 9.
"""

from typing import Any, Self, final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from lemmata_checker import Packed

from ..core import AbstractProblem, AnyArray, Claim, Withheld, array64
from ._assignment import solve_assignment
from ._cost import AbstractCost, MatrixCost, Real, as_cost, unpack_cost
from ._marginals import (
    entropy,
    smallest_marginal_tol,
    validate_balance,
    validate_cost,
    validate_epsilon,
    validate_tolerances,
    validate_weights,
)
from ._passes import Scalings, host_extremes
from ._plan import DensePlan, TransportPlan

_ASSIGNMENT_LIMIT = 300  # Floyd-Warshall, here and in the checker


@final
class EntropicTransport(AbstractProblem):
    """min <C, P> + epsilon sum_ij P_ij log P_ij over couplings P of the two marginals.

    **Fields:**

    - `cost`: C, an array (n, m), finite, or a `PointCost`, in any unit.
    - `source`, `target`: weights (n,) and (m,), >= 0, equal sums (relative 1e-9); the
      problem is about weights divided by their exact sums. None: uniform.
    - `epsilon`: regularisation = 1/eta, > 0, in units of the cost.
    - `gap_tol`: the answer encloses both optima to `gap_tol * (max C - min C)` beyond
      what theory allows.
    - `marginal_tol`: L1 violation allowed to the plan's marginals; None: the checker's
      own rounding, max(1e-12, 8 (n + m) u).

    **Raises:** `InvalidProblem`.
    """

    cost: AbstractCost
    source: Float64[AnyArray, " n"]
    target: Float64[AnyArray, " m"]
    epsilon: Real
    gap_tol: Real
    marginal_tol: Real | None

    def __init__(
        self,
        cost: Any,
        source: Any = None,
        target: Any = None,
        *,
        epsilon: Real,
        gap_tol: Real = 1e-8,
        marginal_tol: Real | None = None,
    ):
        self.cost = as_cost(cost)
        self.source, self.target = weights_or_uniform(source, target, self.cost)
        self.epsilon, self.gap_tol, self.marginal_tol = epsilon, gap_tol, marginal_tol

    def validate(self) -> None:
        validate_cost(self, self.cost)
        n, m = self.cost.shape
        validate_weights(self, "source", self.source, n)
        validate_weights(self, "target", self.target, m)
        validate_balance(self, self.source, self.target)
        validate_epsilon(self, self.epsilon, self.cost)
        validate_tolerances(self)

    def pack(self) -> Packed:
        parameters, arrays = self.cost.pack()
        parameters |= {
            "epsilon": float(self.epsilon),
            "gap_tol": float(self.gap_tol),
            "marginal_tol": _optional(self.marginal_tol),
        }
        for name in ("source", "target"):
            arrays[name] = np.ascontiguousarray(getattr(self, name), dtype="<f8")
        return Packed("transport.entropic/1", parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        parameters, arrays = dict(parameters), dict(arrays)
        return cls(unpack_cost(parameters, arrays), **arrays, **parameters)

    def default_method(self) -> Any:
        from ._newton_report import LARGEST_MATRIX
        from ._sinkhorn import Sinkhorn
        from ._sinkhorn_newton import SinkhornNewton

        n, m = self.cost.shape
        return SinkhornNewton() if n * m <= LARGEST_MATRIX else Sinkhorn()

    def scalings(self) -> Scalings:
        """1/epsilon and the normalised weights; inside the driver."""
        eta = 1.0 / jnp.asarray(self.epsilon, jnp.float64)
        source, target = jnp.asarray(self.source), jnp.asarray(self.target)
        return Scalings(eta, source / jnp.sum(source), target / jnp.sum(target))

    def claims(self, value: Any) -> tuple[Claim | Withheld, ...]:
        n, m = self.cost.shape
        low, high = host_extremes(self.cost)
        width = enclosure_width(self, low, high)
        shared = min(entropy(self.source), entropy(self.target)) * float(self.epsilon)
        tol = self.marginal_tol
        tol = smallest_marginal_tol(n, m) if tol is None else float(tol)
        return (
            Claim("transport.marginals/1", tol),
            Claim("transport.entropic_enclosure/1", width),
            # 1e-13: the entropy and the product above are rounded.
            Claim("transport.transport_enclosure/1", shared * (1 + 1e-13) + width),
            _sparsity_claim(self, value, width),
        )

    def candidate(
        self, *, potentials: Any = None, plan: Any = None
    ) -> TransportPlan | DensePlan:
        """A value from elsewhere.

        **Arguments:**

        - `potentials`: (x, y), shapes (n,), (m,), for the dual with the -1 in its
          exponent: P_ij = exp((x_i + y_j - C_ij) / epsilon - 1).
        - `plan`: P, shape (n, m), masses that sum to 1. Without potentials, they are
          fitted to log P; where P determines them badly, the problem is solved.

        **Raises:** `InvalidArgument` if both are missing or a shape does not fit.
        """
        from ._candidates import entropic_candidate

        return entropic_candidate(self, potentials, plan)

    def value_from(self, arrays: dict[str, np.ndarray]) -> TransportPlan | DensePlan:
        if "plan" in arrays:
            return DensePlan(**arrays)
        return TransportPlan(self, **arrays)


def enclosure_width(problem: Any, low: float, high: float) -> float:
    """gap_tol * range(C), in units of the cost, but never below what float64 resolves.

    The floor matters for a constant cost, or one that epsilon dwarfs.
    """
    n, m = problem.cost.shape
    size = max(abs(low), abs(high))
    size += float(getattr(problem, "epsilon", 0.0)) * (1.0 + np.log(n * m))
    return max(float(problem.gap_tol) * (high - low), 1e-13 * size)


def weights_or_uniform(source: Any, target: Any, cost: AbstractCost) -> tuple[Any, Any]:
    """Weights as float64; equal ones, of the other side's sum, where none are given."""
    shape = np.shape(cost.values) if isinstance(cost, MatrixCost) else cost.shape
    n, m = shape if len(shape) == 2 else (0, 0)  # `validate` refuses the latter
    if source is None and target is None:
        unit = (1.0, 1.0) if n == m else (float(m), float(n))  # both sums n m, exactly
        return np.full(n, unit[0]), np.full(m, unit[1])
    if source is None:
        target = array64(target)
        return np.full(n, np.sum(target) / max(n, 1)), target
    source = array64(source)
    if target is None:
        return source, np.full(m, np.sum(source) / max(m, 1))
    return source, array64(target)


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)


_SPARSITY = "transport.hessian_sparsity/1"


def _sparsity_claim(
    problem: EntropicTransport, value: Any, width: float
) -> Claim | Withheld:
    n, m = problem.cost.shape
    if not isinstance(value, TransportPlan):
        return Withheld(_SPARSITY, "the theorem is about plans given by potentials")
    uniform = all(np.ptp(w) == 0 for w in (problem.source, problem.target))
    if n != m or not uniform or n == 1:
        return Withheld(_SPARSITY, "needs uniform assignment: n = m > 1, equal weights")
    if n > _ASSIGNMENT_LIMIT:
        reason = f"issued up to n = {_ASSIGNMENT_LIMIT}: its witness takes n^3 steps"
        return Withheld(_SPARSITY, reason)
    best = solve_assignment(np.asarray(problem.cost.matrix()))
    eta = 1.0 / float(problem.epsilon)
    if not eta * best.gap > 1 + 2 * np.log(n):
        found = f"eta * gap = {eta * best.gap:.3g} <= 1 + 2 log n"
        return Withheld(_SPARSITY, f"no bound: {found}, so the theorem does not apply")
    # The enclosure's promise stands for the measured width, which it bounds.
    bound = 0.5 * (6 * n**2 * np.exp(-eta * best.gap) + np.sqrt(2 * eta * width))
    bound *= 1 + 1e-9  # the checker bounds its own rounding of the gap
    if bound >= 1:
        return Withheld(_SPARSITY, f"no bound: {bound:.3g} >= 1 says nothing")
    witness = {
        "permutation": best.permutation,
        "row_dual": best.row_dual,
        "column_dual": best.column_dual,
    }
    return Claim(_SPARSITY, float(bound), witness)
