"""What a run of conjugate directions shows, as claims."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core import Claim, Withheld

DESCENT = "linear.energy_descent/1"
CONJUGACY = "linear.conjugacy/1"
CONTRACTION = "linear.contraction/1"
_MISMATCH = 1e-9  # relative, between the decrements and what the answer shows
_OVERLAP = 1e-8
_LARGEST = 2**20  # unknowns up to which directions travel as a witness


def descent_claim(start: Any, trace: Mapping[str, np.ndarray]) -> Claim | Withheld:
    """Decrements of ||x - x*||_A^2, none negative, that sum to the whole descent."""
    decrements = trace.get("decrement")
    if decrements is None or not len(decrements):
        return Withheld(DESCENT, "no step was taken")
    witness = {"decrement": np.asarray(decrements, np.float64)}
    if np.any(start):
        witness["start"] = np.asarray(start, np.float64)
    return Claim(DESCENT, _MISMATCH, witness)


def conjugacy_claim(directions: Any, window: int, steps: int) -> Claim | Withheld:
    """The last window + 1 directions are conjugate in pairs."""
    count = min(window + 1, steps)
    if count < 2:
        return Withheld(CONJUGACY, "needs a window of 1 and two steps")
    if directions.shape[1] > _LARGEST:
        reason = f"more than {_LARGEST} unknowns: the directions do not travel"
        return Withheld(CONJUGACY, reason)
    kept = np.asarray(directions, np.float64)[-count:]
    if not np.all(np.isfinite(kept)):
        return Withheld(CONJUGACY, "a direction is not finite")
    return Claim(CONJUGACY, _OVERLAP, {"directions": kept})


def contraction_claim(
    problem: Any, value: Any, state: Any, trace: Mapping[str, np.ndarray]
) -> Claim | Withheld:
    """||x_K - x*||_A / ||x_0 - x*||_A is at most what the steps' angles guarantee.

    Each step contracts the square by 1 - (r^T d)^2 lambda / (||r||^2 d^T A d) or more,
    since ||e||_A^2 <= ||r||^2 / lambda for every lambda <= lambda_min.
    """
    least_eigenvalue = getattr(problem, "least_eigenvalue", None)
    if least_eigenvalue is None:
        return Withheld(CONTRACTION, "no bound on the least eigenvalue is at hand")
    decrements = np.asarray(trace.get("decrement", ()))
    if not len(decrements):
        return Withheld(CONTRACTION, "no step was taken")
    least, v = least_eigenvalue(value)
    if v is None:
        reason = "the least eigenvalue is zero, or not bounded at this size"
        return Withheld(CONTRACTION, reason)
    relative = np.concatenate([[1.0], trace["residual"][:-1]])
    squares = (relative * float(state.first)) ** 2
    with np.errstate(all="ignore"):
        kept = np.nan_to_num(1.0 - decrements * least / squares, nan=1.0)
    kept = np.clip(kept, 0.0, 1.0)
    factor = float(np.exp(0.5 * np.sum(np.log(np.maximum(kept, 1e-300)))))
    # Where the angles promise more than the final residual can show, promise that.
    largest = 2.0 * float(np.max(problem.diagonal()))  # Gershgorin
    shown = float(trace["residual"][-1]) * np.sqrt(largest / least)
    promised = max(factor, 1.01 * shown + 1e-12)
    witness = {"positive_vector": v}
    if np.any(state.start):
        witness["start"] = np.asarray(state.start, np.float64)
    if not promised < 1:
        return Withheld(CONTRACTION, f"no bound: {promised:.3g} >= 1 says nothing")
    return Claim(CONTRACTION, promised, witness)
