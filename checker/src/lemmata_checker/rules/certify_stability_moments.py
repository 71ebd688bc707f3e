"""Second moments of linearised SGD, with bounds that hold in exact arithmetic.

In coordinates z with gradient rows J_i (K, r) of sample i, G the mean of J_i'J_i:

    C(M) = (GM + MG) / 2,  D(M) = (1 - c) G M G + (c / n) sum_i J_i'J_i M J_i'J_i,
    E[z'S z] after a step = z'(S - 2 eta C(S) + eta^2 D(S)) z.

S > 0 with mu C(S) - D(S) >= 0 proves stability for every eta <= 2 / mu (D(S) >= 0, so
C(S) >= 0). Both maps are self-adjoint and the step keeps the semidefinite cone, so the
largest eigenvalue of the step is its spectral radius and has a semidefinite
eigenmatrix; a Rayleigh quotient above one at any symmetric M proves growth.

The answer's coordinates have the Gram matrix K_0 = C C', the problem's gradients K.
Where they are the rows of the problem, nothing is between them. Where C is square and
invertible, K = C (I + F) C' with ||F|| <= phi = ||K - K_0|| / sigma_min(C)^2, and the
true recursion is z -> z - (eta/B) sum (I + F) J_i'J_i z. So E[z'S z] after a step is
S - eta (S (I+F) G + G (I+F) S) + eta^2 D((I+F) S (I+F)), and (I+F) S (I+F) <= S +
(2 phi + phi^2) ||S|| I under the positive map D. For M, take N M N with N =
(I+F)^-1/2: D's quotient is unchanged, C's and the norm grow by at most 1 / (1 - phi)
and its square.
"""

import math
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..definite import (
    frobenius_norm,
    greatest_eigenvalue,
    least_eigenvalue,
    least_singular_value,
    spectral_norm,
)
from ..intervals import Ball, add, exact, multiply, product, scale, subtract, total
from ..rigor import U
from .certify_stability_data import (
    Numbers,
    array,
    full_gram,
    gradients,
    numbers,
    transposed,
)

AGREEMENT = 1e-8  # of the largest inner product, where no proof is possible
_BITS = (40, 36, 32, 28, 24, 20, 16, 13, 10, 8, 6, 4, 2, 1, 0, -2, -5)


class Moments(NamedTuple):
    """Coordinates and the maps' constants.

    - `rows`: ball (nK, r), columns that are zero left out; `kept`: which are not.
    - `hessian`: G, a ball (r, r).
    - `phi`: how far, relatively, the coordinates' Gram matrix is from the true one.
    - `proved`: whether phi covers it; otherwise they agree to `away` numerically.
    """

    rows: Ball
    kept: np.ndarray
    hessian: Ball
    numbers: Numbers
    phi: float
    proved: bool
    away: float


def moments(case: Case) -> Moments:
    """Coordinates of the answer, compared with the problem. Once per certificate."""
    return case.shared("sgd stability: moments", lambda: _moments(case))


def _moments(case: Case) -> Moments:
    given = array(case.value, "coordinates", 3)
    found, count = gradients(case), numbers(case)
    if given.shape[:2] != (found.samples, found.outputs):
        raise Malformed(f"coordinates: {given.shape} for {found.samples} samples")
    flat = given.reshape(-1, given.shape[2])
    kept = np.any(flat != 0, axis=0)
    if not np.any(kept):
        raise Malformed("coordinates: expected an entry that is not zero")
    rows, phi, proved, away = _compared(case, flat, kept)
    over = product(transposed(rows), rows)
    hessian = multiply(over, _inverse(found.samples))
    return Moments(rows, kept, hessian, count, phi, proved, away)


def _inverse(n: int) -> Ball:
    return Ball(np.asarray(1 / n), np.asarray(U / n))


def _compared(
    case: Case, flat: np.ndarray, kept: np.ndarray
) -> tuple[Ball, float, bool, float]:
    """(rows as a ball, phi, whether that is a proof, agreement of Gram matrices)."""
    own = gradients(case).rows
    if own is not None and own.mid.shape == flat.shape:
        width = own.radius + 16 * U * np.abs(own.mid)
        if np.all(np.abs(flat - own.mid) <= width):
            # Both lie in one ball around `flat`.
            radius = (
                None if own.rad is None and np.array_equal(flat, own.mid) else width
            )
            rows = Ball(flat, None if radius is None else 2 * radius)
            short = Ball(
                rows.mid[:, kept], None if rows.rad is None else rows.rad[:, kept]
            )
            return short, 0.0, True, 0.0
    inside = exact(flat[:, kept])
    gram = full_gram(case)
    if gram is None:
        raise Malformed("coordinates: too many rows to compare inner products")
    apart = subtract(gram, product(inside, transposed(inside)))
    distance = frobenius_norm(apart.magnitude())
    away = distance / float(np.max(np.abs(gram.mid)))
    if not away <= AGREEMENT:
        raise Malformed(
            f"coordinates: inner products differ from the gradients' by {away:.1e}"
        )
    if inside.mid.shape[0] == inside.mid.shape[1]:
        least = least_singular_value(inside.mid)
        phi = distance / least**2 * (1 + 8 * U) if least > 0 else math.inf
        if phi < 0.1:
            return inside, phi, True, away
    return inside, 0.0, False, away


def mean(found: Moments, m: Ball) -> Ball:
    """C(M), M symmetric."""
    half = product(found.hessian, m)
    return scale(add(half, transposed(half)), 0.5)


def noise(found: Moments, m: Ball) -> Ball:
    """D(M), M symmetric."""
    count, rows = found.numbers, found.rows
    n, outputs = count.samples, count.outputs
    inside = _blocks(found, m)  # J_i M J_i', (n, K, K)
    shape = (n, outputs, rows.mid.shape[1])
    blocks = rows.reshape(shape)
    terms = []
    for k in range(outputs):  # row k of J_i M J_i' times J_i
        factor = Ball(inside.mid[:, k, :, None], inside.radius[:, k, :, None])
        terms.append(total(multiply(factor, blocks), (1,)))
    spread = Ball(
        np.stack([t.mid for t in terms], 1).reshape(rows.mid.shape),
        np.stack([t.radius for t in terms], 1).reshape(rows.mid.shape),
    )
    over = product(transposed(rows), spread)
    outer = product(product(found.hessian, m), found.hessian)
    single = multiply(multiply(over, _inverse(n)), count.share)
    return add(multiply(outer, count.rest), single)


def _blocks(found: Moments, m: Ball) -> Ball:
    """J_i M J_i' for every sample, (n, K, K)."""
    count, rows = found.numbers, found.rows
    n, outputs, r = count.samples, count.outputs, rows.mid.shape[1]
    image = product(rows, m).reshape((n, outputs, r))
    blocks = rows.reshape((n, outputs, r))
    columns = []
    for k in range(outputs):
        other = Ball(blocks.mid[:, k, None], blocks.radius[:, k, None])
        columns.append(total(multiply(image, other), (2,)))
    mid = np.stack([c.mid for c in columns], 2)
    return Ball(mid, np.stack([c.radius for c in columns], 2))


def symmetric(case: Case, name: str, found: Moments) -> np.ndarray:
    """A symmetric matrix of the value, in the coordinates that count."""
    matrix = array(case.value, name, 2)
    size = len(found.kept)
    if matrix.shape != (size, size) or not np.array_equal(matrix, matrix.T):
        raise Malformed(f"{name}: expected a symmetric matrix ({size}, {size})")
    return np.ascontiguousarray(matrix[np.ix_(found.kept, found.kept)])


def stable_rate(case: Case) -> float:
    """A learning rate up to which S proves stability; 0 where it proves nothing."""
    return case.shared("sgd stability: lower", lambda: _stable_rate(case))


def _stable_rate(case: Case) -> float:
    found = moments(case)
    s = symmetric(case, "lyapunov", found)
    if not least_eigenvalue(s) > 0:
        return 0.0
    x, y = mean(found, exact(s)), noise(found, exact(s))
    slack = 0.0
    if found.phi > 0:
        size = spectral_norm(s)
        grown = (2 * found.phi + found.phi**2) * size * (1 + 8 * U)
        identity = noise(found, exact(np.eye(len(s))))
        y = add(y, multiply(identity, exact(np.asarray(grown))))
        slack = found.phi
    top = _largest_ratio(y, x, found.hessian, s, slack)
    return math.nextafter(2 / top, 0.0) if 0 < top < math.inf else 0.0


def _largest_ratio(
    y: Ball, x: Ball, hessian: Ball, s: np.ndarray, slack: float
) -> float:
    """The mu with mu X - Y >= 0, X off by `slack` in the middle of C as well.

    Scaled by powers of two so that X has a diagonal near one: rounding of weak
    directions then counts by its own size.
    """
    diagonal = np.diagonal(x.mid)
    if not np.all(diagonal > 0):
        return math.inf
    power = np.ldexp(1.0, -np.round(np.log2(diagonal) / 2).astype(int))
    near = x.mid * power[:, None] * power
    over = y.mid * power[:, None] * power
    off_x = frobenius_norm(x.radius * power[:, None] * power)
    off_y = frobenius_norm(y.radius * power[:, None] * power)
    if slack:
        left = frobenius_norm(hessian.magnitude() * power[:, None])
        right = frobenius_norm(np.abs(s) * power)
        off_x += slack * left * right * (1 + 8 * U)
    try:
        inverse = np.linalg.inv(np.linalg.cholesky(near))
        guess = float(np.linalg.eigvalsh(inverse @ over @ inverse.T)[-1])
    except np.linalg.LinAlgError:
        return math.inf
    size = frobenius_norm(near), frobenius_norm(over)
    for bits in _BITS:
        mu = guess * (1 + 2.0**-bits)
        off = mu * off_x + off_y + 3 * U * (mu * size[0] + size[1])
        if least_eigenvalue(mu * near - over, off * (1 + 8 * U)) >= 0:
            return mu
    return math.inf


class Growth(NamedTuple):
    """What M shows: the learning rate above which moments grow, and the factor."""

    rate: float
    factor: float


def growth(case: Case) -> Growth:
    """Rayleigh quotients of the pencil and of the step at M."""
    return case.shared("sgd stability: upper", lambda: _growth(case))


def _growth(case: Case) -> Growth:
    found = moments(case)
    count = found.numbers
    m = symmetric(case, "growth", found)
    turned = product(found.hessian, exact(m))  # G M
    both = total(multiply(turned, transposed(turned)), (0, 1))  # tr(G M G M)
    each = _blocks(found, exact(m))
    single = multiply(total(multiply(each, each), (0, 1, 2)), _inverse(count.samples))
    top = add(multiply(both, count.rest), multiply(single, count.share))
    below = total(multiply(exact(m), turned), (0, 1))  # tr(M G M)
    norm = total(multiply(exact(m), exact(m)), (0, 1))
    largest = float(below.upper()) / (1 - found.phi) * (1 + 4 * U)
    least = float(top.lower())
    if not (least > 0 and largest > 0):
        return Growth(math.inf, 0.0)
    rate = math.nextafter(2 * largest / least * (1 + 2 * U), math.inf)
    eta = count.learning_rate
    gain = eta * eta * least * (1 - 4 * U) - 2 * eta * largest * (1 + 4 * U)
    square = float(norm.upper()) / (1 - found.phi) ** 2 * (1 + 8 * U)
    factor = 1 + gain / square * (1 - 4 * U) if gain > 0 else -math.inf
    return Growth(rate, math.nextafter(factor, 0.0))


def top_eigenvalue(gram: Ball) -> tuple[float, float]:
    """Bounds on the largest eigenvalue of a Gram matrix."""
    error = frobenius_norm(gram.radius)
    upper = greatest_eigenvalue(gram.mid, error)
    vector = np.linalg.eigh((gram.mid + gram.mid.T) / 2)[1][:, -1]
    v = exact(vector)
    quotient = total(multiply(v, product(gram, v)), (0,))
    square = total(multiply(v, v), (0,))
    return float(quotient.lower()) / float(square.upper()) * (1 - 2 * U), upper
