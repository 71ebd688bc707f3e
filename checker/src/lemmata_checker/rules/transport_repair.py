"""From almost feasible to exactly feasible, and what that costs.

Given P >= 0, scale its rows and columns by theta, phi <= 1 so that P' = theta P phi has
P'1 <= r and P''1 <= c, and add the deficits' rank-one plan: P* = P' + rho kappa'/omega
with rho = r - P'1, kappa = c - P''1, omega = sum(rho) = sum(kappa). P* is a
coupling of r and c, whatever P was. With `loss` = mass(P) - mass(P'), w = x + y - C,
  <C, P*> = <x, r> + <y, c> - sum P* w
          <= base - sum P w + loss max(0, max w) + omega max(0, -min w).
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..rigor import TINY, U, exact_dot, gamma
from .transport_cost import SHARE_ERROR, Marginal
from .transport_entries import Entropy
from .transport_kernel import Kernel
from .transport_plan import Plan, setting


class Repair(NamedTuple):
    """The scalings (exactly these floats), and bounds from above on what they move.

    **Fields:**

    - `theta`, `phi`: shapes (n,), (m,), in [0, 1].
    - `row_loss`, `column_loss`: (1 - theta_i) (P 1)_i and (1 - phi_j) (P' 1)_j.
    - `loss`: mass(P) - mass(P'), at most the sum of both.
    - `deficit`: omega = 1 - mass(P) + loss.
    """

    theta: np.ndarray
    phi: np.ndarray
    row_loss: np.ndarray
    column_loss: np.ndarray
    loss: float
    deficit: float


def violation(source: Marginal, target: Marginal, plan: Plan) -> float:
    """Upper bound on ||P1 - r||_1 + ||P'1 - c||_1; stray mass counts on both sides."""
    total = 2 * plan.stray
    for side, sums, error in (
        (source, plan.row, plan.row_error),
        (target, plan.column, plan.column_error),
    ):
        gap = np.abs(sums - side.share) + (error + (SHARE_ERROR + U) * side.share)
        total += float(gap.sum()) * (1 + gamma(gap.size + 4))
    return total * (1 + 4 * U)


def repair(source: Marginal, target: Marginal, plan: Plan) -> Repair:
    """theta_i = min(1, r_i / upper bound of (P1)_i), rounded down; phi likewise."""
    scalings: list[np.ndarray] = []
    losses: list[np.ndarray] = []
    for side, sums, error in (
        (source, plan.row, plan.row_error),
        (target, plan.column, plan.column_error),
    ):
        most = (sums + error) * (1 + 4 * U)
        share = side.share * (1 - SHARE_ERROR - 4 * U)
        scaling = np.minimum(1.0, share / np.maximum(most, TINY))
        scalings.append(scaling)
        losses.append((1 - scaling) * most * (1 + 6 * U))
    loss = sum(float(part.sum()) * (1 + gamma(part.size)) for part in losses)
    error = float(plan.row_error.sum()) * (1 + gamma(plan.row.size + 2))
    least = math.fsum(plan.row) - error
    deficit = max(0.0, 1 - least) * (1 + 4 * U) + loss + 4 * U
    return Repair(scalings[0], scalings[1], losses[0], losses[1], loss, deficit)


def base(case: Case) -> Fraction:
    """<r, x> + <c, y>, exactly."""

    def compute() -> Fraction:
        at = setting(case)
        rows = exact_dot(at.source.weights, at.x) / at.source.total
        return rows + exact_dot(at.target.weights, at.y) / at.target.total

    return case.shared("transport/base", compute)


def price(plan: Plan, fix: Repair) -> float:
    """Loss max(0, max w) + omega max(0, -min w)."""
    extremes = plan.reduced
    paid = fix.loss * max(0.0, extremes.largest)
    return (paid + fix.deficit * max(0.0, -extremes.smallest)) * (1 + 6 * U)


def cost_upper(plan: Plan, fix: Repair) -> float:
    """Upper bound on <C, P*> - base."""
    terms = (-plan.inner, plan.inner_error, price(plan, fix))
    return _total(terms)


def kernel_upper(plan: Plan, kernel: Kernel, fix: Repair, epsilon: float) -> float:
    """Upper bound on <C, P*> + epsilon sum P* log P* - base, kernel form.

    P* = Q' + T, Q' = theta Q phi, T = R' + rho kappa'/omega of mass tau. Entries of
    a coupling are at most 1, so log(q + t) <= 0 and
      (q + t) log(q + t) <= q (log q + t/q) + t log(q + t) <= q log q + t.
    With log q <= log s + log t + w/epsilon - 1 (theta, phi <= 1) the terms in w cancel:
      primal - base <= -sum T w + epsilon (<log s, Q'1> + <log t, Q''1> - 1 + 2 tau).
    log s <= 0, so Q'1 is bounded from below: Q'1 >= theta Q1 - theta Q (1 - phi).
    """
    terms = [-kernel.rest_inner, price(plan, fix), -epsilon]
    tau = kernel.rest + fix.deficit
    terms.append(2 * epsilon * tau * (1 + 6 * U))
    for log, least, scaling, lost in (
        (kernel.row_log, kernel.row_least, fix.theta, fix.column_loss),
        (kernel.column_log, kernel.column_least, fix.phi, fix.row_loss),
    ):
        size = float(np.sum(log * least * scaling))
        terms.append(-epsilon * size * (1 - gamma(log.size + 8)))
        extra = float(log.max()) * float(lost.sum())
        terms.append(epsilon * extra * (1 + gamma(log.size + 8)))
    return _total(terms)


def dense_upper(plan: Plan, entropy: Entropy, fix: Repair, epsilon: float) -> float:
    """Upper bound on <C, P*> + epsilon sum P* log P* - base, dense form.

    With f = theta_i phi_j <= 1, p' = f p and h = p log p: p' log p' <= f h <= h +
    (1 - f) max(0, -h), 1 - f <= (1 - theta_i) + (1 - phi_j); the deficits' plan adds
    at most omega, as in `kernel_upper`.
    """
    lost = float(np.sum((1 - fix.theta) * entropy.row_loss))
    lost += float(np.sum((1 - fix.phi) * entropy.column_loss))
    lost *= 1 + gamma(fix.theta.size + fix.phi.size + 8)
    rounding = 8 * U * epsilon * (abs(entropy.total) + lost + fix.deficit)
    entropic = epsilon * (entropy.total + lost + fix.deficit)
    return _total((cost_upper(plan, fix), entropic, rounding))


def kernel_lower(kernel_mass: float, epsilon: float) -> float:
    """Lower bound on f(x, y) - base = -epsilon mass(K)."""
    return -epsilon * kernel_mass * (1 + 6 * U)


def transform_lower(case: Case, plan: Plan) -> float:
    """Lower bound on W - base: the better of both c-transforms.

    <r, x> + sum_j c_j min_i (C_ij - x_i) = base - sum_j c_j max_i w_ij.
    """
    at = setting(case)
    found = []
    for side, most in (
        (at.target, plan.reduced.column_largest),
        (at.source, plan.reduced.row_largest),
    ):
        terms = side.share * most
        rounding = (SHARE_ERROR + 4 * U) * float(np.abs(terms).sum()) * 1.01 + TINY
        found.append(-_total((math.fsum(terms), rounding)))
    return max(found)


def _total(terms) -> float:
    """The sum, rounded up."""
    value = math.fsum(terms)
    if not math.isfinite(value):
        raise Malformed("the bounds overflow float64")
    return math.nextafter(value, math.inf)
