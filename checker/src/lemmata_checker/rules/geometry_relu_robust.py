"""Rule of robust training: the worst loss over balls around the samples, bounded above.

A unit whose pre-activation keeps its sign on the ball around x_k is linear there. One
that may change it is taken as linear too, on the side where its range reaches less far
across zero, and pays for that reach: |relu(t) - t| <= max(0, -t), |relu(t)| <= max(0,
t). What remains is linear in the shift, whose worst case is a dual norm.
"""

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..rigor import TINY, U, gamma
from .geometry_relu_data import (
    ROBUST,
    Setting,
    decay_bound,
    loss_bound,
    over_stated,
    positive,
    product,
    setting,
)


def robust_loss(case: Case) -> Measurement:
    """(Worst loss over the balls, plus decay) / stated objective - 1."""
    at = setting(case)
    radius = positive(case.problem.json, "radius")
    mask = case.problem.arrays.get("perturbed_columns")
    d = at.inputs.shape[1]
    if mask is None or mask.dtype != np.bool_ or mask.shape != (d,):
        raise Malformed(f"perturbed_columns is missing or no mask of {d}")
    ball = case.problem.json.get("ball")
    if ball not in ("linf", "l2"):
        raise Malformed(f"no ball {ball!r}")
    f, reach, slip = worst(at, radius, mask, ball)
    total = _loss(at, f, reach + slip) + decay_bound(at)
    found = over_stated(case, total)
    found.figures["most paid for changing units"] = float(np.max(slip))
    return found


def worst(
    at: Setting, radius: float, mask: np.ndarray, ball: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(f, reach, slip): predictions on the balls lie within reach + slip of f.

    `reach` is what the linear part moves; `slip` pays for units and rounding.
    """
    n, k = at.targets.size, at.output.size
    if not k:
        zero = np.zeros(n)
        return zero, zero, zero
    height, off = product(at.inputs, at.hidden.T)
    shift = radius * _dual_norm(at.hidden[:, mask], ball) * (1 + 4 * U)
    off = (off + shift[None, :]) * (1 + 4 * U)
    low, high = off - height, off + height  # how far t goes below and above zero
    size = 4 * U * (np.abs(height) + off)
    low, high = np.maximum(low + size, 0.0), np.maximum(high + size, 0.0)
    active = low <= high
    paid = np.where(active, low, high) @ np.abs(at.output) * (1 + gamma(k + 4))
    # The linear part: sum over active units of a_j u_j, one vector per sample.
    weights = active * at.output
    q, rounding = product(weights, at.hidden)
    f, error = product(np.where(active, height, 0.0), at.output)
    carried = np.where(active, _own(at), 0.0) @ np.abs(at.output)
    reach = radius * _dual_norm(np.abs(q[:, mask]) + rounding[:, mask], ball)
    slip = paid + (error + carried * (1 + gamma(k + 4)))
    return f, reach * (1 + 4 * U), slip * (1 + 8 * U) + 8 * TINY


def _own(at: Setting) -> np.ndarray:
    """Rounding of the pre-activations alone."""
    return product(at.inputs, at.hidden.T)[1]


def _dual_norm(rows: np.ndarray, ball: str) -> np.ndarray:
    """Upper bounds on the l_1 (ball linf) or l_2 norms of rows."""
    count = rows.shape[1] + 4
    if ball == "linf":
        return np.sum(np.abs(rows), axis=1) * (1 + gamma(count)) + count * TINY
    square = np.einsum("ij,ij->i", rows, rows) * (1 + gamma(count))
    return np.sqrt(square) * (1 + 4 * U) + count * 2.0**-511


def _loss(at: Setting, f: np.ndarray, reach: np.ndarray) -> float:
    return loss_bound(at, f, reach * (1 + 4 * U))


RULES: tuple[Rule, ...] = (
    Rule(
        "geometry.robust_loss/1",
        "proof",
        "<=",
        "decay, and loss of the network at the worst points of the balls around the "
        "samples, exceed the stated objective by at most this share",
        "of the objective",
        robust_loss,
        (ROBUST,),
    ),
)
