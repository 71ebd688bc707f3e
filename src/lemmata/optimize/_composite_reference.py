"""The scale of a composite problem and its first residual, in NumPy.

The same figures as `CompositeProblem.reference`, outside JAX: claims are made on the
host, where dispatching each operation to JAX would take seconds.
"""

from typing import Any

import numpy as np
from scipy.special import expit, logsumexp

from ._losses import LeastSquares, Logistic, Quadratic


def host_reference(problem: Any) -> tuple[float, float]:
    """(scale of F, largest KKT residual) at the admissible point nearest to zero."""
    loss, n = problem.loss, problem.loss.variables
    strength, lower, upper = (
        np.broadcast_to(np.asarray(term, np.float64), (n,))
        for term in problem.penalty.terms()
    )
    x = np.clip(np.zeros(n), lower, upper)
    value, gradient = value_and_gradient(loss, x)
    right = gradient + np.where(x >= 0, strength, -strength)
    left = gradient + np.where(x > 0, strength, -strength)
    right = np.where(x >= upper, np.inf, right)
    left = np.where(x <= lower, -np.inf, left)
    first = float(np.max(np.maximum(left, -right), initial=0.0))
    if not isinstance(loss, Quadratic):
        return value + float(np.sum(strength * np.abs(x))), first
    rows = np.asarray(abs(loss.operator.host()).sum(axis=1)).reshape(-1)
    length = np.where(rows > 0, rows, 1.0)
    moved = x - gradient / length
    moved = moved - np.clip(moved, -strength / length, strength / length)
    moved = np.clip(moved, lower, upper)
    d, change = moved - x, strength * (np.abs(moved) - np.abs(x))
    gained = -(gradient * d + 0.5 * length * d * d + change)
    return float(np.sum(np.maximum(gained, 0.0))), first


def value_and_gradient(loss: Any, x: np.ndarray) -> tuple[float, np.ndarray]:
    """f(x) and its gradient, (n,)."""
    if isinstance(loss, Quadratic):
        image = loss.operator.host() @ x
        linear = np.asarray(loss.linear)
        return float(x @ (0.5 * image - linear)), image - linear
    design = loss.design.host()
    if isinstance(loss, LeastSquares):
        r = design @ x - np.asarray(loss.target)
        return 0.5 * float(r @ r), design.T @ r
    ridge = np.broadcast_to(np.asarray(loss.ridge(), np.float64), x.shape)
    own = 0.5 * float(np.sum(ridge * x * x))
    labels = np.asarray(loss.labels)
    if isinstance(loss, Logistic):
        t = labels * (design @ x)
        slope = -labels * expit(-t)
        value = float(np.sum(np.logaddexp(0.0, -t)))
        return value + own, design.T @ slope + ridge * x
    image = design @ x.reshape(-1, loss.classes)
    rows, kind = np.arange(labels.size), labels.astype(np.int64)
    level = logsumexp(image, axis=1, keepdims=True)
    slope = np.exp(image - level)
    value = float(np.sum(level[:, 0] - image[rows, kind]))
    slope[rows, kind] -= 1.0
    return value + own, (design.T @ slope).reshape(-1) + ridge * x
