"""Rule of streams of linear systems: every answer's residual."""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..rigor import TINY, gamma
from ._linear_streams import HEAT, KINDS, stream_of

_INITIAL, _RHS, _ABSOLUTE = "initial", "rhs", "absolute"


def sequence_residual(case: Case) -> Measurement:
    """max_t of upper bounds on ||b - A x|| / reference, all T systems."""
    criterion = case.problem.json.get("criterion")
    if criterion not in (_INITIAL, _RHS, _ABSOLUTE):
        raise Malformed(f"criterion {criterion!r} is not known")
    stream = stream_of(case)
    steps, worst, where = stream.solutions.shape[0], -math.inf, 0
    for start in range(0, steps, stream.width):
        found = stream.blocks(start, min(start + stream.width, steps))
        reached = norm_upper(*found.residual)
        reference = np.ones_like(reached)
        if criterion != _ABSOLUTE:
            reference = norm_lower(
                *(found.initial if criterion == _INITIAL else found.rhs)
            )
        # Nothing to reach and nothing left: an exact answer.
        exact = (reached == 0) & (reference >= 0)
        ratio = np.where(reference > 0, reached / reference * (1 + 2.0**-51), np.inf)
        ratio = np.where(exact, 0.0, ratio)
        place = int(np.argmax(np.where(np.isnan(ratio), np.inf, ratio)))
        if not ratio[place] <= worst:
            worst, where = float(ratio[place]), start + place
    return Measurement(
        worst,
        f"all {steps} systems decided; the worst is system {where}",
        {"systems": float(steps), "worst_system": float(where)},
    )


def norm_upper(value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Upper bounds on the Euclidean norms of rows."""
    size = np.abs(value) + error
    total = np.sqrt(np.sum(size * size, axis=1))
    # Squares that underflow lose less than sqrt(n tiny) <= sqrt(n) 1.5e-154.
    lost = np.where(np.any(size > 0, axis=1), math.sqrt(size.shape[1] * TINY), 0.0)
    return total * (1 + gamma(size.shape[1] + 4)) + lost


def norm_lower(value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Lower bounds on the Euclidean norms of rows."""
    size = np.maximum(np.abs(value) - error * (1 + 2.0**-50), 0.0)
    total = np.sqrt(np.sum(size * size, axis=1))
    lost = np.where(np.any(size > 0, axis=1), math.sqrt(size.shape[1] * TINY), 0.0)
    return np.maximum(total * (1 - gamma(size.shape[1] + 4)) - lost, 0.0)


RULES: tuple[Rule, ...] = (
    Rule(
        "linear.sequence_residual/1",
        "proof",
        "<=",
        "every system of the stream: ||b - A x||_2 <= promised * reference, which is "
        "||b - A x_0||_2, ||b||_2 or 1 by the criterion",
        "share of the reference",
        sequence_residual,
        KINDS,
    ),
)

__all__ = ["HEAT", "RULES", "norm_lower", "norm_upper", "sequence_residual"]
