"""Rules of matrix sensing that need an answer and nothing else."""

import math

import numpy as np

from .. import gaussian
from ..case import Case, Malformed, Measurement, Rule
from ..definite import frobenius_norm, least_eigenvalue
from ..rigor import TINY, U, gamma
from .optimize_sensing_operator import (
    KINDS,
    Image,
    Product,
    Sensing,
    blocks,
    factor_product,
    factors_of,
    image,
    norm_down,
    sensing_of,
)

GRAM_SIDE = 400  # entries of the matrix up to which sigma_min(A) is bounded


def product_of(case: Case) -> Product:
    """L R' of the value."""
    return case.shared("product", lambda: factor_product(*factors_of(case)))


def residual_of(case: Case) -> Image:
    """A(L R') - y over the used rows."""
    at = sensing_of(case)
    return case.shared("residual", lambda: image(at, [product_of(case)]))


def residual_upper(case: Case) -> float:
    """Upper bound on ||A(L R') - y||."""
    found = residual_of(case)
    return (frobenius_norm(found.residual[0]) + float(found.error[0])) * (1 + 4 * U)


def measurement_residual(case: Case) -> Measurement:
    """||A(L R') - y|| / ||y|| over the rows that are not held out."""
    at = sensing_of(case)
    size = norm_down(at.y[: at.used])
    if size == 0:
        raise Malformed("measurements: expected a number that is not zero")
    found = residual_of(case)
    return Measurement(
        residual_upper(case) / size * (1 + 4 * U),
        figures={"rounding": float(found.error[0]) / size, "rows": float(at.used)},
    )


def recovery(case: Case) -> Measurement:
    """||A(L R') - y|| / sigma_min(A) bounds the distance to every M with A(M) = y."""
    at = sensing_of(case)
    sigma = case.shared("sigma_min", lambda: least_gain(at))
    if not sigma > 0:
        raise Malformed("the measurements are not shown to determine the matrix")
    return Measurement(
        residual_upper(case) / sigma * (1 + 4 * U),
        figures={"sigma_min": sigma},
        assumptions={"injective on all matrices": "checked"},
    )


def least_gain(at: Sensing) -> float:
    """Lower bound on ||A(M)|| / ||M|| over all M; 0 where none is shown."""
    n1, n2 = at.shape
    entries = n1 * n2
    if at.operator == "identity":
        return 1.0
    if at.operator in ("mask", "fourier"):  # pairs are distinct: orthogonal rows
        complete = at.used == entries * (2 if at.operator == "fourier" else 1)
        gain = 1.0 if at.operator == "mask" else math.sqrt(entries) * (1 - 4 * U)
        return gain if complete else 0.0
    if at.used < entries or entries > GRAM_SIDE:
        return 0.0
    gram, square, rows = np.zeros((entries, entries)), 0.0, 8
    for _, block in blocks(at, 0, at.used):
        flat = block.reshape(len(block), -1)
        gram += flat.T @ flat
        square += frobenius_norm(flat) ** 2 * (1 + 4 * U)
        rows += len(block) + 1
    # a rank-one matrix is rounded once: twice in a product
    error = gamma(rows + 4) * square * (1 + gamma(rows)) + rows * TINY
    least = least_eigenvalue(gram, error)
    return math.sqrt(least) * (1 - 4 * U) if least > 0 else 0.0


def held_out_error(case: Case) -> Measurement:
    """Upper bound on ||L R' - M*||_F that fails with probability delta at most.

    z_i = <A_i, L R' - M*> over m fresh rows: independent entries of mean 0, variance v
    and kurtosis at most 3 give E z^2 = v ||D||^2 and E z^4 <= 3 v^2 ||D||^4. For sums
    S of independent squares, P(S <= E S - t) <= exp(-t^2 / (2 sum E z^4)) (Maurer,
    J. Inequal. Pure Appl. Math. 4(1), 2003), so ||D||^2 <= S / (m v (1 - tau)) with
    tau = sqrt(6 log(1/delta) / m) but for a share delta of all draws.
    """
    at = sensing_of(case)
    fresh = at.rows - at.used
    if not fresh:
        raise Malformed("the problem holds out no measurement")
    delta = case.parameters.get("delta")
    if isinstance(delta, bool) or not isinstance(delta, float) or not 0 < delta < 1:
        raise Malformed(f"delta: expected a number in (0, 1), got {delta!r}")
    tau = math.sqrt(6 * math.log(1 / delta) / fresh) * (1 + 1e-12)
    if not tau < 1:
        raise Malformed(f"{fresh} held-out rows are too few for delta = {delta:g}")
    found = image(at, [product_of(case)], held=True)
    size = (frobenius_norm(found.residual[0]) + float(found.error[0])) * (1 + 4 * U)
    spread = gaussian.variance() * (1 - 1e-10) * fresh * (1 - tau)
    return Measurement(
        size / math.sqrt(spread) * (1 + 1e-12),
        detail=f"fails for at most a share {delta:g} of all draws of {fresh} rows",
        figures={"held-out rows": float(fresh), "tau": tau},
        assumptions={
            "the answer was found without the held-out rows": "unchecked",
            "Philox words are independent and uniform": "unchecked",
            "the measurements are free of noise": "unchecked",
        },
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "optimize.measurement_residual/1",
        "proof",
        "<=",
        "||A(L R') - y|| / ||y|| <= promised, over the rows that are not held out",
        "",
        measurement_residual,
        KINDS,
    ),
    Rule(
        "optimize.recovery/1",
        "proof",
        "<=",
        "||L R' - M||_F <= promised for every matrix M with A(M) = y",
        "Frobenius norm",
        recovery,
        KINDS,
    ),
    Rule(
        "optimize.held_out_error/1",
        "confidence",
        "<=",
        "||L R' - M*||_F <= promised, M* the matrix that was measured, with "
        "probability at least 1 - delta over the held-out rows",
        "Frobenius norm",
        held_out_error,
        KINDS,
    ),
)
