"""Kernel expansions f(x) = sum_j a_j k(z_j, x) + b, enclosed; and norms of f.

Kernels, each positive semidefinite for the parameters that are let in:
`gaussian` exp(-||x - z||_2^2 / (2 width^2)), `laplace` exp(-||x - z||_1 / width),
`polynomial` (scale x'z + offset)^degree, scale > 0, offset >= 0, whole degree >= 1.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..rigor import TINY, U, exp_bounds, gamma

MOST_POINTS = 4_000  # centres, and samples whose kernel matrix is formed
MOST_DISTANCES = 2**33  # numbers subtracted or multiplied for kernel matrices
MOST_DEGREE = 20
SMALLEST, LARGEST = 1e-100, 1e100  # of a kernel's parameters
_AT_ONCE = 2**21
_PARAMETERS = {
    "gaussian": ("width",),
    "laplace": ("width",),
    "polynomial": ("degree", "scale", "offset"),
}


class Enclosed(NamedTuple):
    """Numbers in [value - radius, value + radius], elementwise."""

    value: np.ndarray
    radius: np.ndarray


class Expansion(NamedTuple):
    """A classifier of labels 0 and 1 by the sign of f; `intercept` None: no b."""

    kernel: Mapping[str, Any]
    centres: np.ndarray
    coefficients: np.ndarray
    intercept: float | None


def expansion(case: Case) -> Expansion | None:
    """The kernel expansion of a problem that has one. Raises `Malformed`.

    `"network"` is then `{"kernel": {name, parameters}, "intercept": b or null}`.
    """
    content = case.problem.json.get("network")
    if not isinstance(content, dict) or "kernel" not in content:
        return None
    return case.shared("generalization: expansion", lambda: _expansion(case))


def _expansion(case: Case) -> Expansion:
    content, arrays = case.problem.json["network"], case.problem.arrays
    if set(content) != {"kernel", "intercept"} or "initial" in arrays:
        raise Malformed("network: expected kernel and intercept alone, and no initial")
    kernel = checked_kernel(content["kernel"])
    centres, coefficients = arrays.get("centres"), arrays.get("coefficients")
    for name, array, axes in (
        ("centres", centres, 2),
        ("coefficients", coefficients, 1),
    ):
        if array is None or array.dtype != np.float64 or array.ndim != axes:
            raise Malformed(f"{name}: expected float64 with {axes} axes")
        if not array.size or not np.all(np.isfinite(array)):
            raise Malformed(f"{name}: expected finite numbers, at least one")
    assert centres is not None
    assert coefficients is not None
    if len(centres) != len(coefficients) or len(centres) > MOST_POINTS:
        expected = f"one for each of at most {MOST_POINTS} centres"
        raise Malformed(f"coefficients: expected {expected}")
    intercept = content["intercept"]
    if intercept is not None and not _number(intercept, -LARGEST, LARGEST):
        raise Malformed(f"intercept: expected a number or null, got {intercept!r}")
    return Expansion(kernel, centres, coefficients, intercept)


def _number(found: Any, low: float, high: float) -> bool:
    return isinstance(found, float) and low <= found <= high


def checked_kernel(record: Any) -> Mapping[str, Any]:
    """A kernel's record, if it is positive semidefinite. Raises `Malformed`."""
    name = record.get("name") if isinstance(record, dict) else None
    if not isinstance(name, str) or name not in _PARAMETERS:
        known = ", ".join(_PARAMETERS)
        raise Malformed(f"kernel: expected one of {known}, got {name!r}")
    if set(record) != {"name", *_PARAMETERS[name]}:
        raise Malformed(f"kernel ({name}): expected {', '.join(_PARAMETERS[name])}")
    for part in set(_PARAMETERS[name]) - {"degree"}:
        least = 0.0 if part == "offset" else SMALLEST
        if not _number(record[part], least, LARGEST):
            raise Malformed(
                f"kernel.{part}: expected a float in [{least:g}, {LARGEST:g}], "
                f"got {record[part]!r}"
            )
    degree = record.get("degree", 1)
    if type(degree) is not int or not 1 <= degree <= MOST_DEGREE:
        raise Malformed(f"kernel.degree: expected 1 to {MOST_DEGREE}, got {degree!r}")
    return record


def kernel_matrix(
    kernel: Mapping[str, Any], left: np.ndarray, right: np.ndarray
) -> Enclosed:
    """k(x_i, z_j), (n, m), of float64 rows. Raises `Malformed` beyond float64."""
    if left.size * len(right) > MOST_DISTANCES:
        raise Malformed(f"kernel: expected at most {MOST_DISTANCES} differences")
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if kernel["name"] == "polynomial":
            found = _polynomial(kernel, left, right)
        else:
            found = _exponential(kernel, left, right)
    if not (np.all(np.isfinite(found.value)) and np.all(np.isfinite(found.radius))):
        raise Malformed("kernel: expected values within float64")
    return found


def _exponential(
    kernel: Mapping[str, Any], left: np.ndarray, right: np.ndarray
) -> Enclosed:
    """exp(-z); z has d + 1 roundings of a sum of terms >= 0, each of two, and four."""
    square = kernel["name"] == "gaussian"
    away = _distances(left, right, square)
    width = kernel["width"]
    z = away / (2 * width * width) if square else away / width
    off = gamma(left.shape[1] + 8)
    lost = (left.shape[1] + 2) * TINY / (min(width, 1.0) ** 2)
    low = exp_bounds(-(z * (1 + off) + lost))[0]
    high = np.minimum(exp_bounds(-np.maximum(z * (1 - off) - lost, 0.0))[1], 1.0)
    value = low / 2 + high / 2
    return Enclosed(value, (high - low) * (0.5 + 4 * U) + 4 * U * high + TINY)


def _distances(left: np.ndarray, right: np.ndarray, square: bool) -> np.ndarray:
    """||x_i - z_j||_2^2 or ||x_i - z_j||_1 by differences, so without cancellation."""
    found = np.empty((len(left), len(right)))
    step = max(1, _AT_ONCE // right.size)
    for start in range(0, len(left), step):
        away = left[start : start + step, None] - right[None]
        parts = away * away if square else np.abs(away)
        found[start : start + step] = np.sum(parts, axis=2)
    return found


def _polynomial(
    kernel: Mapping[str, Any], left: np.ndarray, right: np.ndarray
) -> Enclosed:
    """t^p with |t - base| <= off: |t^p - base^p| <= p off (|base| + off)^(p - 1)."""
    scale, offset, degree = kernel["scale"], kernel["offset"], kernel["degree"]
    base = scale * (left @ right.T) + offset
    size = scale * (np.abs(left) @ np.abs(right).T) + offset
    off = gamma(left.shape[1] + 6) * size + (left.shape[1] + 2) * (scale + 1) * TINY
    most = np.abs(base) + off
    value, power = base.copy(), np.ones_like(base)
    for _ in range(degree - 1):
        value *= base
        power *= most
    radius = power * (degree * off + gamma(3 * degree + 8) * most)
    return Enclosed(value, radius * (1 + gamma(4 * degree + 8)) + degree * TINY)


def expansion_scores(
    found: Expansion, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (n, 1) on f at the inputs, rounding included."""
    k, a = kernel_matrix(found.kernel, inputs, found.centres), found.coefficients
    b = found.intercept or 0.0
    value = k.value @ a + b
    size = np.abs(k.value) @ np.abs(a) + abs(b)
    radius = (k.radius @ np.abs(a) + gamma(len(a) + 6) * size) * (1 + gamma(len(a) + 6))
    radius += len(a) * TINY
    low = np.nextafter(value - radius, -np.inf)
    return low[:, None], np.nextafter(value + radius, np.inf)[:, None]


def expansion_norm(found: Expansion) -> float:
    """At least sqrt(a'Ka + b^2): ||f|| in the space of k, or of k + 1 if there is a b.

    The element of that space with these values: its norm is the least of all
    decompositions, so at most this one's.
    """
    k, a = kernel_matrix(found.kernel, found.centres, found.centres), found.coefficients
    m, size = len(a), np.abs(a)
    with np.errstate(over="ignore"):
        square = float(a @ (k.value @ a))
        off = float(size @ (np.abs(k.value) @ size)) * gamma(2 * m + 6)
        off += float(size @ (k.radius @ size)) + m * m * TINY
        total = max(square, 0.0) + off * (1 + gamma(2 * m + 8))
        total += (found.intercept or 0.0) ** 2
    return math.sqrt(total) * (1 + gamma(12))
