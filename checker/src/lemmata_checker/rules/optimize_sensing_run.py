"""Rules of matrix sensing about a run: imbalance, rates, the change of factors."""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..definite import frobenius_norm, spectral_norm
from ..rigor import TINY, U, gamma
from ..spectrum import singular_values
from .optimize_sensing_floor import positive, said
from .optimize_sensing_operator import (
    PLANTED,
    factor_product,
    factors_of,
    image,
    norm_down,
    real,
    sensing_of,
    truth_of,
    whole,
)

WINDOW = (1e-20, 1e-6)  # squared relative error (or residual) in which rates are read
POINTS = 8
STRAIGHT = 1.5  # ratio of the slopes of the window's halves
PRODUCT, ORTHONORMAL = 1e-12, 1e-12  # what the change of factors may disturb


def imbalance(case: Case) -> Measurement:
    """Largest defect of the identity over the recorded steps, relative to the factors.

    With L+ = L - eta E R and R+ = R - eta E'L, both from the old factors, the mixed
    terms eta (L'E R + R'E'L) of L'L and R'R cancel, and what remains is
    D+ - D = eta^2 (R'E'E R - L'E E'L), D = L'L - R'R.
    """
    at, (left, right) = sensing_of(case), factors_of(case)
    n1, k, n2 = len(left), left.shape[1], len(right)
    pairs = case.witness.get("pairs")
    if pairs is None or pairs.ndim != 4 or pairs.shape[1:] != (2, n1 + n2, k):
        raise Malformed(f"pairs: expected shape (p, 2, {n1 + n2}, {k})")
    real(case.witness, "pairs", pairs.shape)
    if not len(pairs):
        raise Malformed("no pair of iterates was recorded")
    eta = positive(case, "step_size")
    products = [factor_product(p[0, :n1], p[0, n1:]) for p in pairs]
    found = image(at, products, gradient=True)
    assert found.gradient is not None
    worst, largest = 0.0, 0.0
    for pair, slope, off in zip(
        pairs, found.gradient, found.gradient_error, strict=True
    ):
        defect, term = _defect(pair, n1, slope, float(off), eta)
        worst, largest = max(worst, defect), max(largest, term)
    return Measurement(
        worst,
        figures={"pairs": float(len(pairs)), "largest change": largest},
        assumptions={"every step of the run, not the recorded ones": "unchecked"},
    )


def _defect(pair, n1: int, slope, off: float, eta: float) -> tuple[float, float]:
    """(bound on the relative defect, relative size of the right side)."""
    (old, new), n = pair, pair.shape[1]
    sizes = [frobenius_norm(p) for p in (old, new)]
    scale = norm_down(old) ** 2
    if not scale > 0:
        raise Malformed("a recorded iterate is zero")
    change = _gram(new, n1) - _gram(old, n1)
    rounding = gamma(n + 4) * (sizes[0] ** 2 + sizes[1] ** 2)
    ahead, back = slope @ old[n1:], slope.T @ old[:n1]
    right = eta * eta * (ahead.T @ ahead - back.T @ back)
    # each product E R is off by off ||R|| and by its sums
    size = frobenius_norm(slope)
    each = (off + gamma(n + 4) * size) * sizes[0]
    parts = frobenius_norm(ahead) + frobenius_norm(back)
    off_right = 2 * each * (parts + each) + gamma(n + 4) * parts * parts
    total = frobenius_norm(change - right) + rounding + eta * eta * off_right
    total = (total + n * n * TINY) * (1 + 64 * U)
    return total / scale * (1 + 4 * U), frobenius_norm(right) / scale


def _gram(stacked: np.ndarray, n1: int) -> np.ndarray:
    left, right = stacked[:n1], stacked[n1:]
    return left.T @ left - right.T @ right


def imbalance_drift(case: Case) -> Measurement:
    """||D_T - D_0||_F less the sum of squared steps, which bounds it; relative.

    By `imbalance`, each step changes D by dL'dL - dR'dR, of Frobenius norm at most
    ||dL||^2 + ||dR||^2 <= eta^2 ||E||^2 (||L||^2 + ||R||^2).
    """
    left, right = factors_of(case)
    start = real(case.witness, "start", (len(left) + len(right), left.shape[1]))
    path = _column(case, "path")[-1]
    n1, end = len(left), np.concatenate([left, right])
    drift = frobenius_norm(_gram(end, n1) - _gram(start, n1))
    scale = max(frobenius_norm(end), frobenius_norm(start)) ** 2
    if not path >= 0:
        raise Malformed("path: expected sums of squares")
    return Measurement(
        (drift - path) / scale,
        figures={"drift": drift, "sum of squared steps": path},
        assumptions={"the recorded sum of squared steps": "unchecked"},
    )


def _column(case: Case, name: str) -> np.ndarray:
    column = case.trace.get(name)
    if column is None or column.ndim != 1 or not column.size:
        raise Malformed(f"the trace has no column {name}")
    if not np.all(np.isfinite(column)):
        raise Malformed(f"the trace's {name} is not finite")
    return column.astype(np.float64)


def predicted_slope(left: np.ndarray, right: np.ndarray, rank: int, eta: float):
    """Slope per step of log e^2 near the answer: 2 log(1 - eta mu).

    There E <- E - eta (E R R' + L L' E), whose modes decay at s_i(L)^2 + s_j(R)^2.
    Those that matter: mu = min over i <= r of min(s_i(L), s_i(R))^2 and over i > r of
    max(s_i(L), s_i(R))^2, where the other factor's share has died out.
    """
    one, other = (singular_values(f)[0] for f in (left, right))
    # A rank above a factor's width, or none, leaves one of the two lists empty.
    signal = np.minimum(one, other)[:rank]
    tail = np.maximum(one, other)[rank:]
    mu = float(np.min(np.concatenate([signal, tail]))) ** 2
    return 2 * math.log1p(-eta * mu) if 0 < eta * mu < 1 else math.nan


def _series(case: Case, first: float) -> tuple[np.ndarray, np.ndarray]:
    """(steps, log of the squared relative error) in the window, from step `first`."""
    steps = _column(case, "gradient_steps")
    if case.problem.kind == PLANTED:
        square = _column(case, "square_error")
        square = square / norm_down(factor_product(*truth_of(case)).matrix) ** 2
    else:
        square = _column(case, "residual") ** 2
    if steps.shape != square.shape or np.any(np.diff(steps) <= 0):
        raise Malformed("gradient_steps: expected increasing, one per look")
    inside = (square > WINDOW[0]) & (square < WINDOW[1]) & (steps > first)
    if np.sum(inside) < POINTS:
        raise Malformed(f"{np.sum(inside)} looks in the window, {POINTS} are needed")
    return steps[inside], np.log(square[inside])


def _rate(case: Case, rank: int, first: float = -1.0) -> Measurement:
    eta = positive(case, "step_size")
    steps, logs = _series(case, first)
    slope, half = _slope(steps, logs), len(steps) // 2
    halves = [_slope(steps[s], logs[s]) for s in (slice(half), slice(half, None))]
    straight = max(halves) < 0 and min(halves) >= STRAIGHT * max(halves)
    predicted = predicted_slope(*factors_of(case), rank, eta)
    return Measurement(
        slope / predicted,
        figures={"slope": slope, "predicted slope": predicted, "looks": len(steps)},
        assumptions={"log error is straight in the window": said(straight)},
    )


def _numerical_rank(case: Case) -> int:
    """Singular values of the answer above what its error leaves undecided."""
    left, right = factors_of(case)
    high = singular_values(left @ right.T)[1][: left.shape[1]]
    residual = _column(case, "residual")[-1]
    return max(1, int(np.sum(high > 100 * residual * high[0] + 1e-12 * high[0])))


def linear_rate(case: Case) -> Measurement:
    """Fitted slope of log e^2 over the one that the final factors predict."""
    return _rate(case, _numerical_rank(case))


def exact_parameterisation(case: Case) -> Measurement:
    """The same where the width is the rank of M*."""
    left, _ = factors_of(case)
    rank = truth_of(case)[0].shape[1]
    if left.shape[1] != rank:
        raise Malformed(f"width {left.shape[1]} is not the rank {rank}")
    return _rate(case, rank)


def acceleration(case: Case) -> Measurement:
    """The same after the change of factors, which is looked at, too."""
    left, right = factors_of(case)
    n1, k = left.shape
    before, after = (
        real(case.witness, name, (n1 + len(right), k)) for name in ("before", "after")
    )
    switched = whole(case.parameters, "switched", 0, 2**53)
    found = _rate(case, _numerical_rank(case), float(switched))
    product = before[:n1] @ before[n1:].T
    moved = frobenius_norm(after[:n1] @ after[n1:].T - product)
    beta = positive(case, "switch_scale")
    square = beta * beta * float(np.linalg.norm(product, 2))
    gram = after[:n1].T @ after[:n1] - square * np.eye(k)
    found.figures |= {
        "product moved": moved / norm_down(product),
        "L'L - b^2 I": frobenius_norm(gram) / square,
    }
    found.assumptions |= {
        "the product did not change": said(moved <= PRODUCT * norm_down(product)),
        "L'L = b^2 I": said(spectral_norm(gram) <= ORTHONORMAL * square),
    }
    if case.problem.kind == PLANTED:
        least = singular_values(factor_product(*truth_of(case)).matrix)[1]
        sigma = least[truth_of(case)[0].shape[1] - 1]
        eta = positive(case, "step_size")
        found.figures["-2 eta sigma_r^2 / b^2"] = -2 * eta * float(sigma) ** 2 / square
    return found


def _slope(t: np.ndarray, y: np.ndarray) -> float:
    """Least-squares slope of y over t, NaN for fewer than two different t."""
    t = t - np.mean(t)
    square = float(np.sum(t * t))
    return float(np.sum(t * y)) / square if square > 0 else math.nan


RULES: tuple[Rule, ...] = (
    Rule(
        "optimize.imbalance/1",
        "proof",
        "<=",
        "at the recorded steps ||D+ - D - eta^2 (R'E'E R - L'E E'L)||_F <= promised * "
        "(||L||_F^2 + ||R||_F^2), D = L'L - R'R",
        "",
        imbalance,
    ),
    Rule(
        "optimize.imbalance_drift/1",
        "evidence",
        "<=",
        "||D_T - D_0||_F less the sum of ||dL||^2 + ||dR||^2 <= promised * (size of "
        "the factors)^2, D = L'L - R'R",
        "",
        imbalance_drift,
    ),
    Rule(
        "optimize.linear_rate_of_factors/1",
        "evidence",
        ">=",
        "log e_t^2 falls along a line, at least promised times as steep as the final "
        "factors predict",
        "",
        linear_rate,
    ),
    Rule(
        "optimize.acceleration/1",
        "evidence",
        ">=",
        "after L <- b A, R <- R B S / b the product is the same, and log e_t^2 falls "
        "along a line, at least promised times as steep as the factors predict",
        "",
        acceleration,
    ),
    Rule(
        "optimize.exact_parameterisation/1",
        "evidence",
        ">=",
        "with width r, log e_t^2 falls along a line, at least promised times as steep "
        "as the final factors predict",
        "",
        exact_parameterisation,
    ),
)
