"""Upper bounds on F(x) - min F for composite problems, true in exact arithmetic.

Sources: Fenchel duality as in Ndiaye, Fercoq, Gramfort and Salmon, JMLR 18 (2017);
strong convexity per coordinate: with H >= M I, F(z) >= F(x) + sum_j [g_j d_j +
(M/2) d_j^2 + pen_j(x_j + d_j) - pen_j(x_j)], d = z - x, and the least value of each
bracket has a closed form. Both bounds are sums of terms >= 0, so nothing cancels.
"""

import math
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..definite import least_eigenvalue
from ..rigor import U, gamma
from ..sparse import Product, real
from .optimize_composite_data import Setting, Terms, norm, pulled, setting, total
from .optimize_composite_dual import Dual, dual_point
from .optimize_composite_free import LARGEST, freed

CONVEX = "strong convexity"
CHEAP = 300  # coordinates up to which it always is: duality suffers at small strengths
POOR = 1e-3  # scaling of the dual point below which convexity is tried, too


class Bound(NamedTuple):
    """What is known of F near x.

    - `gap` >= F(x) - min F.
    - `pull` and its error: of the dual point that shows the gap, scaled; for quadratics
      -grad f(x).
    - `reach`: the pull of any optimal dual point differs by at most
      norms_j * reach; `spread` takes the place of the norms for quadratics.
    - `convexity`: of F itself where it is known, else 0.
    - `theta`, `slip`: that dual point, (m,) or (m, classes), and how far off it is.
    """

    gap: float
    pull: Product
    reach: float
    spread: np.ndarray
    convexity: float
    theta: np.ndarray
    slip: float
    how: str


def bound(case: Case) -> Bound:
    """The best bound that problem, answer and witness allow."""
    at = setting(case)
    if at.loss == "quadratic":
        given = [case.witness[k].tobytes() for k in sorted(case.witness)]
        name = f"optimize.composite.bound.{hash(tuple(given))}"
        return case.shared(name, lambda: _quadratic(case, at))
    return case.shared("optimize.composite.bound", lambda: _by_duality(at))


def separable_upper(
    terms: Terms, x: np.ndarray, g: Product, curvature: np.ndarray, sure: bool
) -> np.ndarray:
    """Upper bounds on max_z -(g d + (M/2) d^2 + pen(z) - pen(x)), d = z - x, (n,).

    `g` is an interval. For M <= 0 the maximum lies at a bound or at the kink at zero;
    `sure` says that it is finite, otherwise that is checked.
    """
    slope, error = g.value, g.error + 4 * U * (np.abs(g.value) + g.error)
    strength, lower, upper, _ = terms

    def value(z: np.ndarray, slope: np.ndarray, error: np.ndarray) -> np.ndarray:
        d = z - x
        linear, square = slope * d, 0.5 * curvature * d * d
        change = strength * (np.abs(z) - np.abs(x))
        size = np.abs(linear) + np.abs(square) + strength * (np.abs(z) + np.abs(x))
        return -(linear + square + change) + error * np.abs(d) + 8 * U * size

    def end(where: np.ndarray, sign: float) -> np.ndarray:
        """At a bound; beyond all bounds -(sign g) - strength must not be positive."""
        falls = (error - sign * slope) <= strength
        free = np.where(falls & (curvature >= 0) | sure, 0.0, np.inf)
        bounded = np.isfinite(where)
        return np.where(bounded, value(np.where(bounded, where, 0), slope, error), free)

    flat = np.maximum(end(lower, -1.0), end(upper, 1.0))
    flat = np.maximum(flat, value(np.clip(0.0, lower, upper), slope, error))
    curved = curvature > 0
    if np.any(curved):
        m = np.where(curved, curvature, 1.0)
        off = 8 * U * (np.abs(x) + (np.abs(slope) + error + strength) / m)
        best = np.zeros_like(x)
        for side in (slope - error, slope + error):  # convex in g: an end is worst
            moved = x - side / m
            shrunk = np.sign(moved) * np.maximum(np.abs(moved) - strength / m, 0.0)
            found = value(np.clip(shrunk, lower, upper), side, np.zeros_like(x))
            best = np.maximum(best, found + 2 * m * off * off)
        flat = np.where(curved, best, flat)
    return np.maximum(flat, 0.0)


def _by_duality(at: Setting) -> Bound:
    dual = dual_point(at)
    found = _scaled(at, dual)
    open_ended = np.isinf(at.terms.lower) | np.isinf(at.terms.upper)
    bare = open_ended & (at.terms.strength == 0)
    needed = found.how != "duality" and bool(np.any(bare))
    if at.loss == "least_squares" and (needed or at.x.size <= CHEAP):
        found = min(found, _by_convexity(at, dual), key=lambda one: one.gap)
    return found


def _scaled(at: Setting, dual: Dual) -> Bound:
    """The gap at s theta, s the largest factor that makes it feasible."""
    corrected = freed(at, dual)
    if corrected is None:
        dual, zero, s = dual, np.zeros(at.x.size, bool), 0.0
    else:
        (dual, zero), s = corrected, 1.0
    q, error = pulled(at, dual.theta, dual.slip)
    q, error = np.where(zero, 0.0, q), np.where(zero, 0.0, error)
    terms = at.terms
    needs = (np.isinf(terms.upper) & (q + error > 0)) & (terms.ridge == 0)
    needs |= (np.isinf(terms.lower) & (q - error < 0)) & (terms.ridge == 0)
    size = (np.abs(q) + error) * (1 + 4 * U)
    over = needs & (size > terms.strength)
    if np.any(over):
        s = min(s, float(np.min(terms.strength[over] / size[over])) * (1 - 4 * U))
    pull = Product(s * q, s * error + 2 * U * np.abs(s * q))
    own = terms.ridge * at.x
    g = Product(own - pull.value, pull.error + 4 * U * (np.abs(own) + abs(pull.value)))
    parts = separable_upper(terms, at.x, g, terms.ridge, sure=True)
    left = (1 - s) * dual.room if s < 1 else 0.0
    phi = dual.factor * (left + s * dual.away) ** 2 + dual.extra
    gap = (phi + total(parts)) * (1 + 16 * U)
    gap = gap if at.admissible else math.inf
    gap = gap if math.isfinite(gap) else math.inf
    reach = math.sqrt(2 * gap / dual.convexity) * (1 + 8 * U)
    how = "duality" if s > POOR else "duality, scaled to nothing"
    convexity = float(np.min(terms.ridge))
    spread = np.repeat(at.norms, at.classes)
    theta, slip = s * dual.theta, (s * dual.slip + U * norm(dual.theta)) * (1 + 4 * U)
    return Bound(gap, pull, reach, spread, convexity, theta, slip, how)


def _by_convexity(at: Setting, dual: Dual) -> Bound:
    """Least squares with more rows than columns: H = A^T A, bounded from below."""
    m, n = at.matrix.shape
    q, error = pulled(at, dual.theta, dual.near)
    there = Product(q, error), math.inf, at.norms, 0.0, dual.theta, dual.near
    failed = Bound(math.inf, *there, "nothing")
    if n > LARGEST or m < n or m * n > 2**25 or not at.admissible:
        return failed
    dense = at.matrix.dense()
    gram = dense.T @ dense
    mu = least_eigenvalue(gram, gamma(m + 3) * norm(dense) ** 2)
    if not mu > 0:
        return failed
    g = Product(-q, error)
    parts = separable_upper(at.terms, at.x, g, np.full(n, mu), sure=False)
    gap = total(parts) * (1 + 8 * U)
    reach = math.sqrt(2 * gap) * (1 + 8 * U)
    return failed._replace(gap=gap, reach=reach, convexity=mu, how=CONVEX)


def _quadratic(case: Case, at: Setting) -> Bound:
    h, b, x = at.matrix, at.target, at.x
    z, error = h.product(x)
    g = Product(z - b, error + 2 * U * np.abs(z - b))
    mu = lower_curvature(case, at)
    gap = math.inf
    if at.admissible and math.isfinite(mu):
        curvature = np.full(x.size, mu)
        gap = total(separable_upper(at.terms, x, g, curvature, sure=False))
        gap *= 1 + 8 * U
        if mu > 0 and _unconstrained(at.terms):
            gap = min(gap, _decrement(case, at, g, mu))
    reach = math.sqrt(2 * gap) * (1 + 8 * U) if mu >= 0 else math.inf
    spread = np.sqrt(np.maximum(h.diagonal(), 0.0)) * (1 + 2 * U)
    pull = Product(-g.value, g.error)
    return Bound(gap, pull, reach, spread, max(mu, 0.0), g.value, math.inf, CONVEX)


def _unconstrained(terms: Terms) -> bool:
    free = np.isinf(terms.lower) & np.isinf(terms.upper) & (terms.strength == 0)
    return bool(np.all(free))


def lower_curvature(case: Case, at: Setting) -> float:
    """Lower bound on the least eigenvalue of H.

    By x^T H x >= |x|^T C |x|, C = 2 diag(H) - |H| (H_ii >= 0), and C v >= s v with
    v > 0 (Collatz, Wielandt): v = 1 is Gershgorin's, the witness `positive_vector` is
    as good as it gets where the entries off the diagonal are <= 0. By a verified
    Cholesky factorisation, up to 2000 rows.
    """
    h, n = at.matrix, at.x.size
    vectors = [np.ones(n)]
    if "positive_vector" in case.witness:
        vector = real(case.witness["positive_vector"], "positive_vector", 1)
        if vector.size != n or not np.all(vector > 0):
            raise Malformed("positive_vector is not positive or of the wrong size")
        vectors.append(vector)
    best = -math.inf
    for v in vectors:
        own, both = 2 * h.diagonal() * v, h.absolute_product(v)
        least = own - both - 4 * U * (np.abs(own) + both)
        ratio = least / v
        best = max(best, float(np.min(ratio - 2 * U * np.abs(ratio))))
    if n <= LARGEST:
        best = max(best, least_eigenvalue(h.dense()))
    return best


def _decrement(case: Case, at: Setting, g: Product, mu: float) -> float:
    """g^T H^-1 g / 2 by t near -H^-1 g: -t^T g - t^T e + e^T H^-1 e, e = g + H t."""
    if "newton_step" in case.witness:
        t = real(case.witness["newton_step"], "newton_step", 1)
        if t.size != at.x.size:
            raise Malformed(f"newton_step of {t.size}, expected {at.x.size}")
    elif at.x.size <= LARGEST:
        try:
            t = np.linalg.solve(at.matrix.dense(), -g.value)
        except np.linalg.LinAlgError:
            return math.inf
    else:
        return math.inf
    if not np.all(np.isfinite(t)):
        return math.inf
    moved = at.matrix.product(t)
    e = np.abs(g.value + moved.value) + g.error + moved.error
    left = norm(e + 4 * U * (np.abs(g.value) + np.abs(moved.value)))
    size = float(np.abs(t) @ np.abs(g.value))
    cost = -float(t @ g.value) + gamma(t.size + 3) * size
    cost += float(np.abs(t) @ g.error) * (1 + gamma(t.size + 3))
    cost = max(cost, 0.0) + norm(t) * left + left * left / mu
    return 0.5 * cost * (1 + 8 * U)
