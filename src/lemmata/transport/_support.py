"""Plans on a given sparse support: are the marginals possible, and at what cost?

All of it on the host, in NumPy, with the capped side as `capped` and the other as
`free`. Solver of the linear programs: HiGHS (Huangfu and Hall, 2018), through SciPy.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog
from scipy.sparse.csgraph import (
    breadth_first_order,
    connected_components,
    minimum_spanning_tree,
)
from scipy.sparse.linalg import splu


class HostData(NamedTuple):
    """Oriented data in NumPy.

    `cost` (c, f), +inf where forbidden; `free` (f,), `capped` (c,), each of sum 1;
    `given`: both weights before they were divided by their sums.
    """

    cost: np.ndarray
    free: np.ndarray
    capped: np.ndarray
    gamma: float
    cap: int
    given: tuple[np.ndarray, np.ndarray]


class Entries(NamedTuple):
    """A sparse plan: positions (e,) on either side and mass (e,) >= 0."""

    free: np.ndarray
    capped: np.ndarray
    mass: np.ndarray

    def row_error(self, data: HostData) -> float:
        """L1 error on the free side."""
        got = np.bincount(self.free, self.mass, minlength=data.free.size)
        return float(np.sum(np.abs(got - data.free)))

    def objective(self, data: HostData) -> float:
        """<C, T> + gamma/2 |T|^2."""
        costs = data.cost[self.capped, self.free]
        return float(costs @ self.mass + data.gamma / 2 * (self.mass @ self.mass))

    def positive(self) -> "Entries":
        """Without the zeros."""
        keep = self.mass > 0
        return Entries(self.free[keep], self.capped[keep], self.mass[keep])


def incidence(entries: Entries, data: HostData) -> sp.csr_matrix:
    """Marginals of the plan as a matrix on its masses, (f + c, e)."""
    e, f, c = entries.free.size, data.free.size, data.capped.size
    index = np.concatenate([entries.free, f + entries.capped])
    places = np.tile(np.arange(e), 2)
    return sp.csr_matrix((np.ones(2 * e), (index, places)), shape=(f + c, e))


class Elastic(NamedTuple):
    """Plan, L1 violation on the free side, prices of the marginals (f,) and (c,)."""

    entries: Entries
    violation: float
    free_price: np.ndarray
    capped_price: np.ndarray


def elastic_transport(
    entries: Entries, data: HostData, weight: float, price: float
) -> Elastic:
    """Min of weight * <C, T> + price * |T1 - a|_1 over plans on the support.

    `weight = 0` gives the least violation possible. Always feasible if every capped
    point has an entry.
    """
    f = data.free.size
    slack = sp.vstack([sp.eye(f), sp.csr_matrix((data.capped.size, f))])
    matrix = sp.hstack([incidence(entries, data), slack, -slack]).tocsc()
    costs = weight * data.cost[entries.capped, entries.free]
    found = linprog(
        np.concatenate([costs, np.full(2 * f, price)]),
        A_eq=matrix,
        b_eq=np.concatenate([data.free, data.capped]),
        method="highs",
    )
    e = entries.free.size
    if found.x is None:
        return Elastic(entries, np.inf, np.zeros(f), np.zeros(data.capped.size))
    plan = exact_columns(entries._replace(mass=np.maximum(found.x[:e], 0.0)), data)
    prices = found.eqlin.marginals
    return Elastic(plan, plan.row_error(data), prices[:f], prices[f:])


def exact_columns(entries: Entries, data: HostData) -> Entries:
    """Rescales each capped point's mass to its weight."""
    sums = np.bincount(entries.capped, entries.mass, minlength=data.capped.size)
    factor = data.capped / np.where(sums > 0, sums, 1.0)
    return entries._replace(mass=entries.mass * factor[entries.capped])


def balanced(entries: Entries, data: HostData) -> Entries:
    """Removes what rounding left on the marginals, by flows along a spanning forest.

    Heavy entries are preferred; where one would turn negative, nothing is changed.
    """
    plan = entries.positive()
    f, c = data.free.size, data.capped.size
    shape = (f + c, f + c)
    ends = (plan.free, f + plan.capped)
    forest = minimum_spanning_tree(sp.csr_matrix((1 / plan.mass, ends), shape=shape))
    where = dict(zip(zip(*ends, strict=True), range(plan.mass.size), strict=True))
    mass = plan.mass.copy()
    marginals = np.concatenate([data.free, data.capped])
    left = marginals - incidence(plan, data) @ mass
    seen = np.zeros(f + c, dtype=bool)
    for root in range(f + c):
        if seen[root]:
            continue
        order, parent = breadth_first_order(forest, root, directed=False)
        seen[order] = True
        for node in order[:0:-1]:
            up = parent[node]
            edge = where[(min(node, up), max(node, up))]
            mass[edge] += left[node]
            left[up] -= left[node]
    return plan if np.any(mass <= 0) else plan._replace(mass=mass)


def bridged(entries: Entries, data: HostData) -> Entries:
    """Joins components of the support whose two sides differ in exact arithmetic.

    Weights that were rounded when they were written down rarely balance exactly on a
    part of the points, so some rounding error must flow from one component to another.
    Room within the cap permitting, entries of exactly that mass are added.
    """
    f, c = data.free.size, data.capped.size
    ends = (entries.free, f + entries.capped)
    ones = np.ones(entries.free.size)
    graph = sp.csr_matrix((ones, ends), shape=(f + c, f + c))
    count, label = connected_components(graph, directed=False)
    surplus = _surplus(label, count, data)
    room = data.cap - np.bincount(entries.capped, minlength=c)
    givers = [p for p in range(count) if surplus[p] > 0]
    takers = [p for p in range(count) if surplus[p] < 0]
    extra: list[tuple[int, int, float]] = []
    while givers and takers:
        p, q = givers[-1], takers[-1]
        amount = min(surplus[p], -surplus[q])
        open_points = np.flatnonzero((label[f:] == p) & (room > 0))
        free = np.flatnonzero(label[:f] == q)
        costs = data.cost[np.ix_(open_points, free)]
        if not np.any(np.isfinite(costs)):
            return entries
        j, i = np.unravel_index(np.argmin(costs), costs.shape)
        extra.append((int(free[i]), int(open_points[j]), float(amount)))
        room[open_points[j]] -= 1
        surplus[p] -= amount
        surplus[q] += amount
        givers, takers = (
            side[:-1] if surplus[side[-1]] == 0 else side for side in (givers, takers)
        )
    if not extra:
        return entries
    columns = zip(entries, zip(*extra, strict=True), strict=True)
    return Entries(*(np.concatenate([old, np.array(new)]) for old, new in columns))


def _surplus(label: np.ndarray, count: int, data: HostData) -> list[Fraction]:
    """Per component: share of the capped side minus share of the free side, exactly."""
    surplus = [Fraction(0)] * count
    f, start = data.free.size, 0
    for weights, sign in zip(data.given, (-1, 1), strict=True):
        exact = [Fraction(w) for w in weights.tolist()]
        total = sum(exact)
        for node, weight in enumerate(exact, start):
            surplus[label[node]] += sign * weight / total
        start = f
    return surplus


class Restricted(NamedTuple):
    """The quadratic optimum on a support and its potentials (f,), (c,)."""

    entries: Entries
    alpha: np.ndarray
    beta: np.ndarray


def restricted_quadratic(
    entries: Entries, data: HostData, alpha: np.ndarray, beta: np.ndarray
) -> Restricted:
    """Min <C, T> + gamma/2 |T|^2 over plans with the right marginals on the support.

    Semismooth Newton with a proximal term on the dual, whose optimality condition is
    `T = [alpha_i + beta_j - C_ij]_+ / gamma` with both marginals right. Source: Lorenz,
    Manns, Meyer, Quadratically regularized optimal transport (2021), section 3.
    """
    matrix = incidence(entries, data)
    costs = data.cost[entries.capped, entries.free]
    marginals = np.concatenate([data.free, data.capped])
    x = np.concatenate([alpha, beta])

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        mass = np.maximum(matrix.T @ x - costs, 0.0) / data.gamma
        value = data.gamma / 2 * (mass @ mass) - marginals @ x
        return value, mass, matrix @ mass - marginals

    value, mass, residual = evaluate(x)
    best = (np.sum(np.abs(residual)), mass, x)
    for _ in range(200):
        size = np.sum(np.abs(residual))
        if size < best[0]:
            best = (size, mass, x)
        if size < 1e-14:
            break
        lift = np.clip(size, 1e-12, 1e-3) / data.gamma
        active = matrix[:, mass > 0]
        hessian = active @ active.T / data.gamma + lift * sp.eye(x.size)
        step = -splu(hessian.tocsc()).solve(residual)
        slope, length = residual @ step, 1.0
        while length > 1e-6:
            trial = evaluate(x + length * step)
            # The value no longer tells near the end; the residual does.
            down = trial[0] <= value + 1e-4 * length * slope
            if down or np.sum(np.abs(trial[2])) < 0.9 * size:
                break
            length /= 2
        else:
            break
        x, (value, mass, residual) = x + length * step, trial
    f = data.free.size
    return Restricted(entries._replace(mass=best[1]), best[2][:f], best[2][f:])
