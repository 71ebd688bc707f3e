"""Dual feasibility where a coordinate has neither penalty nor bound to lean on.

Such coordinates U (all of them without a penalty, an intercept, the positive ones under
x >= 0) need (A^T theta)_U = 0 exactly. With W the Hessian of phi and H = A_U^T W A_U,
theta + W A_U t has it for t = -H^-1 (A^T theta)_U; that costs t^T H t, the squared
Newton decrement. t is a float vector, the exact one is near it by a verified lower
bound on the eigenvalues of H.
"""

import math
from typing import NamedTuple

import numpy as np

from ..definite import least_eigenvalue
from ..rigor import U, gamma
from ..sparse import Matrix
from .optimize_composite_data import Setting, norm, pulled
from .optimize_composite_dual import Dual

LARGEST = 2000  # coordinates in U
ENTRIES = 2**25  # of A_U


class Freed(NamedTuple):
    """A dual point whose pull is exactly zero on `zero`, at an extra `away`."""

    dual: Dual
    zero: np.ndarray


def free_coordinates(at: Setting) -> np.ndarray:
    """Which coordinates x leaves free where no conjugate bounds their dual, (n,)."""
    terms, x = at.terms, at.x
    bare = (terms.strength == 0) & (terms.ridge == 0)
    down = np.isinf(terms.lower) & (x < terms.upper)
    up = np.isinf(terms.upper) & (x > terms.lower)
    return bare & (down | up)


def dense_columns(matrix: Matrix, features: np.ndarray) -> np.ndarray:
    """A[:, features], dense; features ascending, each once."""
    if matrix.is_dense:
        return matrix.dense()[:, features]
    wanted = np.zeros(matrix.shape[1], bool)
    wanted[features] = True
    entries = np.flatnonzero(wanted[matrix.indices])
    rows = np.searchsorted(matrix.indptr, entries, side="right") - 1
    columns = np.searchsorted(features, matrix.indices[entries])
    found = np.zeros((matrix.shape[0], features.size))
    found[rows, columns] = matrix.data[entries]
    return found


def freed(at: Setting, dual: Dual) -> Freed | None:
    """The corrected dual point; None where it cannot be shown to exist."""
    zero = free_coordinates(at)
    if not np.any(zero):
        return Freed(dual, zero)
    solved = _independent(zero, at.classes)
    features = np.unique(solved // at.classes)
    if solved.size > LARGEST or features.size * at.target.size > ENTRIES:
        return None
    part = dense_columns(at.matrix, features)
    feature, kind = np.searchsorted(features, solved // at.classes), solved % at.classes
    pull = pulled(at, dual.theta, dual.slip)
    q, q_error = pull.value[solved], pull.error[solved]
    h, h_error = _hessian(dual, part, feature, kind)
    try:
        t = np.linalg.solve(h, -q)
    except np.linalg.LinAlgError:
        return None
    least = least_eigenvalue(h, h_error)
    if not (least > 0 and np.all(np.isfinite(t))):
        return None
    # q + H t, which is zero at the exact t.
    missing = np.abs(q + h @ t) + q_error + 2 * U * np.abs(q)
    missing += gamma(t.size + 3) * (np.abs(h) @ np.abs(t))
    left = (norm(missing) + h_error * norm(t)) * (1 + 4 * U)
    cost = -float(t @ q) + float(np.abs(t) @ q_error) * (1 + gamma(t.size + 2))
    cost += gamma(t.size + 3) * float(np.abs(t) @ np.abs(q))
    cost = (cost + norm(t) * left + left * left / least) * (1 + 8 * U)
    moved, slip = _moved(dual, part, feature, kind, t, left / least)
    if moved is None:
        return None
    slip += left / math.sqrt(least) * (1 + 8 * U)  # ||W^(1/2)|| <= 1
    away = dual.away + math.sqrt(max(cost, 0.0) * dual.ratio) * (1 + 8 * U)
    dual = dual._replace(theta=moved, slip=(dual.slip + slip) * (1 + 4 * U), away=away)
    return Freed(dual, zero)


def _independent(zero: np.ndarray, classes: int) -> np.ndarray:
    """Softmax: a feature free in every class loses one, as sum_c theta_c = 0."""
    table = zero.reshape(-1, classes).copy()
    if classes > 1:
        table[np.all(table, axis=1), -1] = False
    return np.flatnonzero(table.reshape(-1))


def _hessian(
    dual: Dual, part: np.ndarray, feature: np.ndarray, kind: np.ndarray
) -> tuple[np.ndarray, float]:
    """H in floats, and a bound on its error in spectral norm."""
    m = part.shape[0]
    if dual.weights.ndim == 1:
        root = part * np.sqrt(dual.weights)[:, None]
        h = part.T @ (dual.weights[:, None] * part)
        return 0.5 * (h + h.T), gamma(m + 8) * norm(root) ** 2 * (1 + 4 * U)
    columns = part[:, feature]
    weighted = columns * dual.weights[:, kind]
    same = kind[:, None] == kind[None, :]
    h = np.where(same, columns.T @ weighted, 0.0) - weighted.T @ weighted
    # The weight of the true class is 1 minus a rounded sum.
    off = 2 * gamma(m + 8) + 6 * gamma(dual.weights.shape[1] + 4)
    return 0.5 * (h + h.T), off * norm(columns) ** 2 * (1 + 4 * U)


def _moved(
    dual: Dual,
    part: np.ndarray,
    feature: np.ndarray,
    kind: np.ndarray,
    t: np.ndarray,
    off: float,
) -> tuple[np.ndarray | None, float]:
    """Theta + W A_U t and its rounding; None if that may leave the domain."""
    classes = 1 if dual.weights.ndim == 1 else dual.weights.shape[1]
    table = np.zeros((part.shape[1], classes))
    table[feature, kind] = t
    step = part @ table
    rounding = gamma(part.shape[1] + 3) * (np.abs(part) @ np.abs(table))
    rows = np.sqrt(np.einsum("ij,ij->i", part, part)) * (1 + gamma(part.shape[1] + 6))
    reach = np.max(np.abs(step) + rounding) + float(np.max(rows)) * off
    if dual.weights.ndim == 1:
        change = dual.weights * step[:, 0]
        error = dual.weights * rounding[:, 0] + 4 * U * np.abs(change)
        limit = math.inf if dual.factor == 0.5 else 0.9
    else:
        p = dual.weights
        change = p * (step - np.sum(p * step, axis=1, keepdims=True))
        largest = np.max(np.abs(step), axis=1, keepdims=True)
        error = p * (2 * np.max(rounding, axis=1, keepdims=True))
        error = error + p * (8 * gamma(classes + 8) * largest)
        limit = 0.45
    theta = dual.theta + change
    error = error + 2 * U * np.abs(theta)
    # |w t| <= 0.9 u (1 - u), and |p_c (t_c - p^T t)| <= 0.9 p_c, stay in the domain.
    return (theta, norm(error)) if reach <= limit else (None, math.inf)
