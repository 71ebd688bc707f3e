"""Rules of matrix sensing that compare an answer with a planted truth of rank r."""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..definite import frobenius_norm, spectral_norm
from ..rigor import U, gamma
from ..spectrum import singular_values
from .optimize_sensing import product_of
from .optimize_sensing_operator import (
    PLANTED,
    Product,
    factor_product,
    factors_of,
    image,
    norm_down,
    real,
    sensing_of,
    truth_of,
)

RESOLVED = 1e-2  # of an error: rounding may be so much of it
PAIR = 1e-12  # relative: a recorded iterate is the step of the one before


def away(case: Case) -> Product:
    """L R' - M*, with a bound on its error."""
    return case.shared("away", lambda: _away(case))


def _away(case: Case) -> Product:
    truth = factor_product(*truth_of(case))
    mine = product_of(case)
    difference = mine.matrix - truth.matrix
    error = mine.error + truth.error + U * frobenius_norm(difference)
    return Product(difference, error * (1 + 8 * U))


def square_error_down(case: Case) -> float:
    """Lower bound on e^2 = ||L R' - M*||_F^2."""
    found = away(case)
    return max(norm_down(found.matrix) - found.error, 0.0) ** 2 * (1 - 4 * U)


def rank_floor(case: Case) -> Measurement:
    """e^2 / sum over i > r of s_i(L R')^2, at least 1 (Eckart and Young, 1936)."""
    r = truth_of(case)[0].shape[1]
    product = product_of(case)
    high = singular_values(product.matrix, product.error)[1]
    floor = float(np.sum(high[r:] ** 2)) * (1 + gamma(len(high) + 4))
    if not floor > 0:
        raise Malformed(f"the answer has no more than {r} singular values")
    square = square_error_down(case)
    figures = {"square error": square, "floor": floor, "rank": float(r)}
    return Measurement(square / floor * (1 - 2 * U), figures=figures)


def symmetric_lower_bound(case: Case) -> Measurement:
    """e_T^2 >= (k - r) (u / (1 + 3 eta T u))^2, u = s_k(X_0)^2.

    Let c bound sigma_1(M*) and s_1(X_0)^2, and eta c <= 1/3. Then s_1(X_t)^2 <= c for
    all t: ||X_{t+1}|| <= s_1 (1 - eta s_1^2) + eta sigma_1 s_1 <= sqrt(c), since that
    is increasing in s_1 up to sqrt(c). So eta (s_1^2 + s_k^2 / 2) <= 1/2 along the
    path, and with S = X'X, v'S^2v <= (s_1^2 + s_k^2) v'Sv - s_1^2 s_k^2 for unit v:
    s_k(X_{t+1}) >= s_k (1 - eta s_k^2). Hence x_t = eta s_k(X_t)^2 <= 1/3 obeys
    x_{t+1} >= x_t (1 - x_t)^2, an increasing map there, so from x_0 <= 0.2
    1/x_T <= 1/x_0 + 3 T because 1/(1-x)^2 <= 1 + 3x on [0, 0.2]. Eckart and Young give
    e_T^2 >= (k - r) s_k(X_T)^4.
    """
    at = sensing_of(case)
    if at.operator != "identity" or not at.psd:
        raise Malformed("the bound is about the identity and positive semidefinite M*")
    left, right = factors_of(case)
    truth = _semidefinite(case)
    k, r = left.shape[1], truth.shape[1]
    if not np.array_equal(left, right) or k <= r:
        raise Malformed(f"needs one factor of width above {r}, got width {k}")
    start = real(case.witness, "start", left.shape)
    eta, steps = (positive(case, name) for name in ("step_size", "steps"))
    high = singular_values(start)[1]
    top = max(spectral_norm(truth) ** 2, high[0] ** 2) * (1 + 8 * U)
    bound = (k - r) * _decayed(high[-1] ** 2, eta * steps) ** 2 * (1 + 32 * U)
    slack, pairs = _one_step(case, at.shape[0], k, eta)
    square = square_error_down(case)
    small = eta * high[-1] ** 2 <= 0.2
    return Measurement(
        square / bound * (1 - 2 * U) if bound > 0 else math.nan,
        figures={
            "square error": square,
            "bound": bound,
            "least one-step slack": slack,
            "pairs": float(pairs),
        },
        assumptions={
            "X_T is T steps from X_0": "unchecked",
            "step condition along the path": said(eta * top <= 1 / 3 and small),
            "one-step inequality at the recorded pairs": said(slack >= -PAIR),
            "M* is the measured matrix": said(_measured_is_truth(case)),
        },
    )


def said(good) -> str:
    """State of an assumption that was looked at."""
    return "checked" if good else "violated"


def positive(case: Case, name: str) -> float:
    """A positive finite parameter. Raises `Malformed`."""
    value = case.parameters.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"{name}: expected a number, got {value!r}")
    if not 0 < value < math.inf:
        raise Malformed(f"{name}: expected a positive number, got {value!r}")
    return float(value)


def _semidefinite(case: Case) -> np.ndarray:
    left, right = truth_of(case)
    if not np.array_equal(left, right):
        raise Malformed("the truth is not of the form X X'")
    return left


def _decayed(u: float, rate: float) -> float:
    return u / (1 + 3 * rate * u)  # increasing in u: an upper bound gives one


def _measured_is_truth(case: Case) -> bool:
    at = sensing_of(case)
    truth = factor_product(*truth_of(case)).matrix
    away = truth.reshape(-1) - at.y
    return frobenius_norm(away) <= PAIR * norm_down(at.y)


def _one_step(case: Case, n: int, k: int, eta: float) -> tuple[float, int]:
    """Least s_k(X+) - s_k(X) (1 - eta s_k(X)^2), rounding against it, over pairs.

    Each X+ must be X - eta (X X' - Y) X up to `PAIR`.
    """
    pairs = case.witness.get("pairs")
    if pairs is None or pairs.ndim != 4 or pairs.shape[1:] != (2, n, k):
        raise Malformed("pairs: expected shape (p, 2, n, k)")
    real(case.witness, "pairs", pairs.shape)
    target = sensing_of(case).y.reshape(n, n)
    slack = math.inf
    for before, after in pairs:
        step = before - eta * ((before @ before.T - target) @ before)
        if frobenius_norm(step - after) > PAIR * norm_down(before):
            raise Malformed("a recorded pair is no step of gradient descent")
        # x (1 - eta x^2) increases for 3 eta x^2 <= 1, which the path's condition has
        s = singular_values(before)[1][-1]
        least = singular_values(after)[0][-1] - s * (1 - eta * s * s)
        slack = min(slack, float(least))
    if not len(pairs):
        raise Malformed("no pair of iterates was recorded")
    return slack, len(pairs)


def observed_isometry(case: Case) -> Measurement:
    """||cA(D)||^2 / ||D||_F^2 at D = L R' - M*, from below."""
    at = sensing_of(case)
    found = away(case)
    seen = image(at._replace(y=np.zeros_like(at.y)), [found])
    low = norm_down(seen.residual[0]) - float(seen.error[0])
    high = (frobenius_norm(found.matrix) + found.error) * (1 + 4 * U)
    if not found.error <= RESOLVED * high:
        raise Malformed("the answer is the truth itself, but for rounding")
    share = at.scale * (max(low, 0.0) / high) ** 2 * (1 - gamma(16))
    return Measurement(
        share,
        figures={"error": high},
        assumptions={"the same for all matrices of low rank": "unchecked"},
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "optimize.rank_floor/1",
        "proof",
        ">=",
        "||L R' - M*||_F^2 >= promised * (sum over i > r of s_i(L R')^2), r the width "
        "of M*",
        "",
        rank_floor,
        (PLANTED,),
    ),
    Rule(
        "optimize.symmetric_lower_bound/1",
        "proof",
        ">=",
        "||X_T X_T' - M*||_F^2 >= promised * (k - r) (u / (1 + 3 eta T u))^2, u = "
        "s_k(X_0)^2, and s_k(X+) >= s_k(X) (1 - eta s_k(X)^2) at the recorded pairs",
        "",
        symmetric_lower_bound,
    ),
    Rule(
        "optimize.observed_isometry/1",
        "evidence",
        ">=",
        "||cA(D)||^2 / ||D||_F^2 >= promised at D = L R' - M*, which restricted "
        "isometry with 1 - delta = promised implies; then ||D||_F <= ||cA(L R') - y|| "
        "/ sqrt(promised)",
        "",
        observed_isometry,
        (PLANTED,),
    ),
)
