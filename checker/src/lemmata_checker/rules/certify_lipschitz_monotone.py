"""Monotonicity of an output in single features over a box."""

import math
from typing import Any

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ._certify_lipschitz_problem import array_of, question
from ._certify_lipschitz_tree import bounds

KIND = ("certify.monotonicity/1",)


def monotone(case: Case) -> Measurement:
    """How far an entry of the gradient may leave the side that its verdict states."""
    low, high = _entries(case)
    verdict = case.value.get("verdicts")
    fits = verdict is not None and verdict.dtype == np.int64
    if verdict is None or not fits or verdict.shape != low.shape:
        raise Malformed(f"verdicts: expected int64, shape {low.shape}")
    if not np.all(np.isin(verdict, (-1, 0, 1))):
        raise Malformed("verdicts: expected -1, 0 or 1")
    rising, falling = verdict > 0, verdict < 0
    worst = np.max(np.maximum(-low[rising], 0.0), initial=0.0)
    worst = max(worst, np.max(np.maximum(high[falling], 0.0), initial=0.0))
    detail = f"non-decreasing in {int(rising.sum())}, non-increasing in "
    detail += f"{int(falling.sum())} of {len(verdict)} features"
    if not np.any(verdict):
        worst, detail = math.inf, "no verdict is stated"
    return Measurement(float(worst), detail)


def intervals(case: Case) -> Measurement:
    """How far the judge's enclosure sticks out of the stated one."""
    low, high = _entries(case)
    stated = [
        array_of(case.value, name, low.shape)
        for name in ("derivative_lower", "derivative_upper")
    ]
    excess = np.maximum(stated[0] - low, high - stated[1])
    return Measurement(float(np.nextafter(np.max(excess), np.inf)))


def _entries(case: Case) -> tuple[np.ndarray, np.ndarray]:
    asked, found = question(case), bounds(case)
    features: Any = case.problem.json.get("features")
    fits = isinstance(features, list) and len(features) > 0 and len(asked.rows) == 1
    fits = fits and all(
        type(i) is int and 0 <= i < asked.network.inputs for i in features
    )
    if not fits:
        raise Malformed("features: expected positions of inputs, and one output")
    chosen = np.asarray(features, dtype=np.int64)
    return found.lower[0, chosen], found.upper[0, chosen]


RULES = (
    Rule(
        "certify.monotone/1",
        "proof",
        "<=",
        "the output is non-decreasing (non-increasing) over the box in every feature "
        "so judged: its derivative is on the wrong side by at most promised",
        "",
        monotone,
        KIND,
    ),
    Rule(
        "certify.derivative_interval/1",
        "proof",
        "<=",
        "the derivatives in the features lie within the stated intervals over the box, "
        "but for promised",
        "",
        intervals,
        KIND,
    ),
)
