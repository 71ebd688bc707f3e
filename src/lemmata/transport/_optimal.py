"""Optimal transport without regularisation: the problem, and what an answer is worth.

Source: Kantorovich (1942); Peyré and Cuturi, Computational Optimal Transport (2019),
sections 2.3 and 2.5.
"""

from typing import Any, Self, final

import numpy as np
from jaxtyping import Float64

from lemmata_checker import Packed

from ..core import AbstractProblem, AnyArray, Claim, InvalidArgument, Withheld
from ._cost import AbstractCost, Real, as_cost, unpack_cost
from ._entropic import weights_or_uniform
from ._marginals import (
    smallest_marginal_tol,
    validate_balance,
    validate_cost,
    validate_tolerances,
    validate_weights,
)
from ._passes import block_size
from ._plan import DensePlan, SparseCoupling


@final
class OptimalTransport(AbstractProblem):
    """min <C, P> over couplings P of the two marginals.

    **Fields:**

    - `cost`: C, an array (n, m), finite, or a `PointCost`, in any unit.
    - `source`, `target`: weights (n,) and (m,), >= 0, equal sums (relative 1e-9); the
      problem is about weights divided by their exact sums. None: uniform.
    - `gap_tol`: the optimum is enclosed to `gap_tol` times the range of the costs that
      no plan can avoid (see `unavoidable_range`): a huge cost that stands for a
      forbidden pair must not make the promise worthless.
    - `marginal_tol`: L1 violation allowed to the plan's marginals; None: the checker's
      own rounding, max(1e-12, 8 (n + m) u).

    **Raises:** `InvalidProblem`.
    """

    cost: AbstractCost
    source: Float64[AnyArray, " n"]
    target: Float64[AnyArray, " m"]
    gap_tol: Real
    marginal_tol: Real | None

    def __init__(
        self,
        cost: Any,
        source: Any = None,
        target: Any = None,
        *,
        gap_tol: Real = 1e-8,
        marginal_tol: Real | None = None,
    ):
        self.cost = as_cost(cost)
        self.source, self.target = weights_or_uniform(source, target, self.cost)
        self.gap_tol, self.marginal_tol = gap_tol, marginal_tol

    def validate(self) -> None:
        validate_cost(self, self.cost)
        n, m = self.cost.shape
        validate_weights(self, "source", self.source, n)
        validate_weights(self, "target", self.target, m)
        validate_balance(self, self.source, self.target)
        validate_tolerances(self)

    def pack(self) -> Packed:
        parameters, arrays = self.cost.pack()
        tol = self.marginal_tol
        parameters["gap_tol"] = float(self.gap_tol)
        parameters["marginal_tol"] = None if tol is None else float(tol)
        for name in ("source", "target"):
            arrays[name] = np.ascontiguousarray(getattr(self, name), dtype="<f8")
        return Packed("transport.optimal/1", parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        parameters, arrays = dict(parameters), dict(arrays)
        return cls(unpack_cost(parameters, arrays), **arrays, **parameters)

    def default_method(self) -> Any:
        from ._linear_program import LinearProgram

        return LinearProgram()

    def claims(self, value: Any) -> tuple[Claim | Withheld, ...]:
        del value
        n, m = self.cost.shape
        tol = self.marginal_tol
        tol = smallest_marginal_tol(n, m) if tol is None else float(tol)
        width = float(self.gap_tol) * unavoidable_range(self.cost)
        return (
            Claim("transport.marginals/1", tol),
            Claim("transport.optimality_gap/1", width),
        )

    def candidate(
        self, *, plan: Any = None, potentials: Any = None
    ) -> SparseCoupling | DensePlan:
        """A value from elsewhere.

        **Arguments:**

        - `plan`: P, array or SciPy sparse (n, m), masses that sum to 1 or to
          sum(source).
        - `potentials`: duals (u, v), u_i + v_j <= C_ij. Where they are missing, they
          are derived from the plan's support by shortest paths; they then prove that
          an optimal plan is optimal.

        **Raises:** `InvalidArgument` if the plan is missing or a shape does not fit.
        """
        from ._candidates import optimal_candidate

        if plan is None:
            raise InvalidArgument("candidate.plan", "a plan of shape (n, m)", None)
        return optimal_candidate(self, plan, potentials)

    def value_from(self, arrays: dict[str, np.ndarray]) -> SparseCoupling | DensePlan:
        return DensePlan(**arrays) if "plan" in arrays else SparseCoupling(**arrays)


def unavoidable_range(cost: AbstractCost) -> float:
    """The dearest of all atoms' cheapest costs, less the cheapest cost of all; > 0.

    Where every atom has a pair of the least cost, the range of C; where C is constant,
    its size, or 1.
    """
    n, m = cost.shape
    size = block_size(cost)
    columns, rows, high = np.full(m, np.inf), np.empty(n), -np.inf
    for start in range(0, n, size):
        block = cost.rows(start, min(size, n - start))
        rows[start : start + size] = block.min(axis=1)
        columns = np.minimum(columns, block.min(axis=0))
        high = max(high, float(block.max()))
    low = float(rows.min())
    dearest = max(float(rows.max()), float(columns.max()))
    return (dearest - low) or (high - low) or abs(high) or 1.0
