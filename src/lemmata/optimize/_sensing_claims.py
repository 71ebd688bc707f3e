"""What an answer to a sensing problem is worth, whoever computed it."""

import math
from typing import Any

import numpy as np

from lemmata_checker import gaussian

from ..core import Claim, Withheld
from ._indexed_operators import FourierOperator, MaskOperator
from ._low_rank import LowRank
from ._sensing_operators import IdentityOperator

DELTA = 0.01  # share of draws for which the held-out bound may fail
_GRAM_SIDE = 400  # entries up to which the judge bounds sigma_min(A)
_MARGIN = 1e-6  # of a figure that is computed here and promised
_ISOMETRY = 0.1  # a run leaves its error where the operator sees least
_RECOVERY, _HELD_OUT = "optimize.recovery/1", "optimize.held_out_error/1"
_FLOOR, _OBSERVED = "optimize.rank_floor/1", "optimize.observed_isometry/1"


def answer_claims(problem: Any, value: LowRank) -> tuple[Claim | Withheld, ...]:
    """Claims that need no truth: the residual, and what follows from it."""
    return (
        Claim("optimize.measurement_residual/1", float(problem.rtol)),
        _recovery(problem),
        _held_out(problem, value),
    )


def _recovery(problem: Any) -> Claim | Withheld:
    gain = _least_gain(problem)
    if isinstance(gain, str):
        return Withheld(_RECOVERY, gain)
    size = float(np.linalg.norm(problem.measurements[: problem.used]))
    return Claim(_RECOVERY, float(problem.rtol) * size / gain * (1 + _MARGIN))


def _least_gain(problem: Any) -> float | str:
    """sigma_min(A), or why no bound on it is known."""
    operator, used = problem.operator, problem.used
    n1, n2 = operator.shape
    entries = n1 * n2
    if isinstance(operator, IdentityOperator):
        return 1.0
    if isinstance(operator, MaskOperator | FourierOperator):
        fourier = isinstance(operator, FourierOperator)
        if used == entries * (1 + fourier):
            return math.sqrt(entries) if fourier else 1.0
        return "not all of the matrix was measured, and nothing certifies the rest"
    if used < entries:
        return (
            f"{used} measurements of {entries} entries determine a matrix only by its "
            "rank; restricted isometry constants are not computed"
        )
    if entries > _GRAM_SIDE:
        return f"issued up to {_GRAM_SIDE} entries: it takes their Gram matrix"
    rows = [operator.adjoint(row).reshape(-1) for row in np.eye(operator.count)[:used]]
    values = np.linalg.svd(np.stack(rows), compute_uv=False)
    if values[-1] < 1e-6 * values[0]:
        return "the measurements do not determine the matrix"
    return float(values[-1])


def _held_out(problem: Any, value: LowRank) -> Claim | Withheld:
    fresh = problem.held_out
    if not fresh:
        reason = "no measurement was held out: pass held_out=200 with GaussianOperator"
        return Withheld(_HELD_OUT, reason)
    tau = math.sqrt(6 * math.log(1 / DELTA) / fresh)
    if tau >= 0.99:
        least = math.ceil(6 * math.log(1 / DELTA) / 0.98)
        return Withheld(
            _HELD_OUT, f"{fresh} held-out rows are too few: {least} at least"
        )
    matrix = value.matrix()
    n1, n2 = matrix.shape
    y = problem.measurements[problem.used :]
    seen = problem.operator.apply(matrix)[problem.used :]
    # The judge adds its rounding: gamma_(n1 + n2) ||A||_F ||L R'||_F.
    rounding = 2.0**-52 * (n1 + n2 + 8) * math.sqrt(fresh * n1 * n2)
    size = float(np.linalg.norm(seen - y))
    size += rounding * float(np.linalg.norm(matrix))
    spread = gaussian.variance() * fresh * (1 - tau)
    promised = size / math.sqrt(spread) * (1 + 1e-3)
    return Claim(_HELD_OUT, promised, parameters={"delta": DELTA})


def planted_claims(problem: Any, value: LowRank) -> tuple[Claim | Withheld, ...]:
    """Claims about the distance to the truth."""
    truth = problem.truth
    matrix, target = value.matrix(), truth.matrix()
    error = float(np.linalg.norm(matrix - target))
    size = float(np.linalg.norm(target))
    return _floor(problem, matrix), _observed(error, size)


def _floor(problem: Any, matrix: np.ndarray) -> Claim | Withheld:
    values = np.linalg.svd(matrix, compute_uv=False)
    tail = values[problem.rank :]
    if not tail.size or tail[0] <= 1e-9 * max(values[0], 1e-300):
        reason = f"the answer is of the truth's rank {problem.rank}, but for rounding"
        return Withheld(_FLOOR, reason)
    return Claim(_FLOOR, 1 - 1e-3)


def _observed(error: float, size: float) -> Claim | Withheld:
    if error <= 1e-12 * size:
        reason = "the answer is the truth, but for rounding: no direction is left"
        return Withheld(_OBSERVED, reason)
    return Claim(_OBSERVED, _ISOMETRY)
