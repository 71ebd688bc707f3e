"""Small transport problems and answers, made with plain NumPy Sinkhorn sweeps."""

import numpy as np

from lemmata_checker.case import Case
from lemmata_checker.packed import Packed


def metric(x: np.ndarray, y: np.ndarray, name: str) -> np.ndarray:
    gap = x[:, None, :] - y[None, :, :]
    if name == "cityblock":
        return np.abs(gap).sum(axis=2)
    square = (gap**2).sum(axis=2)
    return square if name == "sqeuclidean" else np.sqrt(square)


def entropic(
    cost: np.ndarray, source: np.ndarray, target: np.ndarray, epsilon: float
) -> Packed:
    json = {"epsilon": epsilon, "gap_tol": 1e-8, "marginal_tol": None}
    arrays = {"cost": cost, "source": source, "target": target}
    return Packed("transport.entropic/1", json, arrays)


def optimal(cost: np.ndarray, source: np.ndarray, target: np.ndarray) -> Packed:
    json = {"gap_tol": 1e-8, "marginal_tol": None}
    arrays = {"cost": cost, "source": source, "target": target}
    return Packed("transport.optimal/1", json, arrays)


def from_points(packed: Packed, x, y, name: str, scale: float = 1.0) -> Packed:
    """The same problem with its cost given by points."""
    arrays = {k: v for k, v in packed.arrays.items() if k != "cost"}
    arrays |= {"source_points": x, "target_points": y}
    return Packed(
        packed.kind, packed.json | {"metric": name, "cost_scale": scale}, arrays
    )


def _log_sum(z: np.ndarray, axis: int) -> np.ndarray:
    top = z.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(z - top).sum(axis=axis))


def _newton_step(x, y, c, r, q, epsilon: float):
    """Two sweeps, then one damped Newton step on the dual."""
    for _ in range(2):
        x = epsilon * (np.log(r) + 1 - _log_sum((y - c) / epsilon, 1))
        y = epsilon * (np.log(q) + 1 - _log_sum((x[:, None] - c) / epsilon, 0))
    plan = np.exp((x[:, None] + y - c) / epsilon - 1)
    hessian = np.block(
        [[np.diag(plan.sum(axis=1)), plan], [plan.T, np.diag(plan.sum(axis=0))]]
    )
    gradient = np.concatenate([r - plan.sum(axis=1), q - plan.sum(axis=0)])
    step = epsilon * np.linalg.lstsq(hessian, gradient, rcond=1e-14)[0]
    step /= max(1.0, np.abs(step).max() / epsilon)
    return x + step[: x.size], y + step[x.size :]


def sinkhorn(
    cost, source, target, epsilon: float, sweeps: int = 100, newton: int = 0
) -> dict[str, np.ndarray]:
    """A `TransportPlan` as packed; zero weights get the potential 0.

    With `newton` steps, epsilon is reached in halves, each solved by sweeps and steps.
    """
    rows, columns = np.flatnonzero(source), np.flatnonzero(target)
    c = cost[np.ix_(rows, columns)]
    r, q = source[rows] / source.sum(), target[columns] / target.sum()
    x, y = np.zeros(len(rows)), np.zeros(len(columns))
    for level in (epsilon * 2.0 ** np.arange(12 * (newton > 0), -1, -1)).tolist():
        for _ in range(newton):
            x, y = _newton_step(x, y, c, r, q, level)
        for _ in range(sweeps):
            x = level * (np.log(r) + 1 - _log_sum((y - c) / level, 1))
            y = level * (np.log(q) + 1 - _log_sum((x[:, None] - c) / level, 0))
    kernel = np.exp((x[:, None] + y - c) / epsilon - 1)
    s = np.minimum(1, r / kernel.sum(axis=1))
    t = np.minimum(1, q / (s @ kernel))
    plan = s[:, None] * kernel * t
    a = np.maximum(0, r - plan.sum(axis=1))
    b = np.maximum(0, q - plan.sum(axis=0))
    if a.sum() > 0 and b.sum() > 0:
        b *= a.sum() / b.sum()
        plan = plan + np.outer(a, b) / a.sum()
    entropy = np.sum(plan * np.log(np.where(plan > 0, plan, 1)))
    value = {
        "row_potential": _place(x, rows, source.size, 0.0),
        "column_potential": _place(y, columns, target.size, 0.0),
        "row_scaling": _place(s, rows, source.size, 1.0),
        "column_scaling": _place(t, columns, target.size, 1.0),
        "row_remainder": _place(a, rows, source.size, 0.0),
        "column_remainder": _place(b, columns, target.size, 0.0),
        "cost": np.array(np.sum(plan * c)),
        "regularised_cost": np.array(np.sum(plan * c) + epsilon * entropy),
    }
    return value


def _place(found, index, size: int, rest: float) -> np.ndarray:
    whole = np.full(size, rest)
    whole[index] = found
    return whole


def dense(value: dict, cost, epsilon: float) -> dict[str, np.ndarray]:
    """The same answer as a `DensePlan`."""
    z = (value["row_potential"][:, None] + value["column_potential"] - cost) / epsilon
    kernel = np.exp(np.minimum(z - 1, 1.0))  # large only at atoms of zero weight
    plan = value["row_scaling"][:, None] * kernel * value["column_scaling"]
    a, b = value["row_remainder"], value["column_remainder"]
    if a.sum() > 0 and b.sum() > 0:
        plan = plan + np.outer(a, b) / a.sum()
    names = ("row_potential", "column_potential", "cost", "regularised_cost")
    return {"plan": plan} | {name: value[name] for name in names}


def case(problem: Packed, value: dict, **other) -> Case:
    return Case(problem=problem, value=value, **other)


def assignment_dual(cost: np.ndarray, permutation: np.ndarray) -> np.ndarray:
    """Column duals of an optimal permutation: distances by Bellman and Ford."""
    weights = cost[:, permutation] - np.diag(cost[:, permutation])[:, None]
    distance = np.zeros(len(permutation))
    for _ in range(len(permutation)):
        distance = np.minimum(distance, (distance[:, None] + weights).min(axis=0))
    dual = np.empty(len(permutation))
    dual[permutation] = distance
    return dual


def coupling(plan: np.ndarray, x, y, cost: float) -> dict[str, np.ndarray]:
    """A `SparseCoupling` as packed."""
    rows, columns = np.nonzero(plan)
    return {
        "rows": rows.astype(np.int64),
        "columns": columns.astype(np.int64),
        "mass": plan[rows, columns],
        "row_potential": x,
        "column_potential": y,
        "cost": np.array(cost),
    }


def northwest(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """A vertex of the couplings of two weight vectors of equal sums, nearly."""
    rest, left = source / source.sum(), target / target.sum()
    plan = np.zeros((rest.size, left.size))
    for i in range(rest.size):
        for j in range(left.size):
            plan[i, j] = min(rest[i], left[j])
            rest[i] -= plan[i, j]
            left[j] -= plan[i, j]
    return plan


def sparse(
    cost: np.ndarray, source, target, gamma: float, cap: int, axis: str = "columns"
) -> Packed:
    json = {"gamma": gamma, "cap": cap, "axis": axis}
    json |= {"gap_tol": 1e-8, "marginal_tol": None}
    arrays = {"cost": cost, "source": source, "target": target}
    return Packed("transport.sparse/1", json, arrays)


def select(cost, alpha, b, gamma: float, cap: int) -> np.ndarray:
    """T(alpha), shape (m, n): per column, the simplex projection of the k largest."""
    plan = np.zeros(cost.shape)
    for j in range(cost.shape[1]):
        s = alpha - cost[:, j]
        top = np.argsort(-s, kind="stable")[:cap]
        levels = (np.cumsum(s[top]) - gamma * b[j]) / np.arange(1, top.size + 1)
        plan[top, j] = np.maximum(0, s[top] - levels.max()) / gamma
    return plan


def ascend(cost, a, b, gamma: float, cap: int, steps: int) -> np.ndarray:
    """A potential after `steps` of gradient ascent on the semi-dual."""
    alpha = np.zeros(a.size)
    for _ in range(steps):
        plan = select(cost, alpha, b, gamma, cap)
        alpha = alpha + gamma / b.size * (a - plan.sum(axis=1))
    return alpha


def entries(plan: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
    """COO, sorted by column, then row."""
    columns, rows = np.nonzero(plan.T)
    return {
        f"{prefix}rows": rows.astype(np.int64),
        f"{prefix}columns": columns.astype(np.int64),
        f"{prefix}mass": plan[rows, columns],
    }


def sparse_value(plan, selection, alpha, beta) -> dict[str, np.ndarray]:
    """A `SparsePlan` as packed, without the figures that no rule reads."""
    potentials = {"alpha": alpha, "beta": beta}
    return entries(plan) | entries(selection, "selection_") | potentials
