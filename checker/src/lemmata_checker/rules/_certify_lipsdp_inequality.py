"""The linear matrix inequality behind a global Lipschitz bound, formed and decided.

l_2: sum_k lambda_k (|y_k|^2 - |dz_k|^2) + s |dx|^2 - |df|^2 >= 0 for every d shows
|df| <= sqrt(s) |dx|. l_inf: with s (mu dx^2 + q t^2) + 2 t'df instead of the last two,
t_j = -sign(df_j) |dx|_inf shows sum_j |df_j| <= s (sum mu + sum q) / 2 |dx|_inf.

Source: Pauli et al., ICLR 2024 (arXiv 2401.14033); elimination and l_inf: derived here.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..rigor import exact_sum, float_up
from ._certify_lipsdp_balls import Ball, Squares
from ._certify_lipsdp_exact import Formed, exact_enclosure
from ._certify_lipsdp_forms import Forms
from ._certify_lipsdp_patterns import greatest_pattern
from ._certify_lipsdp_product import norm_product
from ._certify_lipsdp_question import (
    PATTERNS,
    PRODUCT,
    Array,
    Proof,
    Question,
    proof,
    question,
)
from ._certify_lipsdp_shown import Enclosed, gathered, least_scale

CHOLESKY, BALLS, NORMS, ALL_PATTERNS = "Cholesky", "balls", "norms", "patterns"
CLOSE = 1e-8  # a scale this near to what floats suggest needs no second engine


class Shown(NamedTuple):
    """An upper bound on the constant, how it was decided, and the largest order."""

    bound: float
    engine: str
    order: int


def shown(case: Case) -> Shown:
    """The bound that the value's multipliers show, recomputed once."""
    return case.shared(
        "certify.lipsdp.shown", lambda: bound_of(question(case), proof(case))
    )


def bound_of(asked: Question, given: Proof) -> Shown:
    """The least bound that these multipliers show."""
    if given.form == PRODUCT:
        return Shown(norm_product(asked).upper, NORMS, 0)
    if given.form == PATTERNS:
        return Shown(greatest_pattern(asked), ALL_PATTERNS, 0)
    total, engine, order = 1.0, CHOLESKY, 0
    for i, piece in enumerate(given.pieces):
        last = i == len(given.pieces) - 1
        found, size, how = _piece(asked, given, i, piece, last)
        total = math.nextafter(total * found, math.inf)
        engine, order = (how if how == BALLS else engine), max(order, size)
    return Shown(total, engine, order)


def _piece(
    asked: Question, given: Proof, i: int, piece: tuple[int, int], last: bool
) -> tuple[float, int, str]:
    tests = len(asked.selected) if asked.linf else 0
    chosen = asked.selected if last and not asked.plain else None
    made = Forms(
        asked.network,
        piece,
        given.form,
        given.multipliers[i],
        given.coupling[i],
        tests,
    )
    weights = np.zeros(made.size)
    inputs = asked.network.size(piece[0])
    matrix = enclosed(made, chosen, tests)
    if tests:
        assert given.weights is not None
        weights[:inputs], weights[-tests:] = (
            given.weights[:inputs],
            given.weights[inputs:],
        )
    else:
        weights[:inputs] = 1.0
    s, engine, order = least_scale(matrix, weights, close=CLOSE), CHOLESKY, made.size
    if s == math.inf:
        again = exact_enclosure(asked, given, i, piece, chosen, tests)
        if again is not None:
            s, engine, order = _by_balls(again, weights), BALLS, len(again.matrix.mid)
    if s == math.inf:
        s, engine, order = least_scale(matrix, weights), CHOLESKY, made.size
    if not tests:
        return math.nextafter(math.sqrt(s), math.inf), order, engine
    if s == math.inf:
        return math.inf, order, engine
    assert given.weights is not None
    half = exact_sum(given.weights) / 2
    return float_up(Fraction(s) * half), order, engine


def _by_balls(formed: Formed, weights: Array) -> float:
    """The least s shown; fewer coordinates stand for dx where it was reduced."""
    order = len(formed.matrix.mid)
    if order < len(weights):
        weights = np.where(np.arange(order) < formed.inputs, 1.0, 0.0)
    s = least_scale(formed.matrix, weights)
    if s == math.inf:
        return s
    return float_up(Fraction(s) / (1 - Fraction(formed.stretch)))


def enclosed(made: Forms, chosen: Array | None, tests: int) -> Enclosed:
    """N of the inequality: everything but the weights."""
    final = made.final
    if chosen is not None:
        picked = np.argmax(chosen, axis=1)
        final = Ball(final.mid[:, picked], final.rad[:, picked])
    if not tests:
        ones = np.ones(final.mid.shape[1])
        squares = [*made.squares, Squares(final, -ones, 0 * ones)]
        return gathered(made.size, squares, None)
    start = made.size - tests
    mid, rad = np.zeros((made.size, made.size)), np.zeros((made.size, made.size))
    mid[:, start:], rad[:, start:] = final.mid, final.rad
    mid[start:, :], rad[start:, :] = final.mid.T, final.rad.T
    if np.any(final.mid[start:]) or np.any(final.rad[start:]):
        raise Malformed("the outputs depend on their own tests")
    return gathered(made.size, made.squares, (mid, rad))
