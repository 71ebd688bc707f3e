"""The heat equation's systems, made again from formulas and the stored solutions.

With lambda = dt kappa_t nx^2 / 2, K the five-point Laplacian on the inner points of an
nx by nx grid and f_t the forcing at mid-step, all in exact real arithmetic,

    b_t = (I - lambda K) x_{t-1} + dt f_t,    A_t = I + lambda K.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..rigor import TINY, U, exp_bounds, gamma
from ..sparse import real

# K x takes at most 6 roundings, lambda 3, their product 1, the sums of at most four
# terms 4: 14 in a row; 20 leaves room for those of the bound itself.
ROUNDINGS = 20
# A bump of height 1: see `bump_values`.
BUMP_ERROR = 64 * U


class Heat(NamedTuple):
    """What is packed, checked."""

    nx: int
    dt: float
    diffusion: np.ndarray
    initial: np.ndarray
    warm: bool
    forcing: np.ndarray | None
    centres: np.ndarray | None
    radius: float
    height: float


def heat_blocks(case: Case, solutions: np.ndarray, kind: Any) -> Callable[..., Any]:
    """`blocks(start, stop)` for the stream. **Raises:** `Malformed`."""
    heat = heat_of(case, solutions)
    factor = gamma(ROUNDINGS)

    def blocks(start: int, stop: int):
        part = slice(start, stop)
        x = solutions[part]
        last = np.concatenate([heat.initial[None], solutions])[start:stop]
        weight = 0.5 * heat.dt * heat.diffusion[part, None] * float(heat.nx**2)
        source, off = forcing_values(heat, part)
        source = heat.dt * source
        slack = heat.dt * off * (1 + 4 * U) + TINY
        (k_x, a_x), (k_last, a_last) = laplacian(x, heat), laplacian(last, heat)

        def bounded(value: np.ndarray, size: np.ndarray):
            return value, factor * (size + np.abs(source)) + slack + 100 * TINY

        rhs = bounded(last - weight * k_last + source, np.abs(last) + weight * a_last)
        residual = bounded(
            (last - x) - weight * (k_last + k_x) + source,
            np.abs(last) + np.abs(x) + weight * (a_last + a_x),
        )
        first = rhs
        if heat.warm:
            first = bounded(
                source - 2.0 * weight * k_last, np.abs(last) + 2 * weight * a_last
            )
        return kind(residual, rhs, first)

    return blocks


def heat_of(case: Case, solutions: np.ndarray) -> Heat:
    """Everything that the formulas need. **Raises:** `Malformed`."""
    fields, arrays = case.problem.json, case.problem.arrays
    nx, dt, warm = fields.get("nx"), fields.get("dt"), fields.get("warm_start")
    if not isinstance(nx, int) or isinstance(nx, bool) or not 2 <= nx <= 2**16:
        raise Malformed("nx is no integer of at least 2")
    if not isinstance(warm, bool):
        raise Malformed("warm_start is not true or false")
    n, diffusion = (nx - 1) ** 2, real(arrays.get("diffusion"), "diffusion", 1)
    initial = real(arrays.get("initial"), "initial", 1)
    shape = (diffusion.size, n)
    if initial.shape != (n,) or solutions.shape != shape or not diffusion.size:
        raise Malformed(f"solutions {solutions.shape}, initial {initial.shape}")
    if np.any(diffusion < 0):
        raise Malformed("a diffusion is negative")
    forcing, centres, radius, height = None, None, 1.0, 0.0
    if "bump_centres" in arrays:
        centres = real(arrays["bump_centres"], "bump_centres", 2)
        radius = positive(fields.get("bump_radius"), "bump_radius")
        height = number(fields.get("bump_height"), "bump_height")
        if centres.shape != (diffusion.size, 2) or np.any(np.abs(centres) > 2.0**20):
            raise Malformed("bump_centres have a wrong shape, or lie far out")
    elif "forcing" in arrays:
        forcing = real(arrays["forcing"], "forcing", 2)
        if forcing.shape != shape:
            raise Malformed(f"forcing has shape {forcing.shape}, expected {shape}")
    dt = positive(dt, "dt")
    return Heat(nx, dt, diffusion, initial, warm, forcing, centres, radius, height)


def number(value: Any, name: str) -> float:
    """A finite number. **Raises:** `Malformed`."""
    real_one = isinstance(value, int | float) and not isinstance(value, bool)
    if not real_one or not math.isfinite(value):
        raise Malformed(f"{name} is no finite number")
    return float(value)


def positive(value: Any, name: str) -> float:
    """A positive number. **Raises:** `Malformed`."""
    value = number(value, name)
    if not value > 0:
        raise Malformed(f"{name} is not positive")
    return value


def laplacian(x: np.ndarray, heat: Heat) -> tuple[np.ndarray, np.ndarray]:
    """K x and |K| |x|, rows of x being grids; 6 roundings at most in each."""
    side = heat.nx - 1

    def near(values: np.ndarray) -> np.ndarray:
        grid = np.pad(values.reshape(-1, side, side), ((0, 0), (1, 1), (1, 1)))
        total = grid[:, :-2, 1:-1] + grid[:, 2:, 1:-1]
        total = total + grid[:, 1:-1, :-2] + grid[:, 1:-1, 2:]
        return total.reshape(values.shape)

    size = np.abs(x)
    return 4 * x - near(x), 4 * size + near(size)


def forcing_values(heat: Heat, part: slice) -> tuple[np.ndarray, np.ndarray]:
    """Values f (k, n) and a bound on their error that broadcasts."""
    if heat.forcing is not None:
        return heat.forcing[part], np.zeros(1)
    if heat.centres is None:
        return np.zeros(1), np.zeros(1)
    line = np.arange(1, heat.nx) / heat.nx
    x, y = (axis.reshape(-1) for axis in np.meshgrid(line, line, indexing="ij"))
    centres = heat.centres[part]
    values = bump_values(x - centres[:, :1], y - centres[:, 1:], heat.radius)
    spread = bump_spread(heat.radius, centres)
    return heat.height * values, np.abs(heat.height) * spread


def bump_values(dx: np.ndarray, dy: np.ndarray, radius: float) -> np.ndarray:
    """exp(1 - 1 / (1 - s)) for s = (dx^2 + dy^2) / radius^2 < 1, else 0."""
    s = (dx * dx + dy * dy) / (radius * radius)
    inside = s < 1
    z = 1 - 1 / (1 - np.where(inside, s, 0.0))
    lower, upper = exp_bounds(z)
    return np.where(inside, 0.5 * (lower + upper), 0.0)


def bump_spread(radius: float, centres: np.ndarray) -> np.ndarray:
    """Bound (k, 1) on the error of `bump_values`, points in the unit square.

    In t = dx / radius a grid point and a difference err by u (2 + 2 |c|) / radius + u
    |t|; where |t| <= 2 in both coordinates (elsewhere the bump is 0, and stays 0), s
    errs by 8 times that and by 6u s. The bump has slope at most 4/e in s, over all
    real s, so the sum is multiplied by 1.5. The argument z errs by 4u (1 + |z|), which
    exp(z) turns into less than 4u (1 + 1/e) e^0, and `exp_bounds` is 18u wide: together
    below `BUMP_ERROR`.
    """
    far = 2 + 2 * np.max(np.abs(centres), axis=1, keepdims=True)
    return 1.5 * (8 * U * (far / radius + 2) + 48 * U) + BUMP_ERROR
