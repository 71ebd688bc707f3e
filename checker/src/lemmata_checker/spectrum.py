"""Singular values of small matrices, enclosed.

Sources: Weyl's inequality, |s_i(A) - s_i(B)| <= ||A - B||; Ostrowski's,
s_i(U S V') within sigma_min(U) sigma_min(V) s_i and ||U|| ||V|| s_i (Horn and Johnson,
Matrix Analysis, 2013, sections 4.5 and 7.3).
"""

import numpy as np

from .definite import frobenius_norm
from .errors import Malformed
from .rigor import U, gamma


def singular_values(
    matrix: np.ndarray, error: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds, decreasing, on the singular values of every M within
    `error` (Frobenius) of `matrix`; LAPACK's factors are guesses and no more.
    """
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    try:
        left, values, rows = np.linalg.svd(tall, full_matrices=False)
    except np.linalg.LinAlgError as failure:
        raise Malformed("no singular value decomposition was found") from failure
    scaled = left * values
    away = frobenius_norm(tall - scaled @ rows)
    size = frobenius_norm(np.abs(scaled) @ np.abs(rows)) + frobenius_norm(tall)
    away += gamma(2 * len(values) + 8) * size + error
    skew = _skew(left) + _skew(rows.T)
    if not skew < 0.5:
        raise Malformed("the singular vectors found are not orthonormal")
    # sqrt((1 - a) (1 - b)) >= 1 - a - b, and sqrt((1 + a) (1 + b)) <= 1 + a + b
    low = values * (1 - skew) - away * (1 + 8 * U)
    high = values * (1 + skew) + away * (1 + 8 * U)
    return np.maximum(low * (1 - 4 * U), 0.0), high * (1 + 4 * U)


def _skew(basis: np.ndarray) -> float:
    """Bound on ||Q'Q - I||."""
    n, k = basis.shape
    gram = basis.T @ basis - np.eye(k)
    size = frobenius_norm(basis)
    return (frobenius_norm(gram) + gamma(n + 4) * size * size) * (1 + 8 * U)
