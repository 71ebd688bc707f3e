"""Rules of sparse transport across caps, and of its use as a router."""

import math
from fractions import Fraction

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..packed import Packed
from ..rigor import TINY, U, float_up
from .transport_cost import SHARE_ERROR, array
from .transport_entries import coupling_plan
from .transport_plan import setting
from .transport_repair import base, cost_upper, repair, transform_lower
from .transport_semidual import Sparse, conjugates, sparse_problem

ROUTING = "transport.routing/1"


def _transport_cost(case: Case) -> tuple[Fraction, Fraction]:
    """Bounds on the optimal cost without regularisation, from LP plan and duals."""
    problem = Packed("transport.optimal/1", case.problem.json, case.problem.arrays)
    names = ("rows", "columns", "mass", "row_potential", "column_potential")
    value = {}
    for name in names:
        if f"lp_{name}" not in case.witness:
            raise Malformed(f"array lp_{name} is missing")
        value[name] = case.witness[f"lp_{name}"]
    inner = Case(problem, value)
    at, plan = setting(inner), coupling_plan(inner)
    upper = cost_upper(plan, repair(at.source, at.target, plan))
    middle = base(inner)
    lower = transform_lower(inner, plan)
    return middle + Fraction(lower), middle + Fraction(upper)


def _square(share: np.ndarray) -> tuple[Fraction, Fraction]:
    """Bounds on the sum of squares of shares."""
    total = math.fsum(share**2)
    error = total * (2.1 * SHARE_ERROR + 4 * U) + TINY
    return Fraction(total - 2 * error), Fraction(total + 2 * error)


def _dual_values(case: Case, problem: Sparse) -> list[tuple[Fraction, Fraction]]:
    """Bounds on D_k(alpha_k) for each cap of the witness, caps increasing."""
    caps = array(case.witness, "caps", (None,), np.int64)
    most = problem.free.size
    if not (caps.size >= 2 and caps[0] == 1 and caps[-1] == most):
        raise Malformed(f"caps: expected the first to be 1 and the last {most}")
    if np.any(np.diff(caps) <= 0):
        raise Malformed("caps: expected increasing caps")
    alphas = array(case.witness, "alphas", (caps.size, most))
    found = []
    for cap, alpha in zip(caps.tolist(), alphas, strict=True):
        terms = conjugates(problem, alpha, cap)
        low = terms.linear - Fraction(terms.upper)
        high = terms.linear - Fraction(terms.lower)
        found.append((low, high))
    return found


def limit_cases(case: Case) -> Measurement:
    """The worst violation of the chain, W the optimal cost without regularisation:

    W + gamma/2 N <= D_m(alpha_m) <= ... <= D_1(alpha_1) = W + gamma/2 sum_j b_j^2. N is
    the least squared norm of a matrix with these marginals, signs free: with entries
    a_i/n + b_j/m - 1/(n m), N = sum a^2 / n + sum b^2 / m - 1/(n m).
    """
    problem = sparse_problem(case)
    low_cost, high_cost = _transport_cost(case)
    duals = _dual_values(case, problem)
    strength = Fraction(problem.gamma) / 2
    n, m = problem.capped.size, problem.free.size
    low_square, high_square = _square(problem.capped.share)
    norm = _square(problem.free.share)[1] / n + high_square / m - Fraction(1, n * m)
    low_end, high_end = (
        low_cost + strength * low_square,
        high_cost + strength * high_square,
    )
    first, last = duals[0], duals[-1]
    violations = {
        "quadratic": high_cost + strength * norm - last[0],
        "order": max(b[1] - a[0] for a, b in zip(duals, duals[1:], strict=False)),
        "above": max(high for _, high in duals) - low_end,
        "unregularised": max(first[1] - low_end, high_end - first[0]),
    }
    figures = {name: float_up(value) for name, value in violations.items()}
    return Measurement(max(0.0, *figures.values()), figures=figures)


def buffer(case: Case) -> Measurement:
    """The largest load, infinite if a choice was dropped for overflow.

    `requested` (tokens, experts) says what was chosen before any buffer was looked at,
    `dispatch` what is processed; a choice is dropped if it is in the first alone.
    """
    if case.problem.kind != ROUTING:
        raise Malformed(f"no routing problem: {case.problem.kind}")
    logits = array(case.problem.arrays, "logits", (None, None))
    dispatch = array(case.value, "dispatch", logits.shape, np.bool_)
    requested = array(case.value, "requested", logits.shape, np.bool_)
    if np.any(dispatch & ~requested):
        raise Malformed("dispatch: expected nothing that was not requested")
    load = float(dispatch.sum(axis=0).max(initial=0))
    dropped = int(np.count_nonzero(requested & ~dispatch))
    uncovered = float(np.count_nonzero(~dispatch.any(axis=1)))
    figures = {"load": load, "dropped": float(dropped), "uncovered": uncovered}
    if dropped:
        return Measurement(math.inf, f"{dropped} choices were dropped", figures)
    return Measurement(load, figures=figures)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]


def smoothness_tradeoff(case: Case) -> Measurement:
    """Spearman's correlation of caps and iterations to a relative dual gap.

    `dual_traces` (g, T) holds D after each iteration, the last one repeated; `best`
    (g,) what is known of the maximum, raised to the largest D recorded. Reached is the
    first with best - D <= tolerance |best|, T if none is.
    """
    caps = array(case.witness, "caps", (None,), np.int64)
    traces = array(case.witness, "dual_traces", (caps.size, None))
    best = array(case.witness, "best", (caps.size,))
    tolerance = case.parameters.get("tolerance")
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float):
        raise Malformed("tolerance: expected a number")
    if not 0 < tolerance < 1 or caps.size < 3 or traces.shape[1] < 2:
        raise Malformed("expected 0 < tolerance < 1, three caps, two iterations")
    if np.any(np.diff(caps) <= 0):
        raise Malformed("caps: expected increasing caps")
    best = np.maximum(best, traces.max(axis=1))
    reached = best[:, None] - traces <= tolerance * np.abs(best)[:, None]
    iterations = np.where(reached.any(axis=1), reached.argmax(axis=1), traces.shape[1])
    stated = case.witness.get("iterations")
    if stated is not None and not np.array_equal(stated, iterations):
        raise Malformed(f"iterations: the traces say {iterations.tolist()}")
    if np.ptp(iterations) == 0:
        return Measurement(math.inf, "every cap took as many iterations")
    correlation = np.corrcoef(_ranks(caps), _ranks(iterations))[0, 1]
    names = (f"iterations_{cap}" for cap in caps.tolist())
    figures = dict(zip(names, iterations.astype(float).tolist(), strict=True))
    return Measurement(float(correlation), figures=figures)


RULES: tuple[Rule, ...] = (
    Rule(
        "transport.limit_cases/1",
        "proof",
        "<=",
        "W + gamma/2 N <= D_m <= ... <= D_1 = W + gamma/2 sum b^2, each up to promised",
        "cost",
        limit_cases,
        (),
    ),
    Rule(
        "transport.buffer/1",
        "proof",
        "<=",
        "most tokens sent to one expert <= promised, and no choice is dropped",
        "tokens",
        buffer,
        (ROUTING,),
    ),
    Rule(
        "transport.smoothness_tradeoff/1",
        "evidence",
        "<=",
        "rank correlation of cap and iterations to a relative dual gap <= promised",
        "",
        smoothness_tradeoff,
        (),
    ),
)
