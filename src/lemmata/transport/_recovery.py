"""From the maximiser of the semi-dual to a k-sparse plan whose rows come out right."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ._search import as_dense, as_entries, descend, exchange, fill
from ._support import (
    Elastic,
    Entries,
    HostData,
    balanced,
    bridged,
    elastic_transport,
    exact_columns,
    restricted_quadratic,
)
from ._topk import Oriented, cost_range, semi_dual

FEASIBLE = 1e-10  # L1 mass, relative to the total of 1: beyond what rounding explains
_PENALTIES = (0.003, 0.03, 3.0)  # first penalties, in units of cost per mean mass
_PRICES = (2.0, 4.0, 8.0, 16.0, 16.0)  # of violated rows, in mean prices per unit


class Recovered(NamedTuple):
    """The plan, its L1 row error and objective, and a potential it suggests (f,)."""

    entries: Entries
    error: float
    objective: float
    alpha: np.ndarray

    def rank(self) -> tuple[bool, float, float]:
        """Feasible first, then the smaller error, then the smaller objective."""
        good = self.error <= FEASIBLE
        return not good, 0.0 if good else self.error, self.objective


@eqx.filter_jit
def averaged_plan(data: Oriented, alpha: Any, steps: int, length: Any) -> Array:
    """Mean plan (c, f) over supergradient steps from `alpha`, (f,).

    Step t is `length / sqrt(t)` ranges of the cost long. At a maximum where top-k sets
    tie, the optimal mixture of plans is what the plans of the method average to.
    """
    unit = length * cost_range(data)

    def advance(carry, step):
        alpha, total = carry
        found = semi_dual(data, alpha)
        rows = jnp.arange(data.capped.shape[0])[:, None]
        total = total.at[rows, found.topk.indices].add(found.topk.mass / steps)
        return (alpha + unit / jnp.sqrt(step) * found.gradient, total), None

    start = (jnp.asarray(alpha), jnp.zeros_like(data.cost))
    (_, mean), _ = jax.lax.scan(advance, start, jnp.arange(1.0, steps + 1.0))
    return mean


def best_potential(
    data: Oriented, tried: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, float]:
    """The potential of the largest D, and D; the first one where rounding decides."""
    values = np.array([float(_value(data, jnp.asarray(x))) for x in tried])
    level = values.max() - 1e-14 * (1 + abs(values.max()))
    place = int(np.argmax(values >= level))
    return tried[place], float(values[place])


@eqx.filter_jit
def _value(data: Oriented, alpha: Array) -> Array:
    return semi_dual(data, alpha).value


def polish(
    data: HostData, alpha: np.ndarray, mean: np.ndarray, searches: int, sweeps: int
) -> Recovered:
    """The best k-sparse plan found around a mixture of optimal plans.

    **Arguments:**

    - `alpha`: maximiser of the semi-dual, (f,).
    - `mean`: optimal mixture, (c, f), >= 0.
    - `searches`, `sweeps`: how many penalties to try, and sweeps for each.

    The k largest entries per capped point are tried first; where their rows cannot come
    out right, the searches look for a support nearby.
    """
    mean = np.where(np.isfinite(data.cost), mean, 0.0)
    order = np.argsort(-mean, axis=1, kind="stable")[:, : data.cap]
    first = np.zeros(mean.shape)
    np.put_along_axis(first, order, np.take_along_axis(mean, order, axis=1), axis=1)
    found = [_settle(data, as_entries(first), alpha)]
    # A feasible start leaves only the objective to gain, where small steps serve.
    tries = 1 if found[0].error <= FEASIBLE else searches
    unit = _spread(data) * data.capped.size
    for penalty in _PENALTIES[: min(tries, searches)]:
        plan = descend(data, mean, alpha, penalty * unit, sweeps)
        found.append(_improve(data, as_entries(plan), alpha))
    return min(found, key=Recovered.rank)


def linear_transport(entries: Entries, data: HostData) -> Elastic:
    """A vertex of the linear problem on the support, and its prices."""
    # No violation pays at this price.
    price = 10 * _spread(data) * data.free.size
    return elastic_transport(entries, data, 1.0, price)


def vertex(data: HostData) -> tuple[np.ndarray, np.ndarray]:
    """Plan (c, f) and potential (f,) of the linear problem, exact for a cap of 1.

    There O_j(s) = b_j max(s) - gamma/2 b_j^2, so D is the dual of the linear problem up
    to a constant.
    """
    capped, free = np.nonzero(np.isfinite(data.cost))
    found = linear_transport(Entries(free, capped, np.zeros(free.size)), data)
    return as_dense(found.entries, data), found.free_price


def _improve(data: HostData, entries: Entries, alpha: np.ndarray) -> Recovered:
    """Linear programs and exchanges in turn, violations priced ever higher."""
    settled = _settle(data, entries, alpha)
    if settled.error <= FEASIBLE:
        return settled
    unit = _spread(data)
    found = fill(data, entries, unit * _PRICES[0])
    for price in _PRICES:
        traded = exchange(data, found.entries.positive(), unit * price)
        found = fill(data, traded, unit * price)
        if found.violation <= FEASIBLE:
            break
    return min(settled, _settle(data, found.entries, alpha), key=Recovered.rank)


def _settle(data: HostData, entries: Entries, alpha: np.ndarray) -> Recovered:
    """The quadratic optimum on the support if its rows can come out right."""
    least: Elastic = elastic_transport(entries, data, 0.0, 1.0)
    if not least.violation <= FEASIBLE:
        # Nearly the least violation, at the least cost.
        priced = elastic_transport(entries, data, 1.0, 100 * _spread(data))
        plan = min(priced, least, key=lambda found: found.violation).entries.positive()
        return Recovered(plan, plan.row_error(data), plan.objective(data), alpha)
    beta = -_thresholds(data, alpha)
    best = restricted_quadratic(entries, data, alpha, beta)
    exact = balanced(exact_columns(best.entries, data), data)
    if exact.row_error(data) > FEASIBLE:
        exact = balanced(least.entries, data)
    exact = bridged(exact, data)
    return Recovered(exact, exact.row_error(data), exact.objective(data), best.alpha)


def _thresholds(data: HostData, alpha: np.ndarray) -> np.ndarray:
    """tau_j at alpha, (c,)."""
    scores = -np.sort(-(alpha - data.cost), axis=1)[:, : data.cap]
    counts = np.arange(1, data.cap + 1)
    total = np.cumsum(scores, axis=1) - (data.gamma * data.capped)[:, None]
    level = total / counts
    last = np.count_nonzero(scores > level, axis=1) - 1
    return level[np.arange(level.shape[0]), last]


def _spread(data: HostData) -> float:
    return float(np.ptp(data.cost[np.isfinite(data.cost)])) or 1.0
