"""Rule of uniform assignment: how little of the plan lies off the optimal permutation.

For n = m and r = c = 1/n let s be the only optimal permutation, Delta the gap in cost
to the second-best one (entries 1/n), eta = 1/epsilon > (1 + 2 log n) / Delta.

Weed (2018, Cor. 9): <C, P_eta - P_s> <= Delta e n^2 exp(-eta Delta); writing P_eta as a
mixture of permutations, 1 - (weight of s) is at most that over Delta, so P_eta has at
most e n^2 exp(-eta Delta) <= 3 n^2 exp(-eta Delta) of its mass outside s.
For K = exp(w/epsilon - 1), M = mass(K) and f(x, y) = base - epsilon M:
  KL(P_eta || K/M) = eta (f* - f) + 1 - M + log M <= eta G,  G >= f* - f,
and by Pinsker K/M has at most sqrt(2 eta G)/2 more than P_eta outside s.
"""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..rigor import U, exp_bounds, gamma
from .transport_cost import array, scalar
from .transport_entropic import ENTROPIC, entropic_bounds, plan_of
from .transport_kernel import kernel_entries
from .transport_plan import Setting, setting
from .transport_reduced import reduce_pair, reduced_slack

LARGEST = 300  # Floyd and Warshall's algorithm takes n^3 steps


def _uniform(case: Case) -> tuple[Setting, np.ndarray]:
    """The setting and the witness permutation, if this is a uniform assignment."""
    at = setting(case)
    n, m = at.cost.shape
    if n != m or n != at.source.size or m != at.target.size or n > LARGEST:
        raise Malformed(f"expected n = m <= {LARGEST}, all weights positive")
    if np.ptp(at.source.weights) or np.ptp(at.target.weights):
        raise Malformed("expected equal weights on either side")
    permutation = array(case.witness, "permutation", (n,), np.int64)
    if not np.array_equal(np.sort(permutation), np.arange(n)):
        raise Malformed("permutation: expected each of 0 to n - 1 once")
    return at, permutation


def vertex_gap(at: Setting, permutation: np.ndarray, dual: np.ndarray) -> float:
    """Lower bound on (cost of any other permutation - cost of this one) / n.

    The difference is a sum of directed cycles of h_ik = g_{i,s(k)} - g_{i,s(i)},
    g_ij = C_ij - v_j, whatever v is, as v cancels along a cycle. If v is an optimal
    dual, h >= 0 up to sigma; then h + sigma >= 0, whose shortest cycle exceeds by at
    most n sigma that of h. Each of n rounds of the algorithm adds once: (1 + u)^n.
    """
    n = permutation.size
    pair = at.cost.block(0, n)
    high, low = reduce_pair(np.zeros((n, 1)), dual[None, :], pair)  # -g
    size = 1.01 * (np.abs(high).max() + np.abs(pair[0]).max())
    slack, _ = reduced_slack(at.cost, float(size))
    high, low = high[:, permutation], low[:, permutation]
    first = np.diag(high)[:, None] - high
    second = np.diag(low)[:, None] - low
    h = first + second
    rounding = 3 * U * (np.abs(first) + np.abs(second) + np.abs(h)) + 2.1 * slack
    h = np.nextafter(h - rounding, -np.inf)
    sigma = max(0.0, -float(h.min()))
    distance = np.maximum(0.0, np.nextafter(h + sigma, -np.inf)) if sigma else h
    np.fill_diagonal(distance, np.inf)  # no arc from i to i
    for k in range(n):
        np.minimum(distance, distance[:, k, None] + distance[None, k, :], out=distance)
    cycle = float(np.diag(distance).min()) * (1 - gamma(n + 4))
    return (cycle - n * sigma * (1 + 4 * U)) / n * (1 - 4 * U) if n > 1 else math.inf


def assignment_bound(case: Case) -> tuple[float, float]:
    """(bound, Delta): the theorem's right-hand side, rounded up; inf if it is silent.

    Reads the witness arrays `permutation` (n,) int64 and `column_dual` (n,).
    """
    at, permutation = _uniform(case)
    n = permutation.size
    epsilon = scalar(case.problem.json, "epsilon")
    gap = vertex_gap(at, permutation, array(case.witness, "column_dual", (n,)))
    if not gap > epsilon * (1 + 2 * math.log(n)) * (1 + 1e-12):
        return math.inf, gap
    lower, upper = entropic_bounds(case)
    width = math.nextafter(upper - lower, math.inf)
    decay = exp_bounds(np.array([-gap / epsilon * (1 - 4 * U)]))[1]
    bound = 3 * n * n * float(decay[0]) + math.sqrt(2 * width / epsilon) / 2
    return bound * (1 + 16 * U), gap


def outside_share(case: Case) -> float:
    """Upper bound on the share of the plan's mass outside the permutation."""
    at, permutation = _uniform(case)
    plan = plan_of(case)
    i = np.arange(permutation.size)
    if "row_scaling" in case.value:
        inside = kernel_entries(case, at, i, permutation)
    else:
        inside = array(case.value, "plan", at.cost.shape)[i, permutation]
    most = math.fsum(plan.row + plan.row_error) - math.fsum(inside)
    least = math.fsum(plan.row - plan.row_error) * (1 - 4 * U)
    if least <= 0:
        return math.inf
    rounding = gamma(8) * (math.fsum(plan.row) + math.fsum(inside))
    return max(0.0, most + rounding) / least * (1 + 4 * U)


def hessian_sparsity(case: Case) -> Measurement:
    """The larger of the theorem's bound and the share found; inf if no bound < 1."""
    bound, gap = assignment_bound(case)
    figures = {"bound": bound, "vertex_gap": gap}
    if not bound < 1:
        figures = {name: value for name, value in figures.items() if value < math.inf}
        return Measurement(math.inf, "the theorem says nothing here", figures)
    figures["outside"] = outside_share(case)
    return Measurement(max(bound, figures["outside"]), figures=figures)


RULES: tuple[Rule, ...] = (
    Rule(
        "transport.hessian_sparsity/1",
        "proof",
        "<=",
        "share of the plan's mass outside the optimal permutation <= promised, and "
        "(6 n^2 exp(-Delta/epsilon) + sqrt(2 G/epsilon))/2 <= promised, below 1",
        "L1 mass",
        hessian_sparsity,
        (ENTROPIC,),
    ),
)
