"""Bounds on the risk as formulas of a few numbers, rounded up."""

import math
from fractions import Fraction

from ..rigor import U
from .certify_generalization_numbers import inverse_entropy

ROUNDED = 1 + 64 * U  # covers a dozen float operations and two logarithms


def occam(loss: float, log_size: float, samples: int, delta: float) -> float:
    """L_S + sqrt((ln|H| + ln(1/delta)) / (2n)) (Hoeffding, a union over the class)."""
    return (
        loss + math.sqrt((log_size + math.log(1 / delta)) / (2 * samples))
    ) * ROUNDED


def vapnik(loss: float, dimension: float, samples: int, delta: float) -> float:
    """L_S + sqrt((8 ln growth(2n) + 8 ln(4/delta)) / n).

    Sauer: ln growth(2n) <= v ln(2en/v) if 2n >= v; it is at most 2n ln 2 anyway.
    """
    growth = 2 * samples * math.log(2)
    if 2 * samples >= dimension > 0:
        growth = min(growth, dimension * math.log(2 * math.e * samples / dimension))
    inside = (8 * growth + 8 * math.log(4 / delta)) / samples
    return (loss + math.sqrt(inside)) * ROUNDED


def seeger(loss: float, divergence: float, samples: int, delta: float) -> float:
    """kl^-1(L_S || (KL + ln(2 sqrt(n)/delta)) / n) (Seeger 2002, Maurer 2004)."""
    allowed = divergence + math.log(2 * math.sqrt(samples) / delta)
    return inverse_entropy(loss, allowed / samples * ROUNDED)


def compression(
    errors: int, size: int, samples: int, delta: float, order: bool = False
) -> float:
    """kl^-1 at the error rate outside k kept samples, by a union over k and the subset.

    Littlestone and Warmuth (1986): ln C(n, k) + ln(n + 1) subsets share delta; where
    the order of the kept samples matters, also ln k!. A test on n - k samples then
    bounds the loss by Chernoff: P(kl(r || L) >= c, r <= L) <= exp(-(n - k) c).
    """
    rest = samples - size
    if rest < 1:
        return 1.0
    choices = math.log(math.comb(samples, size)) + math.log(samples + 1)
    if order:
        choices += math.lgamma(size + 1)
    allowed = (choices + math.log(1 / delta)) / rest * ROUNDED
    return inverse_entropy(min(errors, rest) / rest, allowed)


def expected_walk(steps: int) -> Fraction:
    """E|sigma_1 + ... + sigma_c|, fair signs: c C(c - 1, (c - 1) // 2) / 2^(c - 1)."""
    if steps == 0:
        return Fraction(0)
    count = steps * math.comb(steps - 1, (steps - 1) // 2)
    return Fraction(count, 2 ** (steps - 1))
