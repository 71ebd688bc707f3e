"""A union over norms: classes {norm <= 2^j}, j any integer, each with its delta."""

import math


def shell_of(norm: float) -> int:
    """The least j with 2^j >= norm."""
    if not 0 < norm < math.inf:
        return 1000 if norm > 0 else -1000
    mantissa, exponent = math.frexp(norm)
    return exponent - 1 if mantissa == 0.5 else exponent


def shell_delta(delta: float, shell: int) -> float:
    """Delta / (1.5 (|j| + 1)(|j| + 2)): sums to delta over all integers j."""
    size = abs(shell)
    return delta / (1.5 * (size + 1) * (size + 2))
