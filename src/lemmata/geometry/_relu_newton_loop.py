"""Outer and inner steps of the semismooth Newton method, for any terms."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core import CONVERGED, Outcome
from ._relu_newton_state import (
    Inner,
    NewtonState,
    Terms,
    conjugate,
    direction,
    evaluate,
)

_GAP, _STALLED = 1, 2
_REACHED = 0.5  # of the promised gap, at which a run stops
_PATIENCE = 6  # outer steps without a better gap
_ARMIJO = 1e-4
STALLED = Outcome(
    "stalled",
    "Rounding kept the gap from shrinking; scale the columns of inputs, or ask for a "
    "larger gap_tol.",
)
_STORED = (
    "theta center center_predictions step lower cost best best_theta gradient outer "
    "stalled done"
).split()


def beginning(terms: Terms, step: float) -> NewtonState:
    """At u = 0, theta half way to its residuals."""
    zero = np.zeros_like(terms.targets)
    theta = 0.5 * terms.loss.dual_point(zero, terms.targets)
    cost = float(terms.loss.value(zero, terms.targets))
    u = np.zeros(terms.shape)
    return NewtonState(terms, theta, u, zero, step, 0.0, cost, u, theta)


def inside(terms: Terms, dual: np.ndarray) -> np.ndarray:
    """An answer's theta for the loss as a plain sum, off the domain's edges."""
    theta = terms.loss.admissible(dual / terms.share, terms.targets)
    if terms.loss.name != "logistic":
        return theta
    y, scale = terms.targets, float(terms.loss.scale)
    return y * scale * np.clip(y * theta / scale, 1e-9, 1 - 1e-9)


def advance(
    state: NewtonState, gap_tol: float, growth: float, accuracy: float
) -> NewtonState:
    """One Newton step, and the end of the outer step where it is due."""
    inner = evaluate(state, state.theta) if state.inner is None else state.inner
    inner, gained = _newton(state, inner)
    state.theta, state.inner = inner.theta, inner
    state.gradient = float(np.linalg.norm(inner.gradient))
    floor = 1e-12 * float(np.linalg.norm(state.terms.targets))
    far = _distance(state, inner) / state.step
    if not gained or state.gradient <= max(accuracy * far, floor):
        _outer(state, inner, gap_tol, growth)
    return state


def over(state: NewtonState) -> bool:
    return state.done > 0 or not bool(np.all(np.isfinite(state.theta)))


def outcome_of(state: NewtonState) -> Outcome:
    return STALLED if state.done == _STALLED else CONVERGED


def observed(state: NewtonState) -> dict[str, Any]:
    share = state.terms.share
    return {
        "objective": share * state.cost,
        "dual_value": share * state.lower,
        "gradient": state.gradient,
        "step": state.step,
    }


def stored(state: NewtonState) -> dict[str, np.ndarray]:
    arrays = {name: np.array(getattr(state, name)) for name in _STORED}
    arrays |= {name: a.copy() for name, a in state.terms.arrays().items()}
    if state.inner is not None:
        arrays |= {
            "inner_value": np.asarray(state.inner.value),
            "inner_gradient": state.inner.gradient,
        }
    return arrays


def restored(state: NewtonState, arrays: Mapping[str, np.ndarray]) -> NewtonState:
    """Inverse of `stored`, into a fresh state."""
    for name in _STORED:
        array = arrays[name]
        setattr(state, name, array.copy() if array.ndim else array.item())
    state.terms.restore(arrays)
    if "inner_value" in arrays:
        state.inner = evaluate(state, state.theta)
        state.terms.restore(arrays)
    return state


def _outer(state: NewtonState, inner: Inner, gap_tol: float, growth: float) -> None:
    """Takes the new u, bounds the gap, and begins the next outer step."""
    at, found = state.terms, inner.proximal
    before = state.cost - state.lower
    cost = float(at.loss.value(found.predictions, at.targets))
    cost += at.decay * float(np.sum(np.linalg.norm(found.vectors, axis=1)))
    vectors = np.zeros(at.shape)
    vectors[found.live] = found.vectors
    if cost <= state.cost:
        state.cost, state.best = cost, vectors
    for theta in (inner.theta, at.loss.dual_point(found.predictions, at.targets)):
        theta = at.loss.admissible(theta, at.targets)
        lower = at.bound(theta)
        if lower > state.lower:
            state.lower, state.best_theta = lower, theta
    state.outer += 1
    gap = state.cost - state.lower
    state.stalled = 0 if gap < 0.9 * before else state.stalled + 1
    if gap <= _REACHED * gap_tol * state.lower:
        state.done = _GAP
    elif state.stalled >= _PATIENCE:
        state.done = _STALLED
    state.center_predictions = conjugate(state, state.theta)[1]
    state.center = vectors
    state.step *= growth
    state.inner = None


def _newton(state: NewtonState, inner: Inner) -> tuple[Inner, bool]:
    """One step of Newton with backtracking; whether it gained anything."""
    if not np.any(inner.gradient):
        return inner, False
    step = direction(state, inner)
    slope = float(inner.gradient @ step)
    if not slope < 0:
        return inner, False
    length, noise = 1.0, 1e-13 * abs(inner.value)
    for _ in range(40):
        found = evaluate(state, inner.theta + length * step)
        if found.value <= inner.value + _ARMIJO * length * slope + noise:
            # Below the noise nothing more is gained, whatever the gradient says.
            return found, found.value < inner.value - noise
        length *= 0.5
    return inner, False


def _distance(state: NewtonState, inner: Inner) -> float:
    """|u - c|."""
    change = -state.center
    change[inner.proximal.live] += inner.proximal.vectors
    return float(np.linalg.norm(change))
