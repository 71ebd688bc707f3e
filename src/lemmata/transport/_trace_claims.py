"""Claims that a Newton run's own trace shows: superlinear convergence, and ascent."""

from typing import Any

import numpy as np

from ..core import Claim, Withheld

_SUPERLINEAR, _ASCENT = "transport.superlinear/1", "transport.ascent/1"
_LOWEST, _HIGHEST = 1e-13, 1e-2  # the window in which ratios are looked at
_ASKED = 1e-12  # by the method's atol; what the run reached must not select


def trace_claims(trace: Any, atol: float | None) -> tuple[Claim | Withheld, ...]:
    """Issues what the recorded errors and duals allow.

    **Arguments:** `atol`, of the method; None where its rule for the Hessian is not
    meant to be superlinear.
    """
    columns = {name: np.asarray(values, np.float64) for name, values in trace.items()}
    return _superlinear(columns, atol), _ascent(columns)


def _superlinear(trace: Any, atol: float | None) -> Claim | Withheld:
    if atol is None:
        reason = "the rule FixedSparsity keeps a constant Hessian error: linear at best"
        return Withheld(_SUPERLINEAR, reason)
    if atol > _ASKED:
        reason = f"shown only by runs that are asked for it: pass atol={_ASKED}"
        return Withheld(_SUPERLINEAR, reason)
    errors = newton_errors(trace)
    if not len(errors):
        return Withheld(_SUPERLINEAR, "no Newton step was needed")
    # The first error below the window counts as its lower end: an upper bound on it.
    below = np.flatnonzero(errors <= _LOWEST)
    errors = errors[: below[0] + 1] if below.size else errors
    window = np.maximum(errors, np.nextafter(_LOWEST, 1.0))
    window = window[window < _HIGHEST]
    if len(window) < 4:
        found = f"there are {len(window)}"
        return Withheld(_SUPERLINEAR, f"needs four errors below {_HIGHEST}: {found}")
    return Claim(_SUPERLINEAR, 1e-2, {"error": window})


def newton_errors(trace: Any) -> np.ndarray:
    """Errors after the Newton steps at the last epsilon, in order."""
    if not len(trace.get("error", ())):
        return np.zeros(0)
    stepped = np.diff(trace["newton_steps"], prepend=0) > 0
    chosen = stepped & (trace["stage"] == 1)
    return trace["error"][chosen]


def _ascent(trace: Any) -> Claim | Withheld:
    dual, stage = trace.get("dual", np.zeros(0)), trace.get("stage", np.zeros(0))
    known = np.isfinite(dual)
    dual, stage = dual[known], stage[known]
    if not np.any(np.diff(stage) == 0):
        return Withheld(_ASCENT, "no two steps at one epsilon were recorded")
    promised = -1e-12 * (1.0 + float(np.max(np.abs(dual))))
    return Claim(_ASCENT, promised, {"dual": dual, "stage": stage})
