"""Two-layer ReLU networks as the rules see them, and their cost with its rounding.

Kinds `geometry.convex_relu/1` and `geometry.robust_convex_relu/1`: samples X, targets
y, a loss, a weight decay; the answer is U, a of x -> sum_j relu(x'u_j) a_j.
"""

import math
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed, Measurement
from ..rigor import TINY, U, exp_bounds, gamma, log_enclosed
from ..sparse import real

CONVEX, ROBUST = "geometry.convex_relu/1", "geometry.robust_convex_relu/1"
LOSSES = ("squared", "hinge", "logistic")


class Setting(NamedTuple):
    """Problem and answer, checked."""

    loss: str
    decay: float
    scale: float
    inputs: np.ndarray
    targets: np.ndarray
    hidden: np.ndarray
    output: np.ndarray
    objective: float


def setting(case: Case) -> Setting:
    """**Raises:** `Malformed`."""
    return case.shared("geometry.relu.setting", lambda: _setting(case))


def _setting(case: Case) -> Setting:
    kind, parameters = case.problem.kind, case.problem.json
    if kind not in (CONVEX, ROBUST):
        raise Malformed(f"no problem about two-layer networks: {kind}")
    loss = parameters.get("loss")
    if loss not in LOSSES:
        raise Malformed(f"no loss {loss!r}")
    decay, scale = (positive(parameters, k) for k in ("weight_decay", "logit_scale"))
    if loss != "logistic" and scale != 1.0:
        raise Malformed("logit_scale is for the logistic loss")
    x = real(case.problem.arrays.get("inputs"), "inputs", 2)
    y = real(case.problem.arrays.get("targets"), "targets", 1)
    n, d = x.shape
    if min(n, d) < 1 or y.size != n:
        raise Malformed(f"{y.size} targets for inputs {x.shape}")
    if loss != "squared" and not np.all(np.abs(y) == 1.0):
        raise Malformed("labels must be -1 or 1")
    hidden = real(case.value.get("hidden_weights"), "hidden_weights", 2)
    output = real(case.value.get("output_weights"), "output_weights", 1)
    if hidden.shape != (output.size, d):
        raise Malformed(f"hidden weights {hidden.shape} for {output.size} units")
    stated = real(case.value.get("objective"), "objective", 0)
    return Setting(loss, decay, scale, x, y, hidden, output, float(stated))


def dual_of(case: Case) -> np.ndarray:
    """Theta, (n,), as the answer states it."""
    dual = real(case.value.get("dual"), "dual", 1)
    n = setting(case).targets.size
    if dual.size != n:
        raise Malformed(f"dual of {dual.size} for {n} samples")
    return dual


def positive(parameters: dict, name: str) -> float:
    """A finite number > 0 of the problem."""
    value = parameters.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"{name} is missing or no number")
    if not 0 < value < math.inf:
        raise Malformed(f"{name}: expected a finite number > 0, got {value}")
    return float(value)


def patterns(case: Case) -> np.ndarray:
    """(P, n) of bool. **Raises:** `Malformed`."""
    return case.shared("geometry.relu.patterns", lambda: _patterns(case))


def _patterns(case: Case) -> np.ndarray:
    n = setting(case).targets.size
    bits = case.problem.arrays.get("pattern_bits")
    if bits is None or bits.dtype != np.uint8 or bits.ndim != 2 or not len(bits):
        raise Malformed("pattern_bits is missing or no matrix of bytes")
    if bits.shape[1] != -(-n // 8):
        raise Malformed(f"pattern_bits of {bits.shape[1]} bytes for {n} samples")
    return np.unpackbits(bits, axis=1, count=n).astype(bool)


def product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A B and a bound on its rounding, elementwise."""
    count = a.shape[-1] + 2
    size = np.abs(a) @ np.abs(b)
    return a @ b, size * gamma(count) * (1 + gamma(count)) + count * TINY


def predictions(at: Setting) -> tuple[np.ndarray, np.ndarray]:
    """F = relu(X U) a and a bound on its error, (n,)."""
    if not at.output.size:
        zero = np.zeros(at.targets.size)
        return zero, zero
    height, off = product(at.inputs, at.hidden.T)
    f, error = product(np.maximum(height, 0.0), at.output)
    carried = (off @ np.abs(at.output)) * (1 + gamma(at.output.size + 2))
    return f, (error + carried) * (1 + 4 * U)


def over_stated(case: Case, upper: float) -> Measurement:
    """Upper / stated objective - 1."""
    stated = setting(case).objective
    if upper == 0 and stated == 0:
        return Measurement(0.0, figures={"cost": 0.0})
    if not stated > 0:
        raise Malformed(f"a stated objective of {stated}")
    over = (upper - stated) / stated
    return Measurement(over + 4 * U * (1 + abs(over)), figures={"cost": upper})


def cost(case: Case) -> float:
    """Upper bound on the network's loss and decay."""
    at = setting(case)
    found = case.shared("geometry.relu.predictions", lambda: predictions(at))
    return loss_bound(at, *found) + decay_bound(at)


def decay_bound(at: Setting) -> float:
    """Upper bound on decay / 2 (|U|^2 + |a|^2)."""
    parts = np.concatenate([at.hidden.reshape(-1), at.output])
    square = float(parts @ parts) * (1 + gamma(parts.size + 4))
    floor = parts.size * TINY
    return 0.5 * at.decay * (square + floor) * (1 + 4 * U)


def loss_bound(at: Setting, f: np.ndarray, error: np.ndarray) -> float:
    """Upper bound on the loss of every prediction within `error` of f."""
    n = at.targets.size
    if at.loss == "squared":
        off = np.abs(f - at.targets)
        off = (off + error) * (1 + 4 * U)
        return 0.5 * float(off @ off) * (1 + gamma(n + 4))
    margin = at.targets * f - error
    margin = margin - 2 * U * np.abs(margin)
    if at.loss == "hinge":
        parts = np.maximum(0.0, (1.0 - margin) + 2 * U * (1 + np.abs(margin)))
        return float(np.sum(parts)) * (1 + gamma(n + 4)) / n * (1 + 2 * U)
    minus = -at.scale * margin
    return softplus_bound(minus + 2 * U * np.abs(minus))


def softplus_bound(t: np.ndarray) -> float:
    """Upper bound on the sum of log(1 + exp(t)) = max(t, 0) + log(1 + exp(-|t|))."""
    above = exp_bounds(-np.abs(t))[1]
    value, error = log_enclosed((1.0 + above) * (1 + 2 * U))
    parts = np.maximum(t, 0.0) + value + error
    return float(np.sum(parts + 2 * U * np.abs(parts))) * (1 + gamma(t.size + 4))
