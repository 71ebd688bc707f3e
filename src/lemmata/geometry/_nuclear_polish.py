"""Newton's method on the face of a nuclear-norm solution.

At a solution X = K Q' of rank r with support S, M = sum over S of mu_k A_k:
K = M Q, Q = M'K, <A_k, K Q'> = b_k on S. With the right rank and support,
these equations determine K and Q up to one rotation, which Levenberg's term
takes care of.
"""

from typing import Any

import numpy as np
import scipy.linalg

_UNKNOWNS = 2600  # above, the linear systems cost more than the iteration
_STEPS = 12


def polished(
    reduced: Any, matrix: np.ndarray, multipliers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """(X, mu, relative gap) of the best of some guesses of rank and support."""
    host = _Face(reduced)
    best = (matrix, multipliers, np.inf)
    left, values, rows = np.linalg.svd(matrix, full_matrices=False)
    top = float(np.max(multipliers))
    tried = set()
    for share in (1e-6, 1e-4, 1e-3, 1e-2):
        r = int(np.sum(values > share * values[0]))
        support = multipliers > share * top
        key = (r, support.tobytes())
        if key in tried or r * sum(matrix.shape) + support.sum() > _UNKNOWNS:
            continue
        tried.add(key)
        root = np.sqrt(values[:r])
        found = host.newton(left[:, :r] * root, rows[:r].T * root, multipliers, support)
        gap = host.gap(*found)
        if gap < best[2]:
            best = (*found, gap)
        if gap <= 1e-12:
            break
    return best


class _Face:
    """The equations of one problem, in NumPy."""

    def __init__(self, reduced: Any):
        self.differences = np.asarray(reduced.constraints.differences)
        self.queries = np.asarray(reduced.constraints.queries)
        self.active = np.asarray(reduced.active)
        self.bound = np.asarray(reduced.bound)

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        return np.sum(self.differences * (self.queries @ matrix.T)[:, None, :], axis=2)

    def combine(self, multipliers: np.ndarray) -> np.ndarray:
        return np.sum(multipliers[:, :, None] * self.differences, axis=1).T @ (
            self.queries
        )

    def gap(self, matrix: np.ndarray, multipliers: np.ndarray) -> float:
        """As `worth` in JAX."""
        if not (np.all(np.isfinite(matrix)) and np.all(np.isfinite(multipliers))):
            return np.inf
        inside = self.active
        least = float(np.min(self.margins(matrix)[inside] / self.bound[inside]))
        total = float(np.sum(multipliers * self.bound))
        if not (least > 0 and total > 0):
            return np.inf
        primal = float(np.sum(np.linalg.svd(matrix, compute_uv=False)))
        dual = float(np.linalg.norm(self.combine(multipliers), 2))
        return max(primal * dual / (least * total) - 1, 0.0)

    def newton(
        self,
        left: np.ndarray,
        right: np.ndarray,
        multipliers: np.ndarray,
        support: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """X and mu after some steps from a guess; mu is clipped at zero."""
        places = np.argwhere(support)
        d = self.differences[places[:, 0], places[:, 1]]
        z = self.queries[places[:, 0]]
        wanted = self.bound[support]
        mu = multipliers[support]
        damping = 1e-10
        for _ in range(_STEPS):
            residual, jacobian = _equations(left, right, mu, d, z, wanted)
            normal = jacobian.T @ jacobian
            np.fill_diagonal(
                normal, np.diagonal(normal) + damping * np.max(np.diagonal(normal))
            )
            try:
                factor = scipy.linalg.cho_factor(normal, check_finite=False)
            except np.linalg.LinAlgError:
                break
            move = -scipy.linalg.cho_solve(factor, jacobian.T @ residual)
            a, b = left.size, left.size + right.size
            left = left + move[:a].reshape(left.shape)
            right = right + move[a:b].reshape(right.shape)
            mu = mu + move[b:]
            if np.linalg.norm(residual) <= 1e-15 * (1 + np.linalg.norm(left)):
                break
        found = np.zeros(support.shape)
        found[support] = np.maximum(mu, 0.0)
        return left @ right.T, found


def _equations(
    left: np.ndarray,
    right: np.ndarray,
    mu: np.ndarray,
    d: np.ndarray,
    z: np.ndarray,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals of K - M Q, Q - M'K, <A, K Q'> - b, and their Jacobian."""
    (p, r), q, s = left.shape, right.shape[0], mu.size
    combined = (mu[:, None] * d).T @ z
    images, backs = z @ right, d @ left  # Q'z_k and K'd_k, shape (s, r)
    residual = np.concatenate(
        [
            (left - combined @ right).reshape(-1),
            (right - combined.T @ left).reshape(-1),
            np.sum(backs * images, axis=1) - wanted,
        ]
    )
    a, b = p * r, (p + q) * r
    jacobian = np.zeros((b + s, b + s))
    eye = np.eye(r)
    jacobian[:a, :a] = np.eye(a)
    jacobian[:a, a:b] = -np.kron(combined, eye)
    jacobian[a:b, :a] = -np.kron(combined.T, eye)
    jacobian[a:b, a:b] = np.eye(q * r)
    jacobian[:a, b:] = -(d[:, :, None] * images[:, None, :]).reshape(s, a).T
    jacobian[a:b, b:] = -(z[:, :, None] * backs[:, None, :]).reshape(s, q * r).T
    jacobian[b:, :a] = (d[:, :, None] * images[:, None, :]).reshape(s, a)
    jacobian[b:, a:b] = (z[:, :, None] * backs[:, None, :]).reshape(s, q * r)
    return residual, jacobian
