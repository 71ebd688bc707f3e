"""What an answer to a composite problem is claimed to be worth; on the host."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse

from lemmata_checker.case import Case
from lemmata_checker.rules import optimize_composite as judged
from lemmata_checker.rules.optimize_composite_data import setting
from lemmata_checker.rules.optimize_composite_gap import Bound, bound

from ..core import Claim, Withheld
from ._composite_checks import FACTORISED, factorised, free
from ._composite_reference import first_residual, host_scale
from ._losses import AbstractDesignLoss, LeastSquares, Quadratic
from ._penalties import L1, NonNegative, NonNegativeL1

_VALUE = "optimize.value_enclosure/1"
_SUPPORT = "optimize.support/1"
_STATIONARITY = "optimize.stationarity/1"
_STATIONARY = 1e-6  # asked for where no gap can be shown


def claims(problem: Any, case: Case, x: np.ndarray) -> tuple[Claim | Withheld, ...]:
    """Value, support and stationarity, or why not."""
    witness: dict[str, np.ndarray] = {}
    if isinstance(problem.loss, Quadratic):
        witness = quadratic_witness(problem, x)
    scale = host_scale(problem)
    promised = max(float(problem.gap_tol) * scale, 1e-250)
    case = replace(case, witness=witness)
    found = _bound(case) if _needs_a_look(problem) else None
    reason = _no_gap(problem, found, promised)
    if reason:
        value: Claim | Withheld = Withheld(_VALUE, reason)
        support: Claim | Withheld = Withheld(_SUPPORT, "it rests on the gap")
    else:
        value = Claim(_VALUE, promised, witness)
        support = _support(problem, case, scale)
    return value, support, _stationarity(problem, bool(reason))


def _stationarity(problem: Any, instead: bool) -> Claim | Withheld:
    tol = problem.stationarity_tol
    if tol is None and not instead:
        return Withheld(_STATIONARITY, "not asked for: give stationarity_tol")
    tol = _STATIONARY if tol is None else float(tol)
    return Claim(_STATIONARITY, max(tol * first_residual(problem), 1e-250))


def _needs_a_look(problem: Any) -> bool:
    """Whether a gap depends on more than the penalty: rank, definiteness, a margin."""
    loss = problem.loss
    if isinstance(loss, Quadratic):
        return True
    bare = free(problem.penalty, loss.variables)
    if isinstance(loss, AbstractDesignLoss):
        bare = bare & (np.broadcast_to(np.asarray(loss.ridge()), bare.shape) == 0)
    return bool(np.any(bare))


def _bound(case: Case) -> Bound:
    """What the judge will find: it decides here only what is not claimed."""
    with np.errstate(all="ignore"):
        return bound(case)


def _no_gap(problem: Any, found: Bound | None, promised: float) -> str:
    if found is None or found.gap <= promised or found.how == "duality":
        return ""
    if isinstance(problem.loss, Quadratic):
        shown = found.convexity > 0 or math.isfinite(found.gap)
        return "" if shown else "no bound: H was not shown to be positive definite"
    if found.convexity > 0 and isinstance(problem.loss, LeastSquares):
        return ""
    return (
        "no bound: coordinates without penalty leave the dual point infeasible (rank, "
        "or a minimiser on the edge); add l2, a strength or bounds"
    )


def quadratic_witness(problem: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """Where the judge does not factorise H: v > 0 with C v > 0, and t = -H^-1 g."""
    matrix = problem.loss.operator.host()
    n = matrix.shape[0]
    if n <= FACTORISED or not scipy.sparse.issparse(matrix):
        return {}
    comparison = 2 * scipy.sparse.diags_array(matrix.diagonal()) - abs(matrix)
    solve = factorised(comparison)
    if solve is None:
        return {}
    vector = solve(np.ones(n))
    if not np.all(vector > 0):
        return {}
    witness = {"positive_vector": vector}
    strength, lower, upper = problem.penalty.terms()
    if np.all(np.isinf(lower)) and np.all(np.isinf(upper)) and not np.any(strength):
        direct = factorised(matrix)
        if direct is not None:
            gradient = matrix @ np.asarray(x) - np.asarray(problem.loss.linear)
            witness["newton_step"] = -direct(gradient)
    return witness


def _support(problem: Any, case: Case, scale: float) -> Claim | Withheld:
    """As many as twice the gap would decide."""
    if not isinstance(problem.penalty, L1 | NonNegative | NonNegativeL1):
        return Withheld(_SUPPORT, "no penalty here makes coordinates exactly zero")
    found, at = _bound(case), setting(case)
    wider = 2 * found.gap + 1e-16 * scale
    if not math.isfinite(wider):
        return Withheld(_SUPPORT, "no gap was shown at this point")
    ratio = math.sqrt(wider / max(found.gap, 1e-300))
    found = found._replace(gap=wider, reach=found.reach * ratio)
    with np.errstate(all="ignore"):
        zero = judged.zeros(at, found)
        other = judged.nonzeros(case, found, zero)
    decided = int(np.sum(zero)) + int(np.sum(other))
    if not decided:
        return Withheld(_SUPPORT, "no bound: the gap decides no coordinate")
    return Claim(_SUPPORT, float(at.x.size - decided), case.witness)
