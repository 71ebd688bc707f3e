"""Claims about a table of SGD runs: which minima were reached."""

from typing import Any

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from .certify_stability_data import NETWORKS, array, number

KIND = "certify.sgd_sweep/1"
_CLOSE = 1e-6  # relative: stated figures against those of the weights


def _grid(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Learning rate, batch size and scale of each run: stated as the problem says."""
    names = ("scales", "learning_rates", "batch_sizes")
    axes = [array(case.problem.arrays, name, 1) for name in names]
    if np.prod([float(len(axis)) for axis in axes]) > 10**6:
        raise Malformed("more than a million runs")
    scale, rate, size = (a.reshape(-1) for a in np.meshgrid(*axes, indexing="ij"))
    for name, right in (
        ("learning_rate", rate),
        ("batch_size", size),
        ("scale", scale),
    ):
        if not np.array_equal(array(case.value, name, 1), right):
            raise Malformed(f"{name}: not the problem's grid")
    if not (np.all(rate > 0) and np.all(size >= 1)):
        raise Malformed("learning rates and batch sizes: expected positive numbers")
    return rate, size, scale


def _network(name: str, weights: dict[str, np.ndarray], x: np.ndarray) -> Any:
    """(outputs, Tr G, norm) of one network on inputs x."""
    if name == "two_layer":
        before = x @ weights["inner"].T
        active, a = before > 0, weights["outer"]
        m = np.mean(np.maximum(before, 0) ** 2, axis=0)
        k = np.mean(active * np.sum(x**2, axis=1)[:, None], axis=0)
        size = np.linalg.norm(weights["inner"], axis=1)
        norm = np.sum(np.abs(a) * size)
        return np.maximum(before, 0) @ a, np.sum(m + a**2 * k), norm
    first, second = weights["first"], weights["second"]
    squares = name == "diagonal_squares"
    w = first**2 - second**2 if squares else first * second
    s = np.mean(x**2, axis=0)
    trace = (4.0 if squares else 1.0) * np.sum((first**2 + second**2) * s)
    return x @ w, trace, np.sum(np.abs(w))


class _Table:
    """The table, recomputed from the weights."""

    def __init__(self, case: Case):
        self.rate, self.size, self.scale = _grid(case)
        name = case.problem.json.get("model")
        if name not in NETWORKS:
            raise Malformed(f"model: expected one of {NETWORKS}, got {name!r}")
        arrays, runs = case.problem.arrays, len(self.rate)
        x, y = array(arrays, "inputs", 2), array(arrays, "targets", 1)
        if len(x) != len(y) or not np.any(y):
            raise Malformed("inputs and targets do not fit")
        weights = self._weights(case, name, runs, x.shape[1])
        tested, tx, ty = "test_inputs" in arrays, x, y
        if tested:
            tx = array(arrays, "test_inputs", 2)
            ty = array(arrays, "test_targets", 1)
            if tx.shape != (len(ty), x.shape[1]):
                raise Malformed("test_inputs and test_targets do not fit")
        rows = []
        for i in range(runs):
            one = {k: v[i] for k, v in weights.items()}
            outputs, trace, norm = _network(name, one, x)
            loss = np.mean((outputs - y) ** 2) / np.mean(y**2)
            test = np.mean((_network(name, one, tx)[0] - ty) ** 2) if tested else 0.0
            rows.append((loss, trace, norm, test))
        self.loss, self.trace, self.norm, self.test_loss = np.array(rows).T
        for column in ("loss", "trace", "norm", "test_loss"):
            stated, right = array(case.value, column, 1), getattr(self, column)
            floor = 1e-20 if "loss" in column else 0.0  # cancellation of f - y
            if stated.shape != right.shape or not np.all(
                np.abs(stated - right) <= _CLOSE * np.abs(right) + floor
            ):
                raise Malformed(f"{column}: not that of the weights")
        self.converged = self.loss <= number(case, "loss_tol")

    def _weights(self, case: Case, name: str, runs: int, d: int) -> dict:
        if name == "two_layer":
            inner, outer = array(case.value, "inner", 3), array(case.value, "outer", 2)
            if inner.shape != (runs, outer.shape[1], d) or len(outer) != runs:
                raise Malformed("inner and outer do not fit the runs")
            return {"inner": inner, "outer": outer}
        found = {k: array(case.value, k, 2) for k in ("first", "second")}
        if any(v.shape != (runs, d) for v in found.values()):
            raise Malformed("first and second do not fit the runs")
        return found


def _table(case: Case) -> _Table:
    return case.shared("sgd sweep: table", lambda: _Table(case))


def selection(case: Case) -> Measurement:
    """Share of converged runs with Tr G <= 2 B / eta."""
    found = _table(case)
    ended = found.converged
    if not np.any(ended):
        raise Malformed("no run converged")
    below = found.trace[ended] * found.rate[ended] <= 2 * found.size[ended] * (1 + 1e-9)
    return Measurement(
        float(np.mean(below)),
        figures={
            "runs": float(len(ended)),
            "converged": float(np.sum(ended)),
            "largest Tr G eta / 2B": float(
                np.max(found.trace[ended] * found.rate[ended] / (2 * found.size[ended]))
            ),
        },
        assumptions={"the runs are SGD at these learning rates": "unchecked"},
    )


def flatter(case: Case) -> Measurement:
    """Norm at the largest learning rate over that at the smallest."""
    found = _table(case)
    kept = found.converged & (found.size == np.min(found.size))
    kept &= found.scale == np.max(found.scale)
    runs = np.flatnonzero(kept)
    if len(runs) < 2:
        raise Malformed("fewer than two learning rates converged")
    order = runs[np.argsort(found.rate[runs], kind="stable")]
    low, high = order[0], order[-1]
    return Measurement(
        float(found.norm[high] / found.norm[low]),
        figures={
            "smallest learning rate": float(found.rate[low]),
            "largest learning rate": float(found.rate[high]),
            "norm at the smallest": float(found.norm[low]),
            "norm at the largest": float(found.norm[high]),
            "trace at the smallest": float(found.trace[low]),
            "trace at the largest": float(found.trace[high]),
        },
        assumptions={"the runs are SGD at these learning rates": "unchecked"},
    )


RULES = (
    Rule(
        "certify.sgd_selection/1",
        "evidence",
        ">=",
        "a share >= promised of the minima that SGD reached has Tr G <= 2 B / eta",
        "",
        selection,
        (KIND,),
    ),
    Rule(
        "certify.sgd_flatter/1",
        "evidence",
        "<=",
        "at the smallest batch, the norm reached at the largest learning rate is <= "
        "promised times that at the smallest",
        "",
        flatter,
        (KIND,),
    ),
)
