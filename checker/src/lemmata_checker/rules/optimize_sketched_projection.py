"""Rule of a sketched Newton system: its matrix, and its steps as projections.

Decided at 256 bits with python-flint, from the exact float64 numbers recorded: the
system is the problem's own KKT system at a recorded iterate, and sketch steps that the
judge draws are orthogonal projections, d+ = d - M (M^T M)^-1 (M^T d - S^T b), M = K S,
hence no farther from the solution than d.
"""

import math
from typing import NamedTuple

import numpy as np
from flint import arb, arb_mat, ctx

from ..case import Case, Malformed, Measurement, Rule
from ..curvature import hessian
from ..intervals import Ball, exact, subtract
from ._constrained import KIND, vector
from .optimize_sketched import local, shared_program, table

BITS = 256
DRAWN = 2  # sketch steps judged, of those recorded
LARGEST = 400
TINIEST = 5e-324  # what `nextafter` makes of zero


class Recorded(NamedTuple):
    """K (N, N) and D of powers of two, b, the iterate, and the scaled steps."""

    matrix: np.ndarray
    scale: np.ndarray
    rhs: np.ndarray
    iterate: np.ndarray
    points: np.ndarray
    sketches: np.ndarray


def projection(case: Case) -> Measurement:
    """Largest relative mismatch of system, drawn steps, and Kaczmarz's identity."""
    program = shared_program(case)
    n, m = program.variables, program.constraints
    found = _recorded(case, n + m)
    figures = {"system": _system_mismatch(case, found, n)}
    steps = len(found.sketches)
    rng = np.random.default_rng(case.seed)
    chosen = np.sort(rng.choice(steps, size=min(DRAWN, steps), replace=False))
    before = ctx.prec
    try:
        ctx.prec = BITS
        figures["projection"] = max(_step_mismatch(found, int(j)) for j in chosen)
        if "probabilities" in case.witness:
            figures["identity"] = _identity(case, found, int(chosen[0]))
    finally:
        ctx.prec = before
    width = found.sketches.shape[2]
    detail = f"steps {chosen.tolist()} of {steps}, {width} of {n + m} equations each"
    worst = max(figures.values())
    nan = any(value != value for value in figures.values())
    return Measurement(math.inf if nan else worst, detail, figures)


def _recorded(case: Case, size: int) -> Recorded:
    if size > LARGEST:
        raise Malformed(f"more than {LARGEST} equations")
    witness = case.witness
    matrix = table(witness, "matrix", (size, size))
    scale, rhs, iterate = (
        vector(witness, name, size) for name in ("scale", "rhs", "iterate")
    )
    points = table(witness, "points", (None, size))
    sketches = table(witness, "sketches", (len(points) - 1, size, None))
    if len(points) < 2 or not 1 <= sketches.shape[2] <= size:
        raise Malformed("sketches: expected at least one step and one column")
    if np.any(points[0] != 0):
        raise Malformed("points: expected steps from zero")
    if np.any(np.frexp(scale)[0] != 0.5):
        raise Malformed("scale: expected positive powers of two")
    if np.any(matrix != matrix.T):
        raise Malformed("matrix: expected a symmetric one")
    return Recorded(matrix, scale, rhs, iterate, points, sketches)


def _system_mismatch(case: Case, found: Recorded, n: int) -> float:
    """How far K and b may be from [[H + t I, G^T], [G, 0]] and -grad L, relatively."""
    at = local(shared_program(case), found.iterate)
    h = hessian(at.found, exact(at.multipliers))
    k = found.matrix
    if np.any(k[n:, n:] != 0):
        raise Malformed("matrix: expected zeros in the last block")
    shift = float(np.median(np.diagonal(k[:n, :n]) - np.diagonal(h.mid)))
    # Rounding of the shifted diagonal is not held against it.
    shift = 0.0 if abs(shift) <= 1e-9 * (1 + np.max(np.abs(h.mid))) else shift
    if shift < 0:
        raise Malformed("matrix: its first block is the Hessian minus a multiple of I")
    target = Ball(h.mid + shift * np.eye(n), h.rad)
    size = max(1.0, float(np.max(np.abs(k))))
    worst = max(
        _largest(subtract(exact(k[:n, :n]), target)),
        _largest(subtract(exact(k[n:, :n]), at.found.jacobian)),
    )
    values = [at.gradient, at.found.constraint]
    pieces = (found.rhs[:n], found.rhs[n:])
    off = max(
        _largest(subtract(exact(-piece), ball))
        for piece, ball in zip(pieces, values, strict=True)
    )
    terms = float(np.max(np.abs(at.found.gradient.mid))) + float(
        np.max(np.abs(at.found.jacobian.mid.T) @ np.abs(at.multipliers))
    )
    # Where terms cancel, their rounding is not held against the right side.
    return max(worst / size, off / max(float(np.max(np.abs(found.rhs))), 1e-6 * terms))


def _largest(a: Ball) -> float:
    return float(np.max(a.magnitude(), initial=0.0))


def _column(values: np.ndarray) -> arb_mat:
    return arb_mat([[arb(float(v))] for v in values])


def _step_mismatch(found: Recorded, j: int) -> float:
    """||d_{j+1} - P d_j|| / max_i ||d_i||, P the exact projection."""
    k, b = _scaled(found)
    s = found.sketches[j]
    used = np.flatnonzero(np.any(s != 0, axis=0))
    s = s[:, _distinct(s, used)]
    if not s.shape[1]:
        raise Malformed("sketches: expected a column that is not zero")
    sketch = arb_mat([[arb(float(v)) for v in row] for row in s])
    image = k * sketch
    before, after = _column(found.points[j]), _column(found.points[j + 1])
    gap = image.transpose() * before - sketch.transpose() * b
    try:
        weights = (image.transpose() * image).solve(gap)
    except ZeroDivisionError:
        raise Malformed("sketches: K S may lack full rank") from None
    off = _upper(_norm(after - before + image * weights))
    size = max(_below(_column(point)) for point in found.points)
    if size > 0:
        return off / size
    return 0.0 if off <= TINIEST else math.inf


def _distinct(s: np.ndarray, used: np.ndarray) -> list[int]:
    """Columns that are not zero and not met before."""
    seen: set[bytes] = set()
    kept = []
    for column in used.tolist():
        content = s[:, column].tobytes()
        if content not in seen:
            seen.add(content)
            kept.append(column)
    return kept


def _scaled(found: Recorded) -> tuple[arb_mat, arb_mat]:
    """D K D and D b: products with powers of two, exact at this precision."""
    d = [arb(float(v)) for v in found.scale]
    rows = [
        [d[i] * arb(float(v)) * d[j] for j, v in enumerate(row)]
        for i, row in enumerate(found.matrix)
    ]
    rhs = [[d[i] * arb(float(v))] for i, v in enumerate(found.rhs)]
    return arb_mat(rows), arb_mat(rhs)


def _identity(case: Case, found: Recorded, j: int) -> float:
    """|sum_i p_i r_i^2 / ||K_i||^2 / (||r||^2 / ||K||_F^2) - 1|, p as recorded.

    The left side is the expected fall of ||d - d*||^2 under those probabilities.
    """
    size = len(found.rhs)
    p = vector(case.witness, "probabilities", size)
    if np.any(p < 0) or not abs(math.fsum(p) - 1) <= 1e-12:
        raise Malformed("probabilities: expected non-negative numbers of sum 1")
    k, b = _scaled(found)
    r = k * _column(found.points[j]) - b
    norms = [sum((k[i, c] ** 2 for c in range(size)), arb(0)) for i in range(size)]
    fall, square = arb(0), arb(0)
    for i in range(size):
        if not norms[i] > 0:
            raise Malformed("matrix: expected rows that are not zero")
        fall += arb(float(p[i])) * r[i, 0] ** 2 / norms[i]
        square += r[i, 0] ** 2
    if not square > 0:
        return 0.0
    return _upper(abs(fall * sum(norms, arb(0)) / square - 1))


def _norm(column: arb_mat) -> arb:
    total = sum((column[i, 0] ** 2 for i in range(column.nrows())), arb(0))
    return total.sqrt()


def _upper(value: arb) -> float:
    return math.nextafter(float(value.abs_upper()), math.inf)


def _below(column: arb_mat) -> float:
    return math.nextafter(float(_norm(column).abs_lower()), 0.0)


RULES: tuple[Rule, ...] = (
    Rule(
        "optimize.projection/1",
        "proof",
        "<=",
        "the recorded system is the KKT system of the problem at the recorded iterate, "
        "and sketch steps drawn by the judge are orthogonal projections onto sketched "
        "equations, up to the promised relative mismatch",
        "share",
        projection,
        (KIND,),
    ),
)
