"""The scale of a composite problem and its first residual, in NumPy.

The same figures as `CompositeProblem.reference`, outside JAX: claims are made on the
host, where dispatching each operation to JAX would take seconds.
"""

from typing import Any

import numpy as np
from scipy.special import expit, logsumexp

from ._losses import LeastSquares, Logistic, Quadratic


def host_scale(problem: Any) -> float:
    """The scale of F: at the admissible point nearest to zero, or of the first gain."""
    loss, (strength, lower, upper) = problem.loss, _terms(problem)
    x = np.clip(np.zeros(loss.variables), lower, upper)
    if not isinstance(loss, Quadratic):
        return value_at(loss, x) + float(np.sum(strength * np.abs(x)))
    gradient = gradient_at(loss, x)
    rows = np.asarray(abs(loss.operator.host()).sum(axis=1)).reshape(-1)
    length = np.where(rows > 0, rows, 1.0)
    moved = x - gradient / length
    moved = moved - np.clip(moved, -strength / length, strength / length)
    moved = np.clip(moved, lower, upper)
    d, change = moved - x, strength * (np.abs(moved) - np.abs(x))
    gained = -(gradient * d + 0.5 * length * d * d + change)
    return float(np.sum(np.maximum(gained, 0.0)))


def first_residual(problem: Any) -> float:
    """The largest KKT residual at the admissible point nearest to zero."""
    strength, lower, upper = _terms(problem)
    x = np.clip(np.zeros(problem.loss.variables), lower, upper)
    gradient = gradient_at(problem.loss, x)
    right = gradient + np.where(x >= 0, strength, -strength)
    left = gradient + np.where(x > 0, strength, -strength)
    right = np.where(x >= upper, np.inf, right)
    left = np.where(x <= lower, -np.inf, left)
    return float(np.max(np.maximum(left, -right), initial=0.0))


def _terms(problem: Any) -> list[np.ndarray]:
    n = problem.loss.variables
    terms = (np.asarray(term, np.float64) for term in problem.penalty.terms())
    return [np.broadcast_to(term, (n,)) for term in terms]


def value_at(loss: Any, x: np.ndarray) -> float:
    """f(x)."""
    if isinstance(loss, Quadratic):
        image = _image(loss.operator, x)
        return float(x @ (0.5 * image - np.asarray(loss.linear)))
    if isinstance(loss, LeastSquares):
        r = _image(loss.design, x) - np.asarray(loss.target)
        return 0.5 * float(r @ r)
    ridge = np.broadcast_to(np.asarray(loss.ridge(), np.float64), x.shape)
    own = 0.5 * float(np.sum(ridge * x * x))
    labels = np.asarray(loss.labels)
    if isinstance(loss, Logistic):
        margins = labels * _image(loss.design, x)
        return own + float(np.sum(np.logaddexp(0.0, -margins)))
    image = _image(loss.design, x.reshape(-1, loss.classes))
    own_label = image[np.arange(labels.size), labels.astype(np.int64)]
    return own + float(np.sum(logsumexp(image, axis=1) - own_label))


def gradient_at(loss: Any, x: np.ndarray) -> np.ndarray:
    """The gradient of f, (n,)."""
    if isinstance(loss, Quadratic):
        return _image(loss.operator, x) - np.asarray(loss.linear)
    design = loss.design.host()
    if isinstance(loss, LeastSquares):
        return design.T @ (_image(loss.design, x) - np.asarray(loss.target))
    ridge = np.broadcast_to(np.asarray(loss.ridge(), np.float64), x.shape)
    labels = np.asarray(loss.labels)
    if isinstance(loss, Logistic):
        slope = -labels * expit(-labels * _image(loss.design, x))
        return design.T @ slope + ridge * x
    image = _image(loss.design, x.reshape(-1, loss.classes))
    slope = np.exp(image - logsumexp(image, axis=1, keepdims=True))
    slope[np.arange(labels.size), labels.astype(np.int64)] -= 1.0
    return (design.T @ slope).reshape(-1) + ridge * x


def _image(matrix: Any, x: np.ndarray) -> np.ndarray:
    """A x; at zero, where most scales are taken, no pass over A."""
    if np.any(x):
        return matrix.host() @ x
    return np.zeros((matrix.shape[0], *x.shape[1:]))
