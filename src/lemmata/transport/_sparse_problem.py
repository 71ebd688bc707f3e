"""Optimal transport with a hard cap on the non-zeros of every column (or row).

Source: Liu, Puigcerver, Blondel, Sparsity-Constrained Optimal Transport, ICLR 2023
(arXiv 2209.15466). That the selection plan is a global optimum for its own row sums
follows from weak duality, and holds for every potential.
"""

from typing import Any, Literal, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Float64
from scipy.sparse.csgraph import maximum_flow

from lemmata_checker import Packed

from ..core import AbstractProblem, AnyArray, Claim, Withheld, array64, require
from ._cost import AbstractCost, Real, as_cost, unpack_cost
from ._marginals import (
    smallest_marginal_tol,
    validate_balance,
    validate_cost,
    validate_tolerances,
    validate_weights,
)
from ._sparse_plan import SparsePlan
from ._support import Entries, HostData, elastic_transport
from ._topk import Oriented

NEARLY_FEASIBLE = 1e-6  # L1 mass: what the judge may repair on the support


@final
class SparseTransport(AbstractProblem):
    """min <C, T> + gamma/2 |T|^2 over couplings T, at most `cap` non-zeros per column.

    **Fields:**

    - `cost`: C, an array (m, n) or a `PointCost`, in any unit; +inf forbids a pair.
    - `source` (m,), `target` (n,): weights > 0, equal sums (relative 1e-9); the problem
      is about weights divided by their exact sums. None: uniform.
    - `gamma`: > 0, in units of cost per mass.
    - `cap`: integer in [1, m] (in [1, n] with `axis="rows"`), never clipped.
    - `axis`: `"columns"`: at most `cap` sources for every target; `"rows"`: at most
      `cap` targets for every source.
    - `gap_tol`: a feasible answer is within `gap_tol * (max C - min C)` of the global
      optimum. The problem is not convex: on some instances no answer can prove that.
    - `marginal_tol`: L1 violation allowed to the row sums (column sums with
      `axis="rows"`); None: the checker's rounding, max(1e-12, 8 (n + m) u).

    **Raises:** `InvalidProblem`, also where no plan can exist: it names the condition.
    """

    cost: AbstractCost
    source: Float64[AnyArray, " m"]
    target: Float64[AnyArray, " n"]
    gamma: Real
    cap: int = eqx.field(static=True)
    axis: Literal["columns", "rows"] = eqx.field(static=True)
    gap_tol: Real
    marginal_tol: Real | None

    def __init__(
        self,
        cost: Any,
        source: Any = None,
        target: Any = None,
        *,
        gamma: Real,
        cap: int,
        axis: Literal["columns", "rows"] = "columns",
        gap_tol: Real = 1e-5,
        marginal_tol: Real | None = None,
    ):
        self.cost = as_cost(cost)
        self.source = _weights(source, self.cost, 0, target)
        self.target = _weights(target, self.cost, 1, source)
        self.gamma, self.cap, self.axis = gamma, cap, axis
        self.gap_tol, self.marginal_tol = gap_tol, marginal_tol

    def validate(self) -> None:
        axis = self.axis
        known = axis in ("columns", "rows")
        require(self, "axis", known, expected="'columns' or 'rows'", got=repr(axis))
        validate_cost(self, self.cost, allow_inf=True)
        m, n = self.cost.shape
        validate_weights(self, "source", self.source, m, allow_zero=False)
        validate_weights(self, "target", self.target, n, allow_zero=False)
        validate_balance(self, self.source, self.target)
        good = np.ndim(self.gamma) == 0 and np.isfinite(self.gamma) and self.gamma > 0
        require(self, "gamma", good, expected="finite, > 0", got=self.gamma)
        validate_tolerances(self)
        self._validate_cap()
        data = self.host_data()
        if not np.all(np.isfinite(data.cost)):
            self._screen(data)

    def _validate_cap(self) -> None:
        m, n = self.cost.shape
        free, capped = (m, n) if self.axis == "columns" else (n, m)
        names = ("rows", "columns")
        one, other = names if self.axis == "columns" else names[::-1]
        whole = isinstance(self.cap, int | np.integer) and not isinstance(
            self.cap, bool
        )
        good = whole and 1 <= self.cap <= free
        require(
            self, "cap", good, expected=f"an integer in [1, {free}]", got=repr(self.cap)
        )
        short = free - capped * self.cap
        require(
            self,
            "cap",
            short <= 0,
            expected=f"cap * {capped} {other} >= {free} {one}",
            got=f"cap = {self.cap}: {short} {one} cannot be covered",
        )

    def _screen(self, data: HostData) -> None:
        """Necessary for a plan where pairs are forbidden; both conditions are named."""
        allowed = np.isfinite(data.cost)
        covered = _coverable(allowed, data.cap)
        short = data.free.size - covered
        require(
            self,
            "cap",
            short == 0,
            expected="allowed pairs that give every point a partner within the cap",
            got=f"{short} points that no such choice covers",
        )
        capped, free = np.nonzero(allowed)
        entries = Entries(free, capped, np.zeros(free.size))
        missing = elastic_transport(entries, data, 0.0, 1.0).violation
        require(
            self,
            "cost",
            missing <= 1e-9,
            expected="allowed pairs over which the weights can be transported",
            got=f"an L1 violation of at least {missing:.3g}",
        )

    def pack(self) -> Packed:
        parameters, arrays = self.cost.pack()
        tol = self.marginal_tol
        parameters |= {
            "gamma": float(self.gamma),
            "cap": int(self.cap),
            "axis": self.axis,
            "gap_tol": float(self.gap_tol),
            "marginal_tol": None if tol is None else float(tol),
        }
        for name in ("source", "target"):
            arrays[name] = np.ascontiguousarray(getattr(self, name), dtype="<f8")
        return Packed("transport.sparse/1", parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        parameters, arrays = dict(parameters), dict(arrays)
        return cls(unpack_cost(parameters, arrays), **arrays, **parameters)

    def default_method(self) -> Any:
        from ._semi_dual import SemiDual

        return SemiDual()

    def oriented(self) -> Oriented:
        """The data with the capped side first; inside the driver."""
        cost, a, b = (jnp.asarray(v) for v in self._sides())
        gamma = jnp.asarray(self.gamma, cost.dtype)
        return Oriented(cost, a / jnp.sum(a), b / jnp.sum(b), gamma, int(self.cap))

    def host_data(self) -> HostData:
        """The same in NumPy."""
        cost, a, b = (np.asarray(v) for v in self._sides())
        cost, shares = np.ascontiguousarray(cost), (a / a.sum(), b / b.sum())
        return HostData(cost, *shares, float(self.gamma), int(self.cap), (a, b))

    def _sides(self) -> tuple[Any, Any, Any]:
        cost = self.cost.matrix()
        if self.axis == "columns":
            return cost.T, self.source, self.target
        return cost, self.target, self.source

    def claims(self, value: SparsePlan) -> tuple[Claim | Withheld, ...]:
        m, n = self.cost.shape
        tol = self.marginal_tol
        tol = smallest_marginal_tol(n, m) if tol is None else float(tol)
        selected, scale = self._violation(value.selection()), float(value.objective)
        dual = float(value.dual_value)
        return (
            Claim("transport.cardinality/1", float(self.cap)),
            Claim("transport.sparse_marginals/1", tol, parameters={"plan": "returned"}),
            Claim(
                "transport.sparse_marginals/1",
                # The figure itself, with room for the judge's rounding.
                selected * (1 + 1e-9) + smallest_marginal_tol(n, m),
                parameters={"plan": "selection"},
            ),
            Claim("transport.selection_optimality/1", 1e-10 * (1 + abs(scale))),
            # The judge's own rounding is far below this.
            Claim("transport.sparse_lower_bound/1", dual - 1e-11 * (1 + abs(dual))),
            self._gap_claim(value),
        )

    def _gap_claim(self, value: SparsePlan) -> Claim | Withheld:
        name = "transport.sparse_gap/1"
        error = self._violation(value.sparse())
        if not error <= NEARLY_FEASIBLE:
            reason = f"the plan violates the marginals by {error:.3g}: no bound from it"
            return Withheld(name, reason)
        finite = np.asarray(self.cost.matrix())
        finite = finite[np.isfinite(finite)]
        return Claim(name, float(self.gap_tol) * float(np.ptp(finite)))

    def _violation(self, plan: sp.csr_array) -> float:
        """L1 error on the side that is not capped, and on the other beyond rounding."""
        a, b = (np.asarray(w) / np.sum(w) for w in (self.source, self.target))
        rows = np.sum(np.abs(np.asarray(plan.sum(axis=1)) - a))
        columns = np.sum(np.abs(np.asarray(plan.sum(axis=0)) - b))
        free, capped = (rows, columns) if self.axis == "columns" else (columns, rows)
        limit = smallest_marginal_tol(*self.cost.shape)
        return float(free) if capped <= limit else float(free + capped)

    def candidate(self, *, plan: Any, alpha: Any = None) -> SparsePlan:
        """A value from elsewhere.

        **Arguments:**

        - `plan`: T, an array (m, n) or any SciPy sparse array; exact zeros are zeros.
        - `alpha`: potential of the side that is not capped, (m,) (with `axis="rows"`:
          of the columns, (n,)); None: the semi-dual is maximised for one.

        **Raises:** `InvalidArgument` if a shape does not fit.
        """
        from ._sparse_candidate import sparse_candidate

        return sparse_candidate(self, plan, alpha)

    def value_from(self, arrays: dict[str, np.ndarray]) -> SparsePlan:
        return SparsePlan(**arrays)


def _weights(value: Any, cost: AbstractCost, side: int, other: Any) -> Any:
    """Weights of one side; without any, uniform ones of the same sum as the other's."""
    if value is not None:
        return array64(value)
    # A cost that is not two-dimensional is refused by name in `validate`.
    shape = np.shape(getattr(cost, "values", ())) or cost.shape
    if len(shape) != 2:
        return np.zeros(0)
    if other is None:
        return np.full(shape[side], float(shape[1 - side]))  # sums equal exactly
    return np.full(shape[side], np.sum(other) / shape[side])


def _coverable(allowed: np.ndarray, cap: int) -> int:
    """Most free points that can each have a capped partner, `cap` at most for each."""
    capped, free = np.nonzero(allowed)
    c, f = allowed.shape
    heads = np.concatenate([np.zeros(f, int), 1 + free, 1 + f + np.arange(c)])
    tails = np.concatenate([1 + np.arange(f), 1 + f + capped, np.full(c, 1 + f + c)])
    room = np.concatenate([np.ones(f + free.size, int), np.full(c, cap)])
    size = f + c + 2
    graph = sp.csr_matrix((room.astype(np.int32), (heads, tails)), shape=(size, size))
    return int(maximum_flow(graph, 0, size - 1).flow_value)
