"""Values made of answers from elsewhere, missing potentials completed."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from ..core import InvalidArgument, float64, run
from ..core._arrays import to_jax, to_numpy
from ._newton_report import LARGEST_MATRIX
from ._passes import Scalings, dual_value, sums_of_plan, sweep
from ._plan import DensePlan, SparseCoupling, TransportPlan
from ._values import transport_plan

_POLISH = 20  # sweeps after the fit, cheap beside it
_SUPPORT = 1e-14  # share of the largest entry below which an entry supports nothing


def array_argument(name: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A float64 array of this shape. **Raises:** `InvalidArgument`."""
    array = np.asarray(given)
    if array.dtype.kind not in "fiub" or array.shape != shape:
        got = f"{array.dtype} of shape {array.shape}"
        raise InvalidArgument(f"candidate.{name}", f"real numbers, shape {shape}", got)
    return np.ascontiguousarray(array, dtype=np.float64)


def potentials_argument(
    given: Any, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of shapes (n,), (m,). **Raises:** `InvalidArgument`."""
    try:
        x, y = given
    except (TypeError, ValueError):
        got = type(given).__name__
        raise InvalidArgument("candidate.potentials", "a pair (x, y)", got) from None
    n, m = shape
    x = array_argument("potentials[0]", x, (n,))
    return x, array_argument("potentials[1]", y, (m,))


def plan_argument(problem: Any, given: Any) -> np.ndarray:
    """P (n, m) with masses that sum to 1.

    A plan whose masses sum to sum(source) instead is divided by that sum.
    """
    if scipy.sparse.issparse(given):
        given = given.toarray()
    plan = array_argument("plan", given, problem.cost.shape)
    total, mass = float(np.sum(problem.source)), float(np.sum(plan))
    raw = abs(mass - total) <= 1e-3 * total and abs(total - 1.0) > 1e-9
    return plan / total if raw else plan


def entropic_candidate(
    problem: Any, potentials: Any, plan: Any
) -> TransportPlan | DensePlan:
    """See `EntropicTransport.candidate`."""
    if potentials is None and plan is None:
        raise InvalidArgument("candidate", "potentials=(x, y) or plan=P", "neither")
    pair = None
    if potentials is not None:
        pair = potentials_argument(potentials, problem.cost.shape)
    if plan is None:
        assert pair is not None
        with float64():
            x, y = (jnp.asarray(v) for v in pair)
            return to_numpy(_plan_of(to_jax(problem), x, y))
    dense = plan_argument(problem, plan)
    cost = np.asarray(problem.cost.matrix())
    linear = float(np.sum(cost * dense))
    positive = np.where(dense > 0, dense, 1.0)
    epsilon = float(problem.epsilon)
    full = linear + epsilon * float(np.sum(dense * np.log(positive)))
    if pair is None:
        pair = _fitted(problem, cost, dense, full)
    return DensePlan(dense, *pair, np.asarray(linear), np.asarray(full))


_plan_of = eqx.filter_jit(transport_plan)


def _fitted(
    problem: Any, cost: np.ndarray, plan: np.ndarray, primal: float
) -> tuple[np.ndarray, np.ndarray]:
    """Potentials whose dual value is as close to the optimum as the plan lets them."""
    low, high = float(cost.min()), float(cost.max())
    x, y = fit_potentials(cost, plan, float(problem.epsilon))
    with float64():
        traced = to_jax(problem)
        x, y, dual = _polish(traced, jnp.asarray(x), jnp.asarray(y))
        close = primal - float(dual) <= 0.5 * float(problem.gap_tol) * (high - low)
        if not close and plan.size <= LARGEST_MATRIX:
            # Not an optimal plan, or one that does not determine its potentials: the
            # witness is then the optimum's own.
            from ._sinkhorn_newton import SinkhornNewton

            value, _, _ = _solved(traced, to_jax(SinkhornNewton()))
            x, y = value.row_potential, value.column_potential
        return np.asarray(x), np.asarray(y)


@eqx.filter_jit
def _polish(problem: Any, x: Any, y: Any) -> Any:
    scalings: Scalings = problem.scalings()

    def dual(x: Any, y: Any) -> Any:
        rows, _ = sums_of_plan(problem.cost, scalings, x, y)
        value = dual_value(scalings, x, y, jnp.sum(rows))
        return jnp.where(jnp.isfinite(value), value, -jnp.inf)

    def again(_: Any, pair: Any) -> Any:
        return sweep(problem.cost, scalings, pair[1])[:2]

    before = dual(x, y)
    swept = jax.lax.fori_loop(0, _POLISH, again, (x, y))
    after = dual(*swept)
    better = after > before
    return (
        jnp.where(better, swept[0], x),
        jnp.where(better, swept[1], y),
        jnp.maximum(after, before),
    )


@eqx.filter_jit
def _solved(problem: Any, method: Any) -> Any:
    return run(problem, method, max_steps=2000)


def fit_potentials(
    cost: np.ndarray, plan: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares for x_i + y_j = C_ij + epsilon (log P_ij + 1), weighted by P.

    Exact for a plan of that form; a small ridge decides what P leaves open.
    """
    weight = np.where(plan > 0, plan, 0.0)
    goal = cost + epsilon * (np.log(np.where(weight > 0, weight, 1.0)) + 1.0)
    moment = weight * goal
    d1, d2 = (np.maximum(weight.sum(axis=k), 1e-300) for k in (1, 0))
    first, second = moment.sum(axis=1), moment.sum(axis=0)
    scaled = weight / d1[:, None]
    schur = np.diag(d2 * (1.0 + 1e-13)) - weight.T @ scaled
    schur += d2.sum() / len(d2) ** 2
    y = np.linalg.lstsq(schur, second - scaled.T @ first, rcond=1e-15)[0]
    return (first - weight @ y) / d1, y


def support_duals(
    cost: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(u, v) with u_i + v_j <= C_ij everywhere, equal on the support if possible.

    Shortest paths (Bellman-Ford) in the residual graph of the plan: row to column at
    C_ij, back at -C_ij on the support. They exist exactly if the plan is optimal;
    otherwise the iteration is cut off and v is the c-transform of u.
    """
    n, m = cost.shape
    to_row = np.zeros(n)
    on_support = cost[rows, columns]
    for _ in range(n + m):
        to_column = np.min(to_row[:, None] + cost, axis=0)
        shorter = to_row.copy()
        np.minimum.at(shorter, rows, to_column[columns] - on_support)
        # A gain of rounding size is none: ties would otherwise circle for ever.
        gain = np.max(to_row - shorter)
        to_row = shorter
        size = max(np.max(np.abs(v), initial=0.0) for v in (on_support, shorter))
        if gain <= 1e-15 * size:
            break
    return -to_row, np.min(cost + to_row[:, None], axis=0)


def optimal_candidate(
    problem: Any, plan: Any, potentials: Any
) -> DensePlan | SparseCoupling:
    """See `OptimalTransport.candidate`."""
    cost = np.asarray(problem.cost.matrix())
    sparse = scipy.sparse.issparse(plan)
    dense = plan_argument(problem, plan)
    rows, columns = np.nonzero(dense > _SUPPORT * np.max(dense, initial=0.0))
    if potentials is None:
        pair = support_duals(cost, rows, columns)
    else:
        pair = potentials_argument(potentials, cost.shape)
    linear = np.asarray(float(np.sum(cost * dense)))
    few = np.count_nonzero(dense) <= 4 * sum(dense.shape)
    if (sparse or few) and np.all(dense >= 0):
        return SparseCoupling.of(scipy.sparse.csr_array(dense), *pair, linear)
    return DensePlan(dense, *pair, linear)
