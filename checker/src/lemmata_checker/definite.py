"""Bounds on eigenvalues and singular values that hold in exact arithmetic.

A floating-point Cholesky factorisation that runs to its end proves that a matrix is
positive definite up to its rounding: with R^T R = C + E, |E| <= gamma_{n+1} |R^T| |R|
in whatever order the sums are taken, so ||E|| <= gamma_{n+1} ||R||_F^2 and
lambda_min(C) >= -gamma_{n+1} / (1 - gamma_{n+1}) tr(C). Eigenvalues from LAPACK are
guesses and no more.

Sources: Higham, Accuracy and Stability of Numerical Algorithms (2002), theorem 10.3;
Rump, Verification of positive definiteness, BIT 46 (2006), theorem 2.3, with underflow.
"""

import math

import numpy as np

from .rigor import TINY, U, gamma

LARGEST = 3000  # rows: time grows with the cube


def least_eigenvalue(matrix: np.ndarray, error: float = 0.0) -> float:
    """Lower bound on the eigenvalues of every symmetric S near `matrix`.

    **Arguments:**

    - `matrix`: float64, shape `(n, n)`, n <= 3000; its symmetric part counts.
    - `error`: S is any symmetric matrix within this spectral norm of that part.

    **Returns:** the bound, within about n^2 u max|matrix| of the best, or -inf where
    nothing could be shown.
    """
    scaled, exponent = _scaled(matrix)
    if scaled is None or scaled.shape[0] != scaled.shape[1]:
        return -math.inf
    if not scaled.size:
        return math.inf
    symmetric, off = _symmetric_part(scaled)
    found = _least(symmetric) - off
    bound = math.ldexp(found, exponent) - error if math.isfinite(found) else found
    return _down(bound)


def greatest_eigenvalue(matrix: np.ndarray, error: float = 0.0) -> float:
    """Upper bound on the eigenvalues of every symmetric S near `matrix`."""
    return -least_eigenvalue(-np.asarray(matrix, dtype=np.float64), error)


def spectral_norm(matrix: np.ndarray, error: float = 0.0) -> float:
    """Upper bound on ||M||_2 for every M within spectral norm `error` of `matrix`.

    The square is bounded by the Gram matrix: computed, it is off by
    gamma_k ||M||_F^2 at most.
    """
    scaled, exponent = _scaled(matrix)
    if scaled is None:
        return math.inf
    if not scaled.size:
        return error
    tall = scaled if scaled.shape[0] >= scaled.shape[1] else scaled.T
    frobenius = frobenius_norm(tall)
    off = gamma(tall.shape[0] + 2) * frobenius**2 + tall.shape[0] * TINY
    square = greatest_eigenvalue(tall.T @ tall, off)
    norm = min(frobenius, math.sqrt(max(square, 0.0)) * (1 + 4 * U))
    return _up(math.ldexp(norm, exponent) + error)


def frobenius_norm(matrix: np.ndarray) -> float:
    """Upper bound on the Frobenius norm, any shape."""
    largest = float(np.max(np.abs(matrix), initial=0.0))
    if not 0 < largest < math.inf:
        return largest
    size = np.asarray(matrix, dtype=np.float64) / largest
    total = float(np.sum(size * size)) * (1 + gamma(size.size + 4)) + size.size * TINY
    return _up(largest * math.sqrt(total) * (1 + 4 * U))


def least_singular_value(matrix: np.ndarray, error: float = 0.0) -> float:
    """Lower bound on the least of the min(m, n) singular values near `matrix`.

    With R near the inverse and alpha >= ||I - R M||, (1 - alpha) / ||R|| is one.
    """
    scaled, exponent = _scaled(matrix)
    if scaled is None or not scaled.size:
        return -math.inf
    tall = scaled if scaled.shape[0] >= scaled.shape[1] else scaled.T
    try:
        inverse = np.linalg.pinv(tall, rcond=1e-15)
    except np.linalg.LinAlgError:
        return -math.inf
    if not np.all(np.isfinite(inverse)):
        return -math.inf
    away = frobenius_norm(inverse @ tall - np.eye(tall.shape[1]))
    rounding = gamma(tall.shape[0] + 2) * frobenius_norm(inverse) * frobenius_norm(tall)
    alpha = _up((away + rounding) * (1 + 4 * U) + tall.size * TINY)
    if not alpha < 1:
        return -math.inf
    bound = (1 - alpha) / spectral_norm(inverse) * (1 - 4 * U)
    return _down(math.ldexp(bound, exponent) - error)


def least_pencil(h: np.ndarray, d: np.ndarray) -> float:
    """Lower bound on the eigenvalues of D^-1 H, both symmetric, D positive definite.

    H - s D positive semidefinite shows s. **Returns:** the largest s shown, or -inf
    where D is not shown to be definite or H not semidefinite.
    """
    h, d = np.asarray(h, dtype=np.float64), np.asarray(d, dtype=np.float64)
    if h.shape != d.shape or not least_eigenvalue(d) > 0:
        return -math.inf
    try:
        factor = np.linalg.inv(np.linalg.cholesky(d))
        guess = float(np.linalg.eigvalsh(factor @ h @ factor.T)[0])
    except np.linalg.LinAlgError:
        return -math.inf
    for bits in (44, 36, 30, 24, 18, 12, 8, 4, 2, 1):
        shift = guess * (1 - 2.0**-bits)
        # two roundings an entry; symmetric matrices: Frobenius bounds the 2-norm
        off = 2 * U * (frobenius_norm(h) + 1.01 * abs(shift) * frobenius_norm(d))
        if least_eigenvalue(h - shift * d, off * (1 + 8 * U)) >= 0:
            return shift
    return 0.0 if least_eigenvalue(h) >= 0 else -math.inf


def _least(symmetric: np.ndarray) -> float:
    """A bound by the first shifted Cholesky factorisation that succeeds."""
    n = len(symmetric)
    try:
        guess = float(np.linalg.eigvalsh(symmetric)[0])
    except np.linalg.LinAlgError:
        return -math.inf
    if not math.isfinite(guess):
        return -math.inf
    unit = (n + 4) * U * max(float(np.trace(symmetric)) - n * guess, abs(guess), TINY)
    for factor in (1.0, 4.0, 16.0, 256.0, 1e6):
        bound = _shown(symmetric, guess - factor * unit)
        if bound > -math.inf:
            return bound
    return -math.inf


def _shown(symmetric: np.ndarray, shift: float) -> float:
    """Lower bound from the factorisation of S - shift I, -inf if it breaks down.

    The subtraction rounds each diagonal entry by u.
    """
    n = len(symmetric)
    shifted = symmetric.copy()
    diagonal = np.diagonal(symmetric) - shift
    np.fill_diagonal(shifted, diagonal)
    try:
        factor = np.linalg.cholesky(shifted)
    except np.linalg.LinAlgError:
        return -math.inf
    if not np.all(np.isfinite(factor)):
        return -math.inf
    trace = float(np.sum(diagonal)) * (1 + gamma(n + 2))
    loss = gamma(n + 1) / (1 - gamma(n + 1)) * trace * (1 + 4 * U)
    subtraction = U * float(np.max(np.abs(diagonal)))
    underflow = n * (2 * (n + 4) + trace) * TINY
    return _down(shift - _up(loss + subtraction + underflow) * (1 + 4 * U))


def _symmetric_part(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """(M + M^T) / 2 and a bound on what its rounding adds in spectral norm."""
    if np.array_equal(matrix, matrix.T):
        return matrix, 0.0
    symmetric = matrix / 2 + matrix.T / 2
    return symmetric, 2 * U * frobenius_norm(symmetric) + matrix.size * TINY


def _scaled(matrix: np.ndarray) -> tuple[np.ndarray | None, int]:
    """Matrix / 2^k with entries of at most 1, and k; None where it cannot be judged."""
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.dtype != np.float64 or max(matrix.shape) > 2**20:
        return None, 0
    if min(matrix.shape) > LARGEST or not np.all(np.isfinite(matrix)):
        return None, 0
    largest = float(np.max(np.abs(matrix), initial=0.0))
    exponent = math.frexp(largest)[1]
    if not 0 < abs(exponent) or largest == 0:
        return matrix, 0
    if -400 < exponent < 400:
        return np.ldexp(matrix, -exponent), exponent
    # Entries that vanish here are below 2^-1022 of the largest: refuse, do not judge.
    scaled = np.ldexp(matrix, -exponent)
    lost = (np.abs(scaled) < TINY) & (matrix != 0)
    return (None, 0) if np.any(lost) else (scaled, exponent)


def _down(value: float) -> float:
    return math.nextafter(value, -math.inf)


def _up(value: float) -> float:
    return math.nextafter(value, math.inf)
