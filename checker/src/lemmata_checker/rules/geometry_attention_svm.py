"""Rules of the attention SVM: optimal, infeasible, low rank, locally optimal or not."""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..definite import frobenius_norm, least_singular_value
from ..intervals import Ball, exact, multiply, subtract, total
from ..rigor import U, exact_sum, float_down, gamma
from .geometry_attention_data import (
    SVM,
    UP,
    Constraints,
    chosen,
    constraints,
    distance_to_optimum,
    least_margin,
    multipliers_of,
    norm_floor,
    norm_of,
    real,
    sequences,
    upper_norm,
    weights_of,
)

_SQUARE = 400  # d^2 up to which exact infeasibility is looked for over all inputs


def optimal(case: Case) -> Measurement:
    """||W|| over the bound that the multipliers prove, less 1; W must be feasible."""
    at, norm, weights = constraints(case), norm_of(case), weights_of(case)
    least, where = least_margin(at, at.margins(weights))
    size = upper_norm(weights, norm)
    floor = norm_floor(at, multipliers_of(case.value, at), norm)
    figures = {"least margin": least, "norm": size, "lower bound": floor}
    if not least >= 1:
        return Measurement(math.inf, f"the margin is below 1 at {where}", figures)
    return Measurement((size / floor - 1) * UP + 4 * U, figures=figures)


def infeasible(case: Case) -> Measurement:
    """||sum mu A||_F / sum mu: what any W of margins >= 1 has its norm's inverse below.

    1 <= sum mu <A, W> / sum mu <= ||W||_F times it. Where mu can be changed into an
    exact combination of zero, it is zero and there is no such W at all.
    """
    at = constraints(case)
    mu = multipliers_of(case.value, at)
    size = upper_norm(at.combine(mu), "frobenius")
    share = float_down(exact_sum(mu))
    if not share > 0:
        raise Malformed("multipliers: all zero")
    residual = size / share * UP
    reason = _exactly(at, mu)
    figures = {"norm cap": 1 / residual if residual > 0 else math.inf}
    if reason:
        return Measurement(0.0, f"no W at all: {reason}")
    return Measurement(residual, "shown below the norm cap only", figures)


def _exactly(at: Constraints, mu: np.ndarray) -> str:
    """Why mu can be changed into an exact combination of zero; empty if not shown.

    For columns B of full row rank and r = B mu there is a change nu with B nu = -r and
    ||nu|| <= ||r|| / sigma_min(B); below the least mu it keeps all of them positive.
    For one input, columns are its differences; over several, the A themselves.
    """
    n, _, d = at.differences.shape
    for i in range(n):
        rows = mu[i] > 0
        if np.sum(rows) > d and _absorbed(
            at.differences.mid[i, rows], at.differences.radius[i, rows], mu[i, rows]
        ):
            return f"the tokens of input {i} surround the selected one"
    places = np.argwhere(mu > 0)
    if d * d > _SQUARE or len(places) <= d * d:
        return ""
    i, t = places[:, 0], places[:, 1]
    differences = Ball(at.differences.mid[i, t], at.differences.radius[i, t])
    s = len(places)
    left = differences.reshape((s, d, 1))
    columns = multiply(left, exact(at.queries[i].reshape(s, 1, d)))
    flat = columns.reshape((s, d * d))
    if _absorbed(flat.mid, flat.radius, mu[i, t]):
        return "the constraints combine to zero with room to spare"
    return ""


def _absorbed(columns: np.ndarray, error: np.ndarray, mu: np.ndarray) -> bool:
    """Whether B nu = -B mu for some |nu| < mu, B within `error` of columns'."""
    rest = total(multiply(exact(mu[:, None]), Ball(columns, error)), (0,))
    size = (frobenius_norm(rest.mid) + frobenius_norm(rest.radius)) * UP
    gain = least_singular_value(np.ascontiguousarray(columns.T), frobenius_norm(error))
    return bool(gain > 0 and size / gain * UP < float(np.min(mu)))


def rank(case: Case) -> Measurement:
    """||W - L R||_F / ||W||_F for an L R of the rank in question."""
    weights, d = weights_of(case), sequences(case).tokens.shape[2]
    r, n = case.parameters.get("rank"), len(chosen(case))
    if not isinstance(r, int) or isinstance(r, bool) or not 1 <= r <= d:
        raise Malformed(f"rank: expected an integer in [1, {d}]")
    try:
        left, values, rows = np.linalg.svd(weights.mid)
    except np.linalg.LinAlgError as failure:
        raise Malformed("no singular value decomposition was found") from failure
    scaled = left[:, :r] * values[:r]
    away = frobenius_norm(weights.mid - scaled @ rows[:r])
    products = frobenius_norm(scaled) * frobenius_norm(rows[:r])
    away += gamma(r + 4) * (products + frobenius_norm(weights.mid))
    away += frobenius_norm(weights.radius)
    size = float(np.linalg.norm(weights.mid)) * (1 - gamma(d * d + 8))
    if not size > 0:
        raise Malformed("weights: all zero")
    width = case.problem.json.get("width")
    fits = width is None or (isinstance(width, int) and r <= width)
    return Measurement(
        away / size * UP,
        figures={"rank": float(r), "bound min(n, d)": float(min(n, d))},
        assumptions={
            "at most min(n, d)": _said(r <= min(n, d)),
            "at most width": _said(fits),
        },
    )


def _said(good: bool) -> str:
    return "checked" if good else "violated"


def scores_of(case: Case) -> Ball:
    """gamma_it, shape (n, T): given, or y_i v'x_it for a linear head."""
    found = sequences(case)
    n, t, d = found.tokens.shape
    if case.problem.kind == SVM:
        return exact(real(case.problem.arrays, "scores", (n, t)))
    if case.problem.json.get("head") != "linear":
        raise Malformed("scores are those of a linear head")
    v = real(case.problem.arrays, "head_vector", (d,))
    labels = real(case.problem.arrays, "labels", (n,))
    signed = exact(labels[:, None, None] * v[None, None, :])
    if np.any(np.abs(labels) != 1):
        raise Malformed("labels: expected 1 or -1")
    return total(multiply(exact(found.tokens), signed), (2,))


def answer(case: Case, at: Constraints) -> tuple[Ball, np.ndarray]:
    """(W, mu) of the Frobenius SVM: the value, or the witness of a trained one."""
    if norm_of(case) != "frobenius":
        raise Malformed("local optimality is defined by the Frobenius solution")
    d = at.queries.shape[1]
    if case.problem.kind == SVM:
        return weights_of(case), multipliers_of(case.value, at)
    weights = exact(real(case.witness, "reference", (d, d)))
    return weights, multipliers_of(case.witness, at)


def leads(case: Case, at: Constraints) -> Ball:
    """gamma_i,selected - gamma_it, shape (n, T)."""
    scores = scores_of(case)
    arrays = case.problem.arrays if case.problem.kind == SVM else case.witness
    rows = np.arange(len(at.active)), arrays["selected"]
    best = Ball(scores.mid[rows][:, None], scores.radius[rows][:, None])
    return subtract(best, scores)


def locally_optimal(case: Case) -> Measurement:
    """Least score lead over the tokens that may be support of the exact solution.

    The exact W* is unique and within `distance_to_optimum` of W, so a margin moves by
    at most that times ||A_it||; a token whose margin stays above 1 is no support.
    """
    at = constraints(case)
    weights, mu = answer(case, at)
    margins = at.margins(weights)
    least, where = least_margin(at, margins)
    if not least >= 1:
        raise Malformed(f"the margin is below 1 at {where}")
    size = upper_norm(weights, "frobenius")
    away = distance_to_optimum(size, norm_floor(at, mu, "frobenius"))
    sizes = np.sqrt(np.sum(at.differences.magnitude() ** 2, axis=2))
    sizes = sizes * np.linalg.norm(at.queries, axis=1)[:, None]
    moved = away * sizes * (1 + gamma(2 * at.queries.shape[1] + 16))
    low = np.nextafter(margins.lower() - moved * (1 + 4 * U), -np.inf)
    support = at.active & ~(low > 1)
    lead = np.where(support, leads(case, at).lower(), np.inf)
    return Measurement(
        float(np.min(lead)),
        figures={
            "tokens that may be support": float(np.sum(support)),
            "distance to the solution": away,
        },
    )


def _place(case: Case, n: int, t: int) -> tuple[int, int]:
    """The parameter `token`, [input, token]."""
    place = case.parameters.get("token")
    if not isinstance(place, list) or len(place) != 2:
        raise Malformed("token: expected [input, token]")
    whole = all(isinstance(k, int) and not isinstance(k, bool) for k in place)
    if not whole or not (0 <= place[0] < n and 0 <= place[1] < t):
        raise Malformed("token: expected [input, token]")
    return place[0], place[1]


def not_locally_optimal(case: Case) -> Measurement:
    """Room by which one constraint is needed whose token has no lower score.

    W' meets every other constraint with a norm below the bound for all of them: so the
    solution without this one is shorter, and its margin is exactly 1 at the solution.
    """
    at = constraints(case)
    _, mu = answer(case, at)
    n, t = at.active.shape
    i, other = _place(case, n, t)
    if not at.active[i, other]:
        raise Malformed("token: none that competes with the selected one")
    d = at.queries.shape[1]
    shorter = exact(real(case.witness, "without", (d, d)))
    rest = at.active.copy()
    rest[i, other] = False
    least, where = least_margin(at._replace(active=rest), at.margins(shorter))
    if not least >= 1:
        raise Malformed(f"without: the margin is below 1 at {where}")
    ahead = leads(case, at)
    tied = ahead.mid[i, other] == 0 and ahead.radius[i, other] == 0
    lead = 0.0 if tied else float(ahead.upper()[i, other])
    floor = norm_floor(at, mu, "frobenius")
    return Measurement(
        (floor / upper_norm(shorter, "frobenius") - 1) * (1 - 8 * U) - 8 * U,
        f"token {other} of input {i} is support and does not score lower",
        figures={"score lead": lead},
        assumptions={"its score is not lower": _said(lead <= 0)},
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "geometry.least_norm/1",
        "proof",
        "<=",
        "every margin (x_i,selected - x_it)' W z_i is at least 1, and ||W|| <= (1 + "
        "promised) * the least norm of such a W",
        "",
        optimal,
        (SVM,),
    ),
    Rule(
        "geometry.no_separation/1",
        "proof",
        "<=",
        "no W with ||W||_F < 1 / promised selects these tokens with margins of at "
        "least 1; none at all where 0 is measured",
        "",
        infeasible,
        (SVM,),
    ),
    Rule(
        "geometry.attention_rank/1",
        "proof",
        "<=",
        "W is within promised * ||W||_F of a matrix of the given rank, which is at "
        "most min(n, d)",
        "",
        rank,
        (SVM,),
    ),
    Rule(
        "geometry.locally_optimal/1",
        "proof",
        ">=",
        "every support token of the Frobenius solution scores lower than the selected "
        "one, by at least promised",
        "",
        locally_optimal,
    ),
    Rule(
        "geometry.not_locally_optimal/1",
        "proof",
        ">=",
        "some support token of the Frobenius solution does not score lower than the "
        "selected one: without its constraint the least norm is smaller, by a share of "
        "at least promised",
        "",
        not_locally_optimal,
    ),
)
