"""Rule of a true KKT point near the computed one, by Krawczyk's test.

Sources: Krawczyk, Computing 4 (1969); Rump, Acta Numerica 2010, theorem 13.3.
"""

import math
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..curvature import hessian
from ..differentiate import evaluate
from ..intervals import Ball, exact, joined, product, subtract
from ._constrained import (
    KIND,
    Setting,
    reduced_curvature,
    setting,
    stationarity,
    up,
)

LARGEST = 1500  # unknowns, x and multipliers together
WIDTHS = (2.0, 4.0, 16.0, 1.2)  # radii tried, in units of the Newton step


class Found(NamedTuple):
    """A radius with exactly one exact solution inside, and what is known of it.

    **Fields:** `radius`: inf where none is shown, `reason` says why. `contraction`:
    ||I - C F'(Z)||. `curvature`: lower bound on that of the exact solution.
    """

    radius: float
    reason: str = ""
    contraction: float = math.inf
    curvature: float = math.nan


def kkt_exists(case: Case) -> Measurement:
    """The radius that `krawczyk` shows."""
    found = krawczyk(setting(case))
    detail = found.reason
    if found.curvature > 0:
        detail = "it is a strict local minimiser"
    figures = {"contraction": found.contraction, "curvature": found.curvature}
    return Measurement(found.radius, detail, figures)


def krawczyk(found: Setting) -> Found:
    """A radius r for which Krawczyk's operator maps the box around (x, lambda) into it.

    With F = (grad L, c), C near F'^-1 and Z the box of radius r: if max|C F(z)| +
    ||I - C F'(Z)||_inf r < r, then F has exactly one zero in Z.
    """
    n, m = found.program.variables, found.program.constraints
    if n + m > LARGEST:
        raise Malformed(f"existence is judged up to {LARGEST} unknowns")
    slope = stationarity(found.at, exact(found.multipliers))
    matrix, _, _ = derivative(found, 0.0)
    if not np.all(np.isfinite(matrix.magnitude())):
        return Found(math.inf, "second derivatives are not finite")
    try:
        inverse = exact(np.linalg.inv(matrix.mid))
    except np.linalg.LinAlgError:
        return Found(math.inf, "the KKT matrix is singular")
    newton = product(inverse, joined([slope, found.at.constraint]))
    step = float(np.max(newton.magnitude()))
    unit = max(step, 1e-15 * (1 + float(np.max(np.abs(found.x)))))
    for width in WIDTHS:
        radius = width * unit
        wide, h, jacobian = derivative(found, radius)
        off = subtract(exact(np.eye(n + m)), product(inverse, wide)).magnitude()
        shrink = up(float(np.max(off.sum(axis=1))), n + m + 4)
        if up(step + shrink * radius) < radius:
            shown = reduced_curvature(h, jacobian)
            return Found(radius, "", shrink, min(shown, LARGEST_CURVATURE))
    return Found(math.inf, "the KKT matrix is too near a singular one")


LARGEST_CURVATURE = 1e300  # where m = n there is no direction, and no finite bound


def derivative(found: Setting, radius: float) -> tuple[Ball, Ball, Ball]:
    """[[H, G^T], [G, 0]] over the box of that radius around (x, lambda); H; G."""
    box, multipliers = exact(found.x), exact(found.multipliers)
    at = found.at
    if radius:
        box = Ball(found.x, np.full(found.x.shape, radius))
        multipliers = Ball(found.multipliers, np.full(found.multipliers.shape, radius))
        at = evaluate(found.program, box)
    h, g = hessian(at, multipliers), at.jacobian
    m = found.program.constraints
    mid = np.block([[h.mid, g.mid.T], [g.mid, np.zeros((m, m))]])
    rad = np.block([[h.radius, g.radius.T], [g.radius, np.zeros((m, m))]])
    return Ball(mid, rad), h, g


RULES: tuple[Rule, ...] = (
    Rule(
        "optimize.kkt_exists/1",
        "proof",
        "<=",
        "exactly one exact solution of grad f + c'^T lambda = 0, c = 0 lies within "
        "promised of (x, lambda), in the maximum norm",
        "",
        kkt_exists,
        (KIND,),
    ),
)
