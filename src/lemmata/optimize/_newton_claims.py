"""What a Newton run itself shows: descent, projections, and how fast it ended."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core import Claim, Withheld
from ..numerics.sketch import AbstractSketch, WeightedKaczmarz
from ._newton_state import NewtonState

_DESCENT, _PROJECTION = "optimize.descent/1", "optimize.projection/1"
_RATE = "optimize.local_rate/1"
_MISMATCH = 1e-8  # relative; what float64 leaves of a projection is far below
_LARGEST = 400  # unknowns and multipliers up to which the judge projects exactly
_TAIL = 5  # residuals looked at


def descent_claim(
    problem: Any, value: Any, state: NewtonState, beta: Any
) -> Claim | Withheld:
    """Every accepted step descends and meets Armijo's rule, decided from iterates."""
    history, steps = state.history, int(state.steps)
    if steps > len(history.alphas):
        reason = f"{steps} steps, of which {len(history.alphas)} were recorded; raise "
        return Withheld(_DESCENT, reason + "the option record")
    taken = int(np.count_nonzero(np.asarray(history.alphas[:steps]) > 0))
    if not taken:
        return Withheld(_DESCENT, "no step was accepted")
    points = np.asarray(history.points)[: taken + 1]
    begun = np.concatenate([problem.x0, problem.multipliers0])
    start = "problem" if np.array_equal(points[0], begun) else "warm"
    etas = np.asarray(history.etas)[:taken]
    witness = {
        "points": points,
        "alphas": np.asarray(history.alphas)[:taken],
        "eta1": etas[:, 0].copy(),
        "eta2": etas[:, 1].copy(),
    }
    return Claim(_DESCENT, 0.0, witness, {"beta": float(beta), "start": start})


def projection_claim(sketch: AbstractSketch, state: NewtonState) -> Claim | Withheld:
    """The recorded sketch steps are orthogonal projections, exactly judged."""
    sample = state.sample
    if sample is None:
        reason = "the KKT matrix was never stored, or record=0"
        return Withheld(_PROJECTION, reason)
    if not int(state.work.sketch_steps):
        return Withheld(_PROJECTION, "no sketch step was taken")
    size = len(sample.rhs)
    if size > _LARGEST:
        reason = f"{size} equations; judged exactly up to {_LARGEST}"
        return Withheld(_PROJECTION, reason)
    witness = {
        "matrix": np.asarray(state.matrix),
        "scale": np.asarray(state.scale),
        "rhs": np.asarray(sample.rhs),
        "iterate": np.asarray(state.history.points)[0],
        "points": np.asarray(sample.points),
        "sketches": np.asarray(sample.sketches),
    }
    if isinstance(sketch, WeightedKaczmarz):
        square = (sample.norms / np.max(sample.norms)) ** 2
        witness["probabilities"] = np.asarray(square / np.sum(square))
    return Claim(_PROJECTION, _MISMATCH, witness)


def local_rate_claim(
    trace: Mapping[str, np.ndarray], superlinear: bool
) -> Claim | Withheld:
    """How the residual fell over the last full, unmodified steps."""
    residual = np.asarray(trace.get("residual", ()), np.float64)
    if len(residual) < 4:
        return Withheld(_RATE, f"needs four residuals, there are {len(residual)}")
    whole = (trace["alpha"] == 1) & (np.asarray(trace["modified"]) == 0)
    broken = np.flatnonzero(~whole)
    # Residual j is that after step j: a ratio needs its own step to be whole.
    first = int(broken[-1]) if broken.size else 0
    first = max(first, len(residual) - _TAIL)
    if len(residual) - first < 3:
        reason = "fewer than two full steps with the Hessian itself at the end"
        return Withheld(_RATE, reason)
    accuracy = (np.asarray(trace["theta"]) * np.asarray(trace["delta"]))[first + 1 :]
    witness = {"residual": residual[first:], "accuracy": accuracy}
    return Claim(_RATE, 1.0, witness, {"superlinear": bool(superlinear)})
