"""Rules of audited systems: Young's relaxation, and bounds on iteration counts.

Sources: Young, Iterative Solution of Large Linear Systems (1971), chapters 5 and 6;
Khodak et al., ICLR 2024 (arXiv 2310.02246), sections 2.1 and 2.3; Axelsson, Iterative
Solution Methods (1994), theorem 7.17.
"""

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..definite import frobenius_norm, spectral_norm
from ..rigor import U, gamma
from ..sparse import real
from ._linear_audit import (
    AUDIT,
    Audit,
    Ball,
    Power,
    audit_of,
    best_relaxation,
    consistently_ordered,
    counts_of,
    enclosed_powers,
    iteration_matrix,
    jacobi_radius,
    lower,
    power,
    precise,
    sor_radius,
    upper,
)


def _ordering(case: Case, audit: Audit) -> dict[str, str]:
    good = consistently_ordered(audit, case.witness.get("levels"))
    return {"consistently ordered": "checked" if good else "violated"}


@precise
def young_optimum(case: Case) -> Measurement:
    """Width of the enclosures of omega* and each rho(C_omega), with the stated ones."""
    audit = audit_of(case)
    low, high = jacobi_radius(case, audit)
    if not high < 1:
        raise Malformed("the Jacobi radius is not shown to be below 1")
    stated = real(case.value.get("best_relaxation"), "best_relaxation", 0)
    radii = real(case.value.get("sor_radius"), "sor_radius", 1)
    if radii.shape != audit.relaxation.shape:
        raise Malformed("one radius per relaxation is expected")
    ends = (best_relaxation(low), best_relaxation(high))
    widths = [_width(ends, float(stated))]
    for omega, radius in zip(audit.relaxation, radii, strict=True):
        ends = (sor_radius(float(omega), low), sor_radius(float(omega), high))
        widths.append(_width(ends, float(radius)))
    return Measurement(
        max(widths),
        f"beta in [{lower(low):.11g}, {upper(high):.11g}]",
        {"beta_lower": lower(low), "beta_upper": upper(high)},
        _ordering(case, audit),
    )


def _width(ends: tuple[Ball, Ball], stated: float) -> float:
    low, high = min(lower(ends[0]), stated), max(upper(ends[1]), stated)
    return float(np.nextafter(high - low, np.inf))


@precise
def sor_surrogate(case: Case) -> Measurement:
    """Max over omega of k / U(omega), tau being the least that fits the instance.

    tau is an upper bound on (||C^{k-1}||^{1/(k-1)} - rho) / (1 - rho) over all omega
    audited, U a lower bound on 1 + log(eps) / log(rho + tau (1 - rho)).
    """
    audit = audit_of(case)
    counts = counts_of(case, "sor_counts", audit)
    beta, _ = jacobi_radius(case, audit)
    rates, needed = [], [Ball(0)]
    for omega, count in zip(audit.relaxation.tolist(), counts.tolist(), strict=True):
        if count < 2:
            raise Malformed("a count below 2 says nothing about tau")
        size = _norm_before(audit, omega, count)
        rate = sor_radius(omega, beta).lower()  # of beta's lower end
        growth = (Ball(size).log() / (count - 1)).exp()
        rates.append(rate)
        needed.append((growth - rate) / (1 - rate))
    tau = max(upper(value) for value in needed)
    inside = 0 < tau < 1
    assumptions = _ordering(case, audit) | {
        "tau < 1": "checked" if inside else "violated",
        "zero start": "checked",
    }
    if not inside:
        return Measurement(np.inf, f"tau = {tau:.4g}", {"tau": tau}, assumptions)
    bounds = [
        lower(1 + Ball(audit.rtol).log() / (rate + Ball(tau) * (1 - rate)).log())
        for rate in rates
    ]
    shares = counts / np.array(bounds) * (1 + 4 * U)
    return Measurement(
        float(shares.max()),
        f"tau = {tau:.4g} on this instance, {counts.size} relaxations",
        {"tau": tau, "largest_count": float(counts.max()), "least_share": shares.min()},
        assumptions,
    )


def _norm_before(audit: Audit, omega: float, count: int) -> float:
    """Upper bound on ||C^{k-1}||, after seeing that k is the exact iteration's count.

    Residuals of exact arithmetic are C^j b: above the tolerance for j = k - 1, at or
    below it for j = k. **Raises:** `Malformed` if not, or if rounding hides it.
    """
    base = iteration_matrix(audit, omega)
    before = power(base, count - 1)
    if not _turns(audit, before, before.times(base)):
        before, after = enclosed_powers(audit, omega, count - 1)
        if not _turns(audit, before, after):
            raise Malformed(f"{count} is not shown to be the count at omega {omega:g}")
    return spectral_norm(before.matrix, before.error)


def _turns(audit: Audit, before: Power, after: Power) -> bool:
    """Whether ||before b|| > eps ||b|| >= ||after b|| beyond rounding."""
    norm = float(np.linalg.norm(audit.rhs))
    goal, slack = audit.rtol * norm, gamma(2 * audit.rhs.size + 8)
    reached, off = [], []
    for computed in (before, after):
        size = float(np.linalg.norm(computed.matrix @ audit.rhs))
        lost = frobenius_norm(computed.matrix) * norm + goal + size
        reached.append(size)
        off.append(computed.error * norm * (1 + 8 * U) + slack * lost)
    return reached[0] - off[0] > goal and reached[1] + off[1] <= goal


RULES: tuple[Rule, ...] = (
    Rule(
        "linear.young_optimum/1",
        "proof",
        "<=",
        "Young's best relaxation and the spectral radii of SOR lie with the stated "
        "values in intervals of width <= promised",
        "width",
        young_optimum,
        (AUDIT,),
    ),
    Rule(
        "linear.sor_surrogate/1",
        "proof",
        "<=",
        "for every audited relaxation SOR's count k <= promised * (1 + log(eps) / "
        "log(rho + tau (1 - rho))), tau measured on the instance",
        "share of the bound",
        sor_surrogate,
        (AUDIT,),
    ),
)
