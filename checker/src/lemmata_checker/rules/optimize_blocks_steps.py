"""Recorded block steps of a quadratic, enclosed: gradient, decrease, progress bounds.

f(x) = ||A x - y||^2 / 2 or x^T H x / 2 - b^T x. At a recorded x, block b moved by d.
Everything is exact up to stated errors: f(x) - f(x + U_b d) = -g_b^T d - d^T H_b d / 2
has no cancellation of large values.
"""

import math
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..definite import least_eigenvalue
from ..rigor import TINY, U, gamma
from ..sparse import Product, real
from .optimize_composite_data import Setting, norm, setting
from .optimize_composite_free import dense_columns

ROOM = 2**25  # entries of a dense part of the design


class Quadratic(NamedTuple):
    """Of true g and H: g within `slip`, elementwise, H within `off`, spectral norm."""

    g: np.ndarray
    slip: np.ndarray
    h: np.ndarray
    off: float


def smooth_quadratic(case: Case) -> Setting:
    """The problem, if it is a quadratic without penalty. **Raises:** `Malformed`."""
    at = setting(case)
    if at.loss not in ("least_squares", "quadratic"):
        raise Malformed(f"decided for quadratic losses, not for {at.loss}")
    if case.problem.json.get("penalty") != "unpenalised":
        raise Malformed("decided for problems without a penalty")
    return at


def witness(case: Case, name: str, kind: str, ndim: int) -> np.ndarray:
    """An array of the witness: "real" or "index"."""
    found = case.witness.get(name)
    if kind == "real":
        return real(found, name, ndim)
    if found is None or found.dtype != np.int64 or found.ndim != ndim:
        raise Malformed(f"{name}: expected int64 with {ndim} axes")
    return found


def steps(case: Case, n: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(x, block, d) of every recorded step, entries that stand for nothing left out."""
    points = witness(case, "points", "real", 2)
    blocks = witness(case, "blocks", "index", 2)
    changes = witness(case, "changes", "real", 2)
    good = points.shape == (len(blocks), n) and blocks.shape == changes.shape
    if not good or not len(points):
        raise Malformed("points, blocks and changes do not match")
    return [
        (x, *block_of(b, d, n)) for x, b, d in zip(points, blocks, changes, strict=True)
    ]


def block_of(block: np.ndarray, change: np.ndarray, n: int) -> tuple:
    """Sorted coordinates, each once, with their changes."""
    real_ones = block < n
    block, change = block[real_ones], change[real_ones]
    order = np.argsort(block, kind="stable")
    block, change = block[order], change[order]
    if not block.size or block[0] < 0 or np.any(np.diff(block) == 0):
        raise Malformed("a block is empty, or names a coordinate twice")
    return block, change


def gradient_at(at: Setting, x: np.ndarray) -> Product:
    """Grad f(x), (n,), and its error."""
    z, error = at.matrix.product(x)
    r, slip = z - at.target, error + 2 * U * np.abs(z - at.target)
    if at.loss == "quadratic":
        return Product(r, slip)
    g, rounding = at.matrix.transposed(r)
    # |A|^T slip, itself rounded, bounded by the columns' norms
    return Product(g, rounding + at.norms * (norm(slip) * (1 + 4 * U)))


def hessian_on(at: Setting, block: np.ndarray) -> tuple[np.ndarray, float]:
    """H_b, dense, and a bound on its error in the spectral norm."""
    if at.matrix.shape[0] * block.size > ROOM:
        raise Malformed("the block is too large for this judge")
    part = dense_columns(at.matrix, block)
    if at.loss == "quadratic":
        return part[block], 0.0
    size = norm(part)
    off = gamma(part.shape[0] + 2) * size**2 * (1 + 4 * U) + part.size * TINY
    return part.T @ part, off


def on_block(at: Setting, gradient: Product, block: np.ndarray) -> Quadratic:
    """The quadratic seen by one block."""
    h, off = hessian_on(at, block)
    return Quadratic(gradient.value[block], gradient.error[block], h, off)


def decrease(q: Quadratic, d: np.ndarray) -> tuple[float, float]:
    """Lower and upper bound on f(x) - f(x + U_b d)."""
    k, size = d.size, np.abs(d)
    linear, square = float(q.g @ d), float(d @ (q.h @ d))
    error = float(size @ q.slip) * (1 + gamma(k + 2))
    error += gamma(k + 4) * float(np.abs(q.g) @ size)
    error += gamma(2 * k + 4) * float(size @ (np.abs(q.h) @ size))
    error += q.off * norm(d) ** 2 * (1 + 4 * U)
    error = error * (1 + 8 * U) + (k + 2) ** 2 * TINY
    gain = -linear - 0.5 * square
    error += 4 * U * (abs(linear) + abs(square))
    return gain - error, gain + error


def newton_gain(q: Quadratic, least: float | None = None) -> tuple[float, float]:
    """Bounds on g^T H^-1 g / 2, H positive definite; (-inf, inf) where not shown.

    For z near H^-1 g and rho = g - H z, it is g^T z - z^T H z / 2 + rho^T H^-1 rho / 2.
    `least` is a lower bound on lambda_min(H), if known.
    """
    least = least_eigenvalue(q.h, q.off) if least is None else least
    if not least > 0:
        return -math.inf, math.inf
    try:
        z = np.linalg.solve(q.h, q.g)
    except np.linalg.LinAlgError:
        return -math.inf, math.inf
    low, high = decrease(q, -z)
    missing = np.abs(q.g - q.h @ z) + q.slip
    missing += gamma(z.size + 3) * (np.abs(q.h) @ np.abs(z) + np.abs(q.g))
    left = (norm(missing) + q.off * norm(z)) * (1 + 4 * U)
    return low, high + 0.5 * left * left / least * (1 + 8 * U)


def top_eigenvalue(q: Quadratic) -> float:
    """A lower bound on lambda_max(H), by a Rayleigh quotient."""
    v = np.linalg.eigh(q.h)[1][:, -1]
    size, length = float(np.abs(v) @ (np.abs(q.h) @ np.abs(v))), float(v @ v)
    value = float(v @ (q.h @ v)) - gamma(2 * v.size + 4) * size
    return (value / length) * (1 - gamma(v.size + 6)) - q.off if value > 0 else 0.0
