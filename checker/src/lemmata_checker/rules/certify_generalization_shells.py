"""A union over norms: classes {norm <= 2^j}, j any integer, each with its delta."""

import math

from ..errors import Malformed

LARGEST = 2.0**1000


def shell_of(norm: float) -> int:
    """The least j with 2^j >= norm. Raises `Malformed` beyond 2^1000, and for NaN."""
    if not 0 <= norm <= LARGEST:
        raise Malformed(f"norm over margin: expected at most 2^1000, got {norm}")
    if norm == 0:
        return -1000
    mantissa, exponent = math.frexp(norm)
    return exponent - 1 if mantissa == 0.5 else exponent


def shell_delta(delta: float, shell: int) -> float:
    """Delta / (1.5 (|j| + 1)(|j| + 2)): sums to delta over all integers j."""
    size = abs(shell)
    return delta / (1.5 * (size + 1) * (size + 2))
