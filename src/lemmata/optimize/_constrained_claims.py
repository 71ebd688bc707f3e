"""What an answer to a constrained problem is claimed to be worth."""

from typing import Any

import numpy as np

from lemmata_checker.curvature import hessian
from lemmata_checker.differentiate import Evaluation
from lemmata_checker.errors import Malformed
from lemmata_checker.intervals import exact
from lemmata_checker.program import NOT_POLYNOMIAL
from lemmata_checker.rules._constrained import Setting
from lemmata_checker.rules.optimize_existence import LARGEST as MOST_UNKNOWNS, krawczyk

from ..core import Claim, Withheld
from ._constrained_checks import evaluation

STRICT, GLOBAL = "optimize.strict_minimum/1", "optimize.global_minimum/1"
EXISTS = "optimize.kkt_exists/1"
LARGEST = 1000  # variables up to which second order is claimed: n^3 work, several times
ROUNDING = 1e-10  # of ||H||: curvature below it is not told from zero
SHARE = 0.5  # of the least curvature found, that is promised


def claims(problem: Any, value: Any) -> tuple[Claim | Withheld, ...]:
    """Stationarity for every answer; the rest where the instance allows it."""
    first = Claim("optimize.kkt/1", float(problem.kkt_tol))
    n, m = problem.x0.size, problem.multipliers0.size
    x, multipliers = np.asarray(value.x), np.asarray(value.multipliers)
    if n > LARGEST:
        reason = f"second order is claimed up to n = {LARGEST}"
        return first, *(Withheld(name, reason) for name in (STRICT, GLOBAL, EXISTS))
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(multipliers))):
        reason = "the answer is not finite"
        return first, *(Withheld(name, reason) for name in (STRICT, GLOBAL, EXISTS))
    try:
        found = evaluation(problem, x)
        with np.errstate(all="ignore"):
            h = hessian(found, exact(multipliers)).mid
    except Malformed as error:
        return first, *(Withheld(name, str(error)) for name in (STRICT, GLOBAL, EXISTS))
    g, f = found.jacobian.mid, float(found.objective.mid)
    if not (np.all(np.isfinite(h)) and np.all(np.isfinite(g)) and np.isfinite(f)):
        reason = "f or c is not twice differentiable at the answer"
        return first, *(Withheld(name, reason) for name in (STRICT, GLOBAL, EXISTS))
    curvature = reduced_curvature(h, g)
    size = float(np.linalg.norm(h))
    return (
        first,
        _strict(n, m, curvature, size),
        _global(problem, found, curvature, size, f),
        _exists(x, multipliers, found),
    )


def reduced_curvature(h: np.ndarray, g: np.ndarray) -> float:
    """Least eigenvalue of Z^T H Z, Z a null basis of G; inf where there is none."""
    m, n = g.shape
    if m >= n:
        return np.inf
    basis = np.linalg.qr(g.T, mode="complete")[0][:, m:]
    return float(np.linalg.eigvalsh(basis.T @ h @ basis)[0])


def _strict(n: int, m: int, curvature: float, size: float) -> Claim | Withheld:
    if m == n:
        return Withheld(STRICT, "m = n: the constraints leave no direction")
    if abs(curvature) <= ROUNDING * size:
        found = f"the least curvature on the constraints, {curvature:.1e}, is zero"
        return Withheld(STRICT, f"{found} to rounding")
    # Where it is negative the claim is made, and fails: a saddle or a maximiser.
    return Claim(STRICT, SHARE * abs(curvature))


def _global(
    problem: Any, found: Any, curvature: float, size: float, f: float
) -> Claim | Withheld:
    nodes, program = found.program.nodes, found.program
    degrees = nodes[program.objective].degree, nodes[program.constraint].degree
    if degrees[0] > 2 or degrees[1] > 1:
        said = [
            "higher than quadratic" if d == NOT_POLYNOMIAL else f"of degree {d}"
            for d in degrees
        ]
        reason = f"needs quadratic f and affine c; f is {said[0]}, c is {said[1]}"
        return Withheld(GLOBAL, reason)
    if curvature <= ROUNDING * size:
        found_ = f"least curvature {curvature:.1e}"
        return Withheld(GLOBAL, f"f is not strictly convex where c = 0: {found_}")
    return Claim(GLOBAL, float(problem.gap_tol) * max(1.0, abs(f)))


def _exists(x: np.ndarray, multipliers: np.ndarray, found: Evaluation) -> Any:
    """The judge's own test says beforehand whether there is a radius to promise."""
    if x.size + multipliers.size > MOST_UNKNOWNS:
        return Withheld(EXISTS, f"judged up to {MOST_UNKNOWNS} unknowns")
    with np.errstate(all="ignore"):
        shown = krawczyk(Setting(found.program, x, multipliers, found))
    if not np.isfinite(shown.radius):
        return Withheld(EXISTS, f"no radius is shown: {shown.reason}")
    return Claim(EXISTS, 2 * shown.radius)


def least_squares_multipliers(problem: Any, x: np.ndarray) -> np.ndarray:
    """The multipliers that make grad f + G^T lambda shortest at x."""
    found = evaluation(problem, x)
    g, slope = found.jacobian.mid, found.gradient.mid
    if not (np.all(np.isfinite(g)) and np.all(np.isfinite(slope))):
        return np.zeros(g.shape[0])
    return np.linalg.lstsq(g.T, -slope, rcond=None)[0]
