"""Local Lipschitz constants and Jacobian intervals of a network, recomputed.

With Clarke's row J_c(x), L_c = sup over the box of ||J_c(x)||_1 is the Lipschitz
constant of output c with the l_inf norm on the inputs.

Source: Shi et al., NeurIPS 2022 (arXiv 2210.07394).
"""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..rigor import gamma
from ._certify_lipschitz_gradients import Gradients
from ._certify_lipschitz_problem import array_of, question
from ._certify_lipschitz_tree import bounds
from ._certify_lipschitz_values import Values

Array = np.ndarray
KIND = ("certify.local_lipschitz/1",)
CHUNK = 32


def upper(case: Case) -> Measurement:
    """Largest bound of the judge's own; every row must be covered by its stated one."""
    asked, found = question(case), bounds(case)
    stated = array_of(case.value, "lipschitz_upper", (len(asked.rows),))
    short = found.norm > stated
    measured = math.inf if np.any(short) else float(np.max(found.norm))
    detail = f"{found.leaves} leaves, {found.nodes} domains"
    if np.any(short):
        row = int(np.argmax(short))
        detail = f"row {row}: {stated[row]!r} is stated, {found.norm[row]!r} is shown"
    figures = {"leaves": float(found.leaves), "domains": float(found.nodes)}
    return Measurement(measured, detail, figures, {"leaves cover the box": "checked"})


def attained(case: Case) -> Array:
    """Lower bounds (r,) on ||J_c(x_c)||_1 at the stated points."""
    return case.shared("certify.lipschitz.attained", lambda: _attained(case))


def _attained(case: Case) -> Array:
    asked = question(case)
    shape = (len(asked.rows), asked.network.inputs)
    points = array_of(case.value, "witness_points", shape)
    if np.any(points < asked.lower) or np.any(points > asked.upper):
        raise Malformed("witness_points: expected points of the box")
    norms = []
    for start in range(0, len(points), CHUNK):
        part = points[start : start + CHUNK]
        values = Values(asked.network, (part, part), {}, batch=len(part), linear=False)
        found = Gradients(values, asked.rows[start : start + CHUNK], linear=False)
        lo, hi = found.entries
        least = np.maximum(np.maximum(lo, -hi), 0.0)
        norms.append(np.sum(least, axis=1) * (1 - gamma(shape[1] + 4)))
    return np.concatenate(norms)


def lower(case: Case) -> Measurement:
    """Largest norm attained; every row must reach its stated one."""
    asked, found = question(case), attained(case)
    stated = array_of(case.value, "lipschitz_lower", (len(asked.rows),))
    beyond = stated > found
    measured = -math.inf if np.any(beyond) else float(np.max(found))
    detail = ""
    if np.any(beyond):
        row = int(np.argmax(beyond))
        detail = f"row {row}: {stated[row]!r} is stated, {found[row]!r} is attained"
    return Measurement(measured, detail, {}, {"points lie in the box": "checked"})


def gap(case: Case) -> Measurement:
    """max_c of upper bound over attained norm."""
    high, low = bounds(case).norm, attained(case)
    if np.any(low <= 0):
        return Measurement(math.inf, "no norm above zero is attained by some row")
    ratio = float(np.max(np.nextafter(high / low, np.inf)))
    return Measurement(
        ratio, "", {"upper": float(high.max()), "lower": float(low.max())}
    )


def intervals(case: Case) -> Measurement:
    """How far the judge's enclosure of the Jacobian sticks out of the stated one."""
    asked, found = question(case), bounds(case)
    shape = (len(asked.rows), asked.network.inputs)
    low = array_of(case.value, "jacobian_lower", shape)
    high = array_of(case.value, "jacobian_upper", shape)
    excess = np.maximum(low - found.lower, found.upper - high)
    return Measurement(float(np.nextafter(np.max(excess), np.inf)))


def sandwich(case: Case) -> Measurement:
    """Largest |f_c(x) - f_c(y)| / (L_c ||x - y||_inf) over drawn pairs."""
    asked = question(case)
    stated = array_of(case.value, "lipschitz_upper", (len(asked.rows),))
    pairs, key = case.parameters.get("pairs"), case.parameters.get("key")
    if type(pairs) is not int or type(key) is not int or not 1 <= pairs <= 10**5:
        raise Malformed("parameters: expected integers pairs and key")
    worst, drawn = 0.0, np.random.Philox(key=key % 2**64)
    step = max(1, min(pairs, 2**20 // max(asked.network.inputs, 1)))
    for start in range(0, pairs, step):
        count = min(step, pairs - start)
        raw = drawn.random_raw(2 * count * asked.network.inputs)
        share = (raw >> 11).reshape(2, count, -1) * 2.0**-53
        width = asked.upper - asked.lower
        x, y = (asked.lower + s * width for s in share)
        y[::2] = x[::2] + 2.0**-6 * (y[::2] - x[::2])  # half of them close together
        (low_x, high_x), (low_y, high_y) = (_outputs(asked, z) for z in (x, y))
        moved = np.maximum(np.maximum(low_x - high_y, low_y - high_x), 0.0)
        distance = np.max(np.abs(x - y), axis=1, keepdims=True)
        limit = stated * distance
        ratio = np.where(moved > 0, moved / np.where(limit > 0, limit, 1e-300), 0.0)
        worst = max(worst, float(np.max(ratio, initial=0.0)))
    return Measurement(worst, f"{pairs} pairs drawn with key {key}")


def _outputs(asked, points: Array) -> tuple[Array, Array]:
    """Bounds on v'f at points (n, d), shape (n, r)."""
    values = Values(
        asked.network, (points, points), {}, batch=len(points), linear=False
    )
    low, high = (side.reshape(len(points), -1) for side in values.bounds[-1])
    mid = 0.5 * low + 0.5 * high
    size = np.abs(mid) + (high - low)
    off = (high - low) @ np.abs(asked.rows.T)
    off = off + gamma(size.shape[1] + 4) * (size @ np.abs(asked.rows.T))
    value = mid @ asked.rows.T
    return value - off, value + off


RULES = (
    Rule(
        "certify.local_lipschitz_upper/1",
        "proof",
        "<=",
        "the Lipschitz constant of each output over the box, l_inf on the inputs, is "
        "at most the stated one, and the largest is at most promised",
        "output per l_inf unit of input",
        upper,
        KIND,
    ),
    Rule(
        "certify.local_lipschitz_lower/1",
        "proof",
        ">=",
        "at the stated points of the box the l_1 norm of each gradient is at least the "
        "stated one, and the largest is at least promised",
        "output per l_inf unit of input",
        lower,
        KIND,
    ),
    Rule(
        "certify.local_lipschitz_gap/1",
        "proof",
        "<=",
        "the upper bound of each output is at most promised times its attained norm",
        "",
        gap,
        KIND,
    ),
    Rule(
        "certify.jacobian_interval/1",
        "proof",
        "<=",
        "every generalised Jacobian over the box lies within the stated intervals, but "
        "for promised",
        "",
        intervals,
        KIND,
    ),
    Rule(
        "certify.local_lipschitz_sandwich/1",
        "evidence",
        "<=",
        "|f_c(x) - f_c(y)| over L_c ||x - y||_inf is at most promised on drawn pairs",
        "",
        sandwich,
        KIND,
    ),
)
