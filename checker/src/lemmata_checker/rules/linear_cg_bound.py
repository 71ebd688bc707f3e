"""Rule of the bound on SSOR-preconditioned conjugate gradients, on audited systems.

Source: Axelsson, Iterative Solution Methods (1994), theorem 7.17; Khodak et al., ICLR
2024 (arXiv 2310.02246), section 2.3.
"""

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..definite import frobenius_norm, least_eigenvalue
from ..rigor import TINY, U, gamma
from ._linear_audit import (
    AUDIT,
    Audit,
    Ball,
    audit_of,
    counts_of,
    lower,
    precise,
)


@precise
def cg_bound(case: Case) -> Measurement:
    """Max over omega of k / bound, the bound from below; and A >= P / q is shown.

    Rayleigh quotients bound kappa(A), lam1 and lam2 from below, and the bound increases
    in each. P >= A always, so A >= P / q gives kappa(P^{-1} A) <= q: that is proven.
    The count is that of a run in float64, not of exact arithmetic, hence evidence.
    """
    audit = audit_of(case)
    counts = counts_of(case, "cg_counts", audit)
    kappa, lam1, lam2 = _extremes(audit)
    shares, shown, again = [], True, []
    for omega, count in zip(audit.relaxation.tolist(), counts.tolist(), strict=True):
        w = Ball(omega)
        q = (1 + (2 - w) ** 2 / (4 * w) * lam1 + w * lam2) / (2 - w)
        if not q > 1:
            raise Malformed(f"q is not above 1 at omega {omega:g}")
        rate = -(1 - 2 / (1 + q.sqrt())).log()
        bound = 1 + (kappa.sqrt() / Ball(audit.rtol)).acosh() / rate
        own = cg_count(audit, omega, count)
        if abs(own - count) > 1:
            raise Malformed(f"{count} steps stated at omega {omega:g}, {own} found")
        again.append(own)
        shares.append(max(own, count) / lower(bound) * (1 + 4 * U))
        shown = shown and _dominates(audit, omega, lower(q))
    return Measurement(
        max(shares),
        f"kappa(A) >= {lower(kappa):.4g}, lam1 >= {lower(lam1):.4g}, "
        f"lam2 >= {lower(lam2):.3g}",
        {"largest_count": float(counts.max()), "least_share": min(shares)},
        {
            "kappa(P^-1 A) <= q": "checked" if shown else "violated",
            "zero start": "checked",
        },
    )


def _extremes(audit: Audit) -> tuple[Ball, Ball, Ball]:
    """Lower bounds on kappa(A), lam1 and lam2 by Rayleigh quotients."""
    a, d = audit.matrix, audit.diagonal
    if not least_eigenvalue(a) > 0:
        raise Malformed("the operator is not shown to be positive definite")
    lower = np.tril(a, -1)
    _, vectors = np.linalg.eigh(a)
    factor = np.linalg.inv(np.linalg.cholesky(a))
    middle = lower @ np.diag(1 / d) @ lower.T - np.diag(d) / 4
    tops = []
    for matrix in (np.diag(d), middle):
        _, found = np.linalg.eigh(factor @ matrix @ factor.T)
        tops.append(factor.T @ found[:, -1])
    with_a = [_quadratic(v, a) for v in (vectors[:, -1], vectors[:, 0], *tops)]
    sizes = [_square(v) for v in (vectors[:, -1], vectors[:, 0])]
    kappa = with_a[0] / sizes[0] * sizes[1] / with_a[1]
    moved = [_exact(float(x)) for x in tops[1]]
    weights = [Ball(float(x)) for x in d]
    image = _product(lower.T, moved)
    second = sum((y * y / w for y, w in zip(image, weights, strict=True)), Ball(0))
    first, quarter = (
        sum((w * x * x for w, x in zip(weights, xs, strict=True)), Ball(0))
        for xs in ([_exact(float(x)) for x in tops[0]], moved)
    )
    lam1 = first / with_a[2]
    lam2 = (second - quarter / 4) / with_a[3]
    return kappa.lower(), lam1.lower(), lam2.lower()


def _exact(value: float) -> Ball:
    return Ball(value)


def _square(vector: np.ndarray) -> Ball:
    return sum((Ball(float(x)) ** 2 for x in vector), Ball(0))


def _product(matrix: np.ndarray, vector: list[Ball]) -> list[Ball]:
    out = []
    for row in matrix:
        terms = (Ball(float(row[j])) * vector[j] for j in np.flatnonzero(row).tolist())
        out.append(sum(terms, Ball(0)))
    return out


def _quadratic(vector: np.ndarray, matrix: np.ndarray) -> Ball:
    """v^T M v, enclosed."""
    balls = [_exact(float(x)) for x in vector]
    image = _product(matrix, balls)
    return sum((x * y for x, y in zip(balls, image, strict=True)), Ball(0))


def _preconditioner(audit: Audit, omega: float) -> np.ndarray:
    x = np.diag(audit.diagonal) + omega * np.tril(audit.matrix, -1)
    return (x / audit.diagonal) @ x.T / (omega * (2 - omega))


def _dominates(audit: Audit, omega: float, q: float) -> bool:
    """Whether A - P / q is positive semidefinite, P's rounding included."""
    p = _preconditioner(audit, omega)
    n, x = audit.rhs.size, np.diag(audit.diagonal) + omega * np.tril(audit.matrix, -1)
    size = frobenius_norm(x) ** 2 / float(audit.diagonal.min()) / (omega * (2 - omega))
    off = gamma(n + 12) * size / q + 4 * U * frobenius_norm(audit.matrix) + TINY
    return least_eigenvalue(audit.matrix - p / q, off) >= 0


def cg_count(audit: Audit, omega: float, stated: int) -> int:
    """Steps of conjugate gradients from zero to rtol ||b||, run here again."""
    inverse = np.linalg.inv(_preconditioner(audit, omega))
    x, r = np.zeros_like(audit.rhs), audit.rhs.copy()
    goal, direction, energy = audit.rtol * np.linalg.norm(r), np.zeros_like(r), 0.0
    for step in range(stated + 2):
        if np.linalg.norm(r) <= goal:
            return step
        z = inverse @ r
        new = r @ z
        direction = z + (new / energy if energy else 0.0) * direction
        image = audit.matrix @ direction
        x, energy = x + new / (direction @ image) * direction, new
        r = audit.rhs - audit.matrix @ x
    return stated + 2


RULES: tuple[Rule, ...] = (
    Rule(
        "linear.cg_bound/1",
        "evidence",
        "<=",
        "for every audited relaxation the count of SSOR-preconditioned conjugate "
        "gradients, as run again in float64, is <= promised * (1 + arccosh(sqrt(kappa) "
        "/ eps) / rate(q)); kappa(P^-1 A) <= q is proven",
        "share of the bound",
        cg_bound,
        (AUDIT,),
    ),
)
