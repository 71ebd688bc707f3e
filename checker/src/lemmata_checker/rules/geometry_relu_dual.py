"""Lower bounds on the cost of two-layer networks with given patterns, by duality.

For v with E X v >= 0 (E = 2 D - 1) and any mu >= 0,
theta'D X v <= (X'D theta + X'E mu)'v <= |X'D theta + X'E mu| |v|; so if that norm is at
most the decay for each pattern and for both signs of theta, every network with these
patterns costs at least -l*(-theta).
"""

import math
from fractions import Fraction

import numpy as np

from ..case import Case, Malformed
from ..rigor import TINY, U, exact_dot, exact_sum, float_down, gamma, log_enclosed
from ..sparse import real
from .geometry_relu_data import Setting, dual_of, patterns, setting

LARGEST = 2**27  # entries of the (n, 2P) matrix that is made in parts
_PART = 512  # columns at a time


def dual_value(case: Case) -> tuple[float, float]:
    """(lower bound on the optimum over the patterns, largest norm over the decay)."""
    at = setting(case)
    names = ("multiplier_indptr", "multiplier_indices", "multipliers")
    given = tuple(
        case.witness[name].tobytes() for name in names if name in case.witness
    )
    name = f"geometry.relu.dual.{hash(given)}"
    return case.shared(name, lambda: _dual_value(case, at))


def _dual_value(case: Case, at: Setting) -> tuple[float, float]:
    theta = admissible(at, dual_of(case))
    largest = largest_norm(case, at, theta)
    if not math.isfinite(largest):
        raise Malformed("the norms overflow")
    most = at.decay / largest * (1 - 4 * U) if largest > 0 else 1.0
    if at.loss == "squared":
        return _squared(at, theta, most), largest / at.decay
    scale = min(1.0, most)
    if at.loss == "hinge":
        total = exact_sum(at.targets * theta) * Fraction(scale)
        return float_down(total), largest / at.decay
    return _entropy(at, theta, scale), largest / at.decay


def admissible(at: Setting, dual: np.ndarray) -> np.ndarray:
    """The nearest theta where the conjugate is finite.

    Hinge: 0 <= y theta <= 1/n. Logistic: 0 <= y theta <= scale.
    """
    if at.loss == "squared":
        return dual
    most = at.scale
    if at.loss == "hinge":
        most = float_down(Fraction(1, at.targets.size))
    return at.targets * np.clip(at.targets * dual, 0.0, most)


def largest_norm(case: Case, at: Setting, theta: np.ndarray) -> float:
    """Upper bound on max over patterns and signs of |+-X'D theta + X'E mu|."""
    active = patterns(case)
    p, n = active.shape
    if 2 * p * n > LARGEST:
        raise Malformed(f"{p} patterns of {n} samples are too many to judge")
    start, index, mu = _multipliers(case, 2 * p, n)
    block = np.repeat(np.arange(2 * p), np.diff(start))
    norms = np.zeros(2 * p)
    for first in range(0, 2 * p, _PART):
        blocks = np.arange(first, min(first + _PART, 2 * p))
        sign = np.where(blocks < p, 1.0, -1.0)
        weights = active[blocks % p].T * theta[:, None] * sign
        chosen = slice(start[first], start[blocks[-1] + 1])
        column, row = block[chosen] - first, index[chosen]
        e = np.where(active[(block[chosen]) % p, row], 1.0, -1.0)
        # (row, column) are distinct, so that no sum is lost.
        weights[row, column] += e * mu[chosen]
        norms[blocks] = _norms(at.inputs, weights)
    return float(np.max(norms))


def _norms(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Upper bounds on the column norms of X'W; the entries of W were rounded once."""
    n, d = inputs.shape
    value = inputs.T @ weights
    size = np.abs(inputs).T @ np.abs(weights)
    error = size * gamma(n + 6) * (1 + gamma(n + 6)) + (n + 6) * TINY
    above = np.abs(value) + error
    square = np.einsum("ij,ij->j", above, above) * (1 + gamma(d + 4))
    return np.sqrt(square) * (1 + 4 * U) + math.sqrt(d) * 2.0**-511


def _multipliers(case: Case, blocks: int, n: int) -> tuple[np.ndarray, ...]:
    """Mu >= 0 in compressed rows, one row per pattern and sign; missing: all zero."""
    mu = case.witness.get("multipliers")
    if mu is None:
        none = np.zeros(0, np.int64)
        return np.zeros(blocks + 1, np.int64), none, np.zeros(0)
    mu = real(mu, "multipliers", 1)
    start, index = (
        case.witness.get(f"multiplier_{name}") for name in ("indptr", "indices")
    )
    for name, array, size in (
        ("indptr", start, blocks + 1),
        ("indices", index, mu.size),
    ):
        if array is None or array.dtype != np.int64 or array.shape != (size,):
            raise Malformed(f"multiplier_{name}: expected {size} of int64")
    assert start is not None
    assert index is not None
    if start[0] != 0 or start[-1] != mu.size or np.any(np.diff(start) < 0):
        raise Malformed("multiplier_indptr is no sequence of row starts")
    if np.any(index < 0) or np.any(index >= n):
        raise Malformed("multiplier_indices out of range")
    row = np.repeat(np.arange(blocks), np.diff(start))
    if np.unique(row * n + index).size != index.size:
        raise Malformed("multiplier_indices repeat within a row")
    if np.any(mu < 0):
        raise Malformed("multipliers must not be negative")
    return start, index, mu


def _squared(at: Setting, theta: np.ndarray, most: float) -> float:
    """S theta'y - s^2 |theta|^2 / 2 at the best s in [0, most], exactly."""
    along, square = exact_dot(theta, at.targets), exact_dot(theta, theta)
    if square == 0 or along <= 0:
        return 0.0
    scale = Fraction(min(most, float(along / square)))
    return float_down(scale * along - scale * scale * square / 2)


def _entropy(at: Setting, theta: np.ndarray, scale: float) -> float:
    """Lower bound on the sum of H(s a), a = y theta / logit scale, s = `scale`.

    a s as computed is off by a relative 4u and 1 - a s by that and u: with
    d(-a log a)/da = -log a - 1, each term is off by (|log| + 2) times that.
    """
    a = np.clip(at.targets * theta / at.scale * scale, 0.0, 1.0)
    total, slip = np.zeros_like(a), np.zeros_like(a)
    for part, off in ((a, 4 * U * a), (1.0 - a, 4 * U * a + 2 * U * (1.0 - a))):
        inside = part > 0
        value, error = log_enclosed(np.where(inside, part, 1.0))
        total += np.where(inside, -part * value, 0.0)
        slip += part * error + (np.abs(value) + 2.0) * off + 4 * U * part * abs(value)
        slip += np.where(inside, 0.0, 64 * U)  # 1 - a s may be 4u where 0 is seen
    lower = float(np.sum(total)) * (1 - gamma(a.size + 4))
    return lower - float(np.sum(slip)) * (1 + gamma(a.size + 8))
