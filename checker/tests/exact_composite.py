"""Composite problems by other means than the judge's: balls, and proximal gradients."""

import flint
import numpy as np

from lemmata_checker.packed import Packed

KIND = "optimize.composite/1"
BITS = 200


def packed(loss, penalty, arrays, **parameters) -> Packed:
    return Packed(KIND, {"loss": loss, "penalty": penalty, **parameters}, arrays)


def terms(problem, n):
    """(strength, lower, upper, ridge), each (n,)."""
    found = []
    bounds = {"non_negative": 0.0, "non_negative_l1": 0.0}
    low = bounds.get(problem.json["penalty"], -np.inf)
    defaults = {"strength": 0.0, "lower": low, "upper": np.inf, "l2": 0.0}
    for name, default in defaults.items():
        given = problem.arrays.get(name, problem.json.get(name, default))
        found.append(np.broadcast_to(np.asarray(given, dtype=float), (n,)))
    return found


def objective(problem, x) -> flint.arb:
    """F(x) to 200 bits; infinite beyond the bounds."""
    with flint.ctx.workprec(BITS):
        strength, lower, upper, ridge = terms(problem, x.size)
        if np.any(x < lower) or np.any(x > upper):
            return flint.arb("inf")
        value = _loss(problem, x)
        for s, r, v in zip(strength.tolist(), ridge.tolist(), x.tolist(), strict=True):
            v = flint.arb(v)
            value += flint.arb(s) * abs(v) + flint.arb(r) * v * v / 2
        return value


def _loss(problem, x):
    arrays, kind = problem.arrays, problem.json["loss"]
    name = "operator" if kind == "quadratic" else "design"
    matrix = [[flint.arb(a) for a in row] for row in arrays[name].tolist()]
    classes = problem.json.get("classes", 1)
    columns = [[flint.arb(v) for v in x[c::classes].tolist()] for c in range(classes)]

    def product(row, column):
        return sum((a * v for a, v in zip(row, column, strict=True)), flint.arb(0))

    z = [[product(row, column) for column in columns] for row in matrix]
    total = flint.arb(0)
    if kind == "quadratic":
        for (h,), b, v in zip(z, arrays["linear"].tolist(), columns[0], strict=True):
            total += v * (h / 2 - flint.arb(b))
        return total
    for found, y in zip(z, arrays["target"].tolist(), strict=True):
        if kind == "least_squares":
            total += (found[0] - flint.arb(y)) ** 2 / 2
        elif kind == "logistic":
            total += (1 + (-flint.arb(y) * found[0]).exp()).log()
        else:
            sums = sum((one.exp() for one in found), flint.arb(0))
            total += sums.log() - found[int(y)]
    return total


def gradient(problem, x):
    """Of the smooth part, in float64."""
    arrays, kind = problem.arrays, problem.json["loss"]
    if kind == "quadratic":
        return arrays["operator"] @ x - arrays["linear"]
    classes, y = problem.json.get("classes", 1), arrays["target"]
    z = arrays["design"] @ x.reshape(-1, classes)
    if kind == "least_squares":
        slope = z - y[:, None]
    elif kind == "logistic":
        slope = -y[:, None] / (1 + np.exp(y[:, None] * z))
    else:
        p = np.exp(z - z.max(axis=1, keepdims=True))
        slope = p / p.sum(axis=1, keepdims=True)
        slope[np.arange(y.size), y.astype(int)] -= 1
    return (arrays["design"].T @ slope).reshape(-1) + terms(problem, x.size)[3] * x


def minimiser(problem, n, steps=3000):
    """By accelerated proximal gradients with restarts."""
    strength, lower, upper, ridge = terms(problem, n)
    name = "operator" if problem.json["loss"] == "quadratic" else "design"
    size = np.linalg.norm(problem.arrays[name], 2)
    length = (size if name == "operator" else size**2) + np.max(ridge) + 1e-12
    x = np.clip(np.zeros(n), lower, upper)
    y, momentum = x, 1.0
    for _ in range(steps):
        moved = y - gradient(problem, y) / length
        moved = moved - np.clip(moved, -strength / length, strength / length)
        moved = np.clip(moved, lower, upper)
        if np.sum((y - moved) * (moved - x)) > 0:
            momentum = 1.0
        still = np.max(np.abs(moved - y), initial=0.0) <= 1e-16 * np.max(np.abs(y))
        if still and momentum == 1.0:
            return moved
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        y = moved + (momentum - 1) / following * (moved - x)
        y, x, momentum = np.clip(y, lower, upper), moved, following
    return x
