"""Rules of composite minimisation: distance from the minimum, support, stationarity.

Source of the safe ball: Ndiaye, Fercoq, Gramfort and Salmon, JMLR 18 (2017).
"""

import math

import numpy as np

from ..case import Case, Measurement, Rule
from ..definite import least_eigenvalue
from ..rigor import U, gamma
from ..sparse import Product
from .optimize_composite_data import KIND, Setting, norm, pulled, setting
from .optimize_composite_dual import dual_point, odds
from .optimize_composite_free import ENTRIES, LARGEST, dense_columns
from .optimize_composite_gap import Bound, bound


def value_enclosure(case: Case) -> Measurement:
    """F(x) - min F."""
    at, found = setting(case), bound(case)
    detail = f"by {found.how}"
    if not at.admissible:
        detail = "x leaves the bounds: F(x) is infinite"
    return Measurement(found.gap, detail)


def zeros(at: Setting, found: Bound) -> np.ndarray:
    """Coordinates that are zero in every minimiser, (n,).

    x*_j = 0 where |(A^T theta*)_j| < strength_j, on x >= 0 without the modulus.
    """
    q, error = found.pull
    room = (error + found.spread * found.reach) * (1 + 8 * U)
    terms = at.terms
    above = q + room < terms.strength
    below = (q - room > -terms.strength) | (terms.lower == 0)
    shown = above & below & (terms.lower <= 0) & (terms.upper > 0)
    return shown & math.isfinite(found.reach)


def nonzeros(case: Case, found: Bound, zero: np.ndarray) -> np.ndarray:
    """Coordinates that are not zero in any minimiser, (n,).

    Both x and every minimiser live on the other coordinates, where F is strongly
    convex: ||x - x*|| <= sqrt(2 gap / mu).
    """
    at, rest = setting(case), np.flatnonzero(~zero)
    # Logistic curvature depends on how far the minimiser may be, too.
    reach = found.reach if at.loss == "logistic" else 0.0
    name = f"optimize.composite.curvature.{hash((rest.tobytes(), reach))}"
    mu = case.shared(name, lambda: _curvature(at, found, rest))
    mu = max(found.convexity, mu)
    if not (mu > 0 and math.isfinite(found.gap)):
        return np.zeros(at.x.size, bool)
    return np.abs(at.x) > math.sqrt(2 * found.gap / mu) * (1 + 8 * U)


def _curvature(at: Setting, found: Bound, rest: np.ndarray) -> float:
    """Lower bound on the curvature of f on the coordinates `rest`, from x to x*."""
    m = at.matrix.shape[0]
    tall = 0 < rest.size <= min(m, LARGEST) and m * rest.size <= ENTRIES
    if not tall or at.loss not in ("least_squares", "logistic"):
        return 0.0
    part = dense_columns(at.matrix, rest)
    if at.loss == "logistic":
        part = part * np.sqrt(_weights(at, found))[:, None]
    error = gamma(m + 8) * norm(part) ** 2 * (1 + 4 * U)
    return least_eigenvalue(part.T @ part, error)


def _weights(at: Setting, found: Bound) -> np.ndarray:
    """Lower bounds on sigma' along the way: its least value is at one of the ends."""
    here = odds(at)
    share = np.abs(found.theta)
    off = found.slip + found.reach
    there = np.maximum(share - off, 0.0) * np.maximum(1 - share - off, 0.0)
    least = np.minimum(here.u_low * here.v_low, there) * (1 - 8 * U)
    return np.where(here.safe, 0.0, least)


def support(case: Case) -> Measurement:
    """How many coordinates are neither shown to be zero nor shown not to be."""
    at, found = setting(case), bound(case)
    zero = zeros(at, found)
    wrong = np.flatnonzero(zero & (at.x != 0))
    if wrong.size:
        detail = f"coordinate {wrong[0]} is zero in every minimiser, but not in x"
        return Measurement(math.inf, detail)
    other = nonzeros(case, found, zero)
    missed = np.flatnonzero(other & (at.x == 0))  # cannot be: |x_j| = 0
    undecided = at.x.size - int(np.sum(zero)) - int(np.sum(other)) + missed.size
    figures = {
        "zeros_certified": float(np.sum(zero)),
        "nonzeros_certified": float(np.sum(other)),
        "undecided": float(undecided),
        "gap": found.gap,
    }
    return Measurement(float(undecided), "", figures)


def stationarity(case: Case) -> Measurement:
    """max_j of the distance of -grad f(x) from the subdifferential of the penalty."""
    at = setting(case)
    g = gradient(at)
    terms, x = at.terms, at.x
    sign = np.where(x >= 0, 1.0, -1.0), np.where(x > 0, 1.0, -1.0)
    right = np.where(x >= terms.upper, np.inf, g.value + sign[0] * terms.strength)
    left = np.where(x <= terms.lower, -np.inf, g.value + sign[1] * terms.strength)
    off = g.error + 4 * U * (np.abs(g.value) + terms.strength)
    worst = float(np.max(np.maximum(left, -right) + off, initial=0.0))
    return Measurement(worst * (1 + 4 * U) if at.admissible else math.inf)


def gradient(at: Setting) -> Product:
    """Grad f(x), ridge included, and its error, (n,)."""
    if at.loss == "quadratic":
        z, error = at.matrix.product(at.x)
        return Product(z - at.target, error + 2 * U * np.abs(z - at.target))
    dual = dual_point(at)
    q, error = pulled(at, dual.theta, dual.near)
    own = at.terms.ridge * at.x
    return Product(own - q, error + 4 * U * (np.abs(own) + np.abs(q)))


RULES: tuple[Rule, ...] = (
    Rule(
        "optimize.value_enclosure/1",
        "proof",
        "<=",
        "F(x) - min F <= promised",
        "objective",
        value_enclosure,
        (KIND,),
    ),
    Rule(
        "optimize.support/1",
        "proof",
        "<=",
        "all coordinates but so many are shown to be zero in every minimiser, and are "
        "exactly zero in x, or shown to be zero in none",
        "coordinates",
        support,
        (KIND,),
    ),
    Rule(
        "optimize.stationarity/1",
        "proof",
        "<=",
        "no coordinate of -grad f(x) is farther from the subdifferential of the "
        "penalty at x",
        "objective per coordinate",
        stationarity,
        (KIND,),
    ),
)
