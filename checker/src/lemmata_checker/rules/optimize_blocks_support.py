"""Rules on the support along a run: when it was found, and what followed.

Source: Nutini, Laradji and Schmidt, JMLR 23(131), 2022, section 6. With delta the least
slack at zeros of the minimiser and L, mu bounds on the curvature, the support is right
once ||x_k - x*|| <= delta / (2 L), hence after
  K = (2 / rho) log((2 L / delta) sqrt(2 (F_0 - F*) / mu))
steps of rate 1 - rho, and one visit of every block.
"""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..definite import greatest_eigenvalue, least_eigenvalue
from .optimize_blocks_steps import gradient_at, hessian_on, witness
from .optimize_composite_data import Setting, setting
from .optimize_composite_gap import bound

LARGEST = 1500  # variables
REACHED = 1e-12  # of the strength: the KKT residual at which a run has ended


def _penalised(case: Case) -> Setting:
    at = setting(case)
    if at.loss not in ("least_squares", "quadratic"):
        raise Malformed(f"decided for quadratic losses, not for {at.loss}")
    if case.problem.json.get("penalty") == "unpenalised":
        raise Malformed("there is no penalty that makes coordinates zero")
    return at


def active_set_complexity(case: Case) -> Measurement:
    """Steps by which the support came later than the theorem's K and one visit."""
    at = _penalised(case)
    objective = witness(case, "objective", "real", 1)
    found = _identified(case, objective.size)
    visit = case.parameters.get("visit")
    if type(visit) is not int or not 1 <= visit <= at.x.size:
        raise Malformed("visit: expected a whole number of blocks")
    if at.x.size > LARGEST:
        raise Malformed(f"decided for at most {LARGEST} variables")
    h, off = hessian_on(at, np.arange(at.x.size))
    mu, top = least_eigenvalue(h, off), greatest_eigenvalue(h, off)
    if not mu > 0:
        raise Malformed("the Hessian is not shown to be positive definite")
    delta = _slack(case, at, mu, top)
    if not delta > 0:
        raise Malformed("no strict complementarity: a zero without slack")
    left = objective - objective.min()
    first = float(left[0])
    rho = _rate(left, found)
    size = 2 * top / delta * math.sqrt(2 * first / mu)
    needed = 2 / rho * math.log(max(size, 1.0))
    figures = {"identified_at": float(found), "K": needed, "delta": delta, "rho": rho}
    detail = f"found after {found} steps, K = {needed:.4g}, one visit is {visit}"
    return Measurement(found - needed - visit, detail, figures)


def _slack(case: Case, at: Setting, mu: float, top: float) -> float:
    """Lower bound on the least slack of the minimiser at its zeros.

    The gradient at x* differs by at most top ||x - x*|| <= top sqrt(2 gap / mu).
    """
    g, error = gradient_at(at, at.x)
    zero, terms = at.x == 0, at.terms
    if not np.any(zero):
        return math.inf
    room = terms.strength + np.where(terms.lower == 0, g, -np.abs(g)) - error
    return float(np.min(room[zero])) - top * math.sqrt(2 * bound(case).gap / mu)


def _rate(left: np.ndarray, found: int) -> float:
    """1 - the mean contraction of F - F* until the support was found, as seen."""
    last = max(min(found, left.size - 1), 1)
    share = max(float(left[last]), float(np.finfo(np.float64).tiny)) / float(left[0])
    return min(max(1 - share ** (1 / last), 1e-12), 1.0)


def _identified(case: Case, count: int) -> int:
    """The step of the support's last change."""
    column = witness(case, "identified_at", "index", 1)
    good = column.size == count > 1 and np.all(np.diff(column) >= 0)
    steps = np.arange(1, count + 1)
    # Within a run the column holds the number of the step that changed it last.
    good = good and bool(np.all(column <= steps)) and column[0] >= 0
    if not good:
        raise Malformed("identified_at does not fit the run")
    return int(column[-1])


def finite_termination(case: Case) -> Measurement:
    """Steps from the support's last change until the KKT residual is at rounding."""
    at = _penalised(case)
    residual = witness(case, "residual", "real", 1)
    found = _identified(case, residual.size)
    strength = float(np.max(at.terms.strength))
    scale = strength if strength > 0 else float(np.max(residual))
    below = np.flatnonzero(residual <= REACHED * scale) + 1
    if not below.size:
        return Measurement(math.inf, "the run never got there")
    ended = int(below[0])
    detail = f"support after {found} steps, end after {ended}"
    return Measurement(float(max(ended - found, 0)), detail)


RULES: tuple[Rule, ...] = (
    Rule(
        "optimize.active_set_complexity/1",
        "evidence",
        "<=",
        "the support changed for the last time no more than promised steps after the "
        "theorem's K, at the rate seen, and one visit of every block",
        "steps",
        active_set_complexity,
        (),
    ),
    Rule(
        "optimize.finite_termination/1",
        "evidence",
        "<=",
        "once the support had changed for the last time, so many steps brought the KKT "
        "residual below 1e-12 of the strength",
        "steps",
        finite_termination,
        (),
    ),
)
