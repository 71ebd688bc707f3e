"""Rule of the end of a Newton run: how fast its residual fell."""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ._constrained import KIND, vector
from .optimize_sketched import table

LEAST = 1e-14  # relative to the first residual looked at: what lies below is rounding


def local_rate(case: Case) -> Measurement:
    """Superlinear: the last ratio over the one before, of ratios of residuals.

    Else: the last ratio over max(2 theta delta, C r), C fitted to the ratios before it.
    """
    residual = table(case.witness, "residual", (None,))
    count = len(residual)
    if not 3 <= count <= 5 or np.any(residual < 0) or not residual[0] > 0:
        raise Malformed("residual: expected 3 to 5 numbers, the first > 0")
    accuracy = vector(case.witness, "accuracy", count - 1)
    if np.any(accuracy <= 0):
        raise Malformed("accuracy: expected numbers > 0")
    _of_the_trace(case, residual)
    size = np.maximum(residual, LEAST * residual[0])
    ratios = size[1:] / size[:-1]
    figures = {f"ratio_{k + 1}": float(r) for k, r in enumerate(ratios)}
    if case.parameters.get("superlinear") is True:
        measured = float(ratios[-1] / ratios[-2])
        if ratios[-1] >= 1:
            measured = math.inf
        return Measurement(measured, "the last ratio over the one before", figures)
    if case.parameters.get("superlinear") is not False:
        raise Malformed("superlinear: expected true or false")
    fitted = float(np.max(ratios[:-1] / size[:-2]))
    bound = max(2 * accuracy[-1], fitted * size[-2])
    figures["constant"] = fitted
    detail = "the last ratio over max(2 theta delta, C r), C from the ratios before"
    return Measurement(float(ratios[-1] / bound), detail, figures)


def _of_the_trace(case: Case, residual: np.ndarray) -> None:
    """They are the last residuals of the recorded run."""
    recorded = table(case.trace, "residual", (None,))
    if not np.array_equal(recorded[-len(residual) :], residual):
        raise Malformed("residual: expected the last ones of the trace")


RULES: tuple[Rule, ...] = (
    Rule(
        "optimize.local_rate/1",
        "evidence",
        "<=",
        "over the last full steps, superlinear: ratios of successive residuals fall; "
        "else: the last ratio is at most max(2 theta delta, C ||grad L||)",
        "share",
        local_rate,
        (KIND,),
    ),
)
