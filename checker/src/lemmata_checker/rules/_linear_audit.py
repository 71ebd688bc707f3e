"""An audited system, dense, and what its claims share: beta, rates, powers of SOR's.

All enclosures of scalars are in ball arithmetic (python-flint, 128 bits).
"""

import math
from typing import NamedTuple

import flint
import numpy as np

from ..case import Case, Malformed, Measurement
from ..definite import frobenius_norm, spectral_norm
from ..rigor import TINY, U, gamma
from ..sparse import matrix_of, real

AUDIT = "linear.relaxation_audit/1"
LARGEST = 400  # unknowns
BITS = 128
Ball = flint.arb


class Audit(NamedTuple):
    """A (n, n), b (n,), relaxations (m,), the tolerance, and the stated counts."""

    matrix: np.ndarray
    rhs: np.ndarray
    relaxation: np.ndarray
    rtol: float

    @property
    def diagonal(self) -> np.ndarray:
        """D, as a vector."""
        return self.matrix.diagonal()


def audit_of(case: Case) -> Audit:
    """Read and checked once per certificate. **Raises:** `Malformed`."""
    return case.shared("linear.audit", lambda: _read(case))


def _read(case: Case) -> Audit:
    if case.problem.kind != AUDIT:
        raise Malformed(f"no audited system: {case.problem.kind}")
    arrays = case.problem.arrays
    rhs = real(arrays.get("rhs"), "rhs", 1)
    relaxation = real(arrays.get("relaxation"), "relaxation", 1)
    if not 0 < rhs.size <= LARGEST or not relaxation.size or not np.any(rhs):
        raise Malformed(f"expected up to {LARGEST} unknowns and a right-hand side")
    matrix = matrix_of(arrays, "operator", (rhs.size, rhs.size)).dense()
    if np.any(matrix != matrix.T) or np.any(matrix.diagonal() <= 0):
        raise Malformed("the operator is not symmetric with a positive diagonal")
    if not np.all((relaxation > 0) & (relaxation < 2)):
        raise Malformed("a relaxation is not in (0, 2)")
    rtol = case.problem.json.get("rtol")
    if not isinstance(rtol, float) or not 0 < rtol < 1:
        raise Malformed("rtol is not in (0, 1)")
    return Audit(matrix, rhs, relaxation, rtol)


def counts_of(case: Case, name: str, audit: Audit) -> np.ndarray:
    """Stated counts (m,). **Raises:** `Malformed`."""
    counts = case.value.get(name)
    if counts is None or counts.dtype != np.int64 or counts.ndim != 1:
        raise Malformed(f"{name} is missing, or no int64 vector")
    if counts.shape != audit.relaxation.shape or counts.min() < 1:
        raise Malformed(f"{name}: one positive count per relaxation is expected")
    if counts.max() > 10**5:
        raise Malformed(f"{name}: counts beyond 100,000 are not looked at")
    return counts


def consistently_ordered(audit: Audit, levels: np.ndarray | None) -> bool:
    """Integers g with g_j - g_i = 1 for every coupling i < j (Young, chapter 5)."""
    n = audit.rhs.size
    if levels is None or levels.dtype != np.int64 or levels.shape != (n,):
        raise Malformed("levels are missing, or no int64 vector")
    i, j = np.nonzero(np.triu(audit.matrix, 1))
    return bool(np.all(levels[j] - levels[i] == 1)) and np.ptp(levels) < 2**31


def jacobi_radius(case: Case, audit: Audit) -> tuple[Ball, Ball]:
    """Lower and upper bound on beta = rho(I - D^{-1} A).

    It is the spectral norm of the symmetric H = D^{-1/2} (D - A) D^{-1/2}: above any
    Rayleigh quotient. Each entry of the computed H is off by 4u of itself.
    """
    return case.shared("linear.audit_radius", lambda: _radius(case, audit))


def _radius(case: Case, audit: Audit) -> tuple[Ball, Ball]:
    root = np.sqrt(audit.diagonal)
    h = (np.diag(audit.diagonal) - audit.matrix) / root / root[:, None]
    off = 4.1 * U * frobenius_norm(h)
    vector = real(case.value.get("eigenvector"), "eigenvector", 1)
    if vector.shape != audit.rhs.shape or not np.any(vector):
        raise Malformed("eigenvector: a vector other than zero is expected")
    size = float(vector @ vector)
    quotient = abs(float(vector @ (h @ vector))) / size
    # Two products and sums of n terms, relative to |v|' |H| |v| <= ||H||_F |v|^2.
    loss = off + gamma(2 * vector.size + 8) * frobenius_norm(h) + vector.size * TINY
    low = max(quotient * (1 - gamma(vector.size + 8)) - loss * (1 + 4 * U), 0.0)
    return Ball(low), Ball(spectral_norm(h, off))


def best_relaxation(beta: Ball) -> Ball:
    """1 + (beta / (1 + sqrt(1 - beta^2)))^2."""
    return 1 + (beta / (1 + (1 - beta * beta).sqrt())) ** 2


def sor_radius(omega: float, beta: Ball) -> Ball:
    """rho(C_omega) by Young's formula; increasing in beta, so bounds give bounds."""
    w = Ball(omega)
    inside = (w * beta) ** 2 - 4 * (w - 1)
    if inside < 0:
        return w - 1
    # Near the turning point a ball may hold negative numbers: not below w - 1.
    root = inside.sqrt() if inside > 0 else Ball(0).union(inside.abs_upper().sqrt())
    return ((w * beta + root) / 2) ** 2 if omega > 0 else Ball(0)


class Power(NamedTuple):
    """C^k as computed, and a bound on the spectral norm of its error."""

    matrix: np.ndarray
    error: float

    def times(self, other: "Power") -> "Power":
        """The product, its rounding included."""
        left, right = frobenius_norm(self.matrix), frobenius_norm(other.matrix)
        one, two = spectral_norm(self.matrix), spectral_norm(other.matrix)
        n = self.matrix.shape[0]
        error = one * other.error + two * self.error + self.error * other.error
        error += gamma(n + 2) * left * right + n * n * TINY
        return Power(self.matrix @ other.matrix, error * (1 + 16 * U))


def iteration_matrix(audit: Audit, omega: float) -> Power:
    """C = I - A (D / omega + L)^{-1}, the inverse verified by its residual.

    With B near the inverse of M and ||I - M B|| <= delta < 1, the inverse is off B by
    ||B|| delta / (1 - delta).
    """
    n = audit.rhs.size
    lower = np.tril(audit.matrix, -1)
    main = np.diag(audit.diagonal / omega) + lower
    inverse = np.linalg.inv(main)
    size = frobenius_norm(main) * frobenius_norm(inverse)
    away = frobenius_norm(np.eye(n) - main @ inverse)
    # The diagonal of `main` is rounded, the product errs by gamma_n.
    delta = (away + gamma(n + 4) * size) * (1 + 8 * U)
    if not delta < 0.1:
        return Power(inverse, math.inf)
    wrong = frobenius_norm(inverse) * delta / (1 - delta)
    a = frobenius_norm(audit.matrix)
    error = a * wrong + gamma(n + 4) * (a * frobenius_norm(inverse) + math.sqrt(n))
    return Power(np.eye(n) - audit.matrix @ inverse, error * (1 + 16 * U))


def power(base: Power, exponent: int) -> Power:
    """base^exponent by squaring, exponent >= 1."""
    result = None
    while exponent:
        if exponent & 1:
            result = base if result is None else result.times(base)
        exponent >>= 1
        if exponent:
            base = base.times(base)
    assert result is not None
    return result


def enclosed_powers(audit: Audit, omega: float, exponent: int) -> tuple[Power, Power]:
    """C^exponent and C^(exponent + 1) in ball arithmetic of 320 bits.

    For relaxations near the best, whose powers grow before they fall: there the bounds
    of `times` are too wide.
    """
    n, before = audit.rhs.size, flint.ctx.prec
    flint.ctx.prec = 320
    try:
        entries = audit.matrix.tolist()
        a = flint.arb_mat(entries)
        main = flint.arb_mat(
            n,
            n,
            [
                Ball(entries[i][i]) / omega if i == j else entries[i][j] * (j < i)
                for i in range(n)
                for j in range(n)
            ],
        )
        one = flint.arb_mat(n, n, [int(i == j) for i in range(n) for j in range(n)])
        base = one - a * main.solve(one)
        found = base**exponent
        return _rounded(found), _rounded(found * base)
    finally:
        flint.ctx.prec = before


def _rounded(balls: flint.arb_mat) -> Power:
    """Midpoints as floats; each is off by its ball's radius and one rounding."""
    n = balls.nrows()
    entries = balls.entries()
    middle = np.array([float(ball.mid()) for ball in entries]).reshape(n, n)
    radii = np.array([float(ball.rad()) for ball in entries]).reshape(n, n)
    off = frobenius_norm(radii) * (1 + 8 * U) + 2 * U * frobenius_norm(middle)
    return Power(middle, off + n * n * TINY)


def precise(measure):
    """The rule, with scalars in ball arithmetic of `BITS`."""

    def measured(case: Case) -> Measurement:
        before = flint.ctx.prec
        flint.ctx.prec = BITS
        try:
            return measure(case)
        finally:
            flint.ctx.prec = before

    return measured


def upper(ball: Ball) -> float:
    """A float not below the ball."""
    return float(np.nextafter(float(ball.upper()), np.inf))


def lower(ball: Ball) -> float:
    """A float not above the ball."""
    return float(np.nextafter(float(ball.lower()), -np.inf))
