"""Fourier coefficients of a matrix, with a bound on the rounding."""

import math
from functools import lru_cache

import flint
import numpy as np

from ..case import Malformed
from ..rigor import U

LARGEST = 4096  # side of a matrix whose transform is bounded here


def fourier(shape, pairs, y, stack, gradient: bool):
    """C = W1 P W2' with W_kp = exp(-2 pi i k p / n), in real arithmetic.

    Frobenius norms of real and imaginary parts of W1, W2 combine to n1 n2 at most; W
    is rounded by 2u an entry.
    """
    (c1, s1), (c2, s2) = (_circle(n) for n in shape)
    rows, columns = pairs
    half, (n1, n2) = len(rows), shape
    first, second = c1 @ stack, s1 @ stack
    real_part = first @ c2.T - second @ s2.T
    imaginary = first @ s2.T + second @ c2.T
    value = np.concatenate(
        [real_part[:, rows, columns], imaginary[:, rows, columns]], axis=1
    )
    slope = None
    if gradient:
        r = value - y
        grid = np.zeros((2, *stack.shape))
        grid[0][:, rows, columns] = r[:, :half]
        grid[1][:, rows, columns] = r[:, half:]
        slope = c1.T @ (grid[0] @ c2 + grid[1] @ s2)
        slope += s1.T @ (grid[1] @ c2 - grid[0] @ s2)
    depth = 2 * (n1 + n2) + 16
    return value, slope, depth, depth, 2.0 * n1 * n2, math.sqrt(n1 * n2) * (1 + 4 * U)


@lru_cache(maxsize=4)
def _circle(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and minus sine of 2 pi k p / n, (n, n), each within 2u."""
    if n > LARGEST:
        raise Malformed(f"a Fourier transform of side {n} > {LARGEST}")
    with flint.ctx.workprec(100):
        powers = [flint.acb(flint.arb(-2 * j) / n).exp_pi_i() for j in range(n)]
        cosine = np.array([float(z.real.mid()) for z in powers])
        sine = np.array([float(z.imag.mid()) for z in powers])
    k = np.arange(n)
    place = np.outer(k, k) % n
    return cosine[place], sine[place]
