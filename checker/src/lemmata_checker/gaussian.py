"""Seeded normal numbers whose every bit is defined, whoever draws them.

Entry e of the stream with key K is TABLE[d], d the e-th group of 16 bits, lowest
first, of the 64-bit words of Philox 4x64-10 with key K and counters 1, 2, 3, ... (four
words each), the words of NumPy's `Philox(key=K).random_raw()`.

TABLE[d] is the normal quantile at (d + 1/2) / 65536, rounded to the nearest multiple of
2^-26: exact in float64, antisymmetric, so of mean 0, with variance and kurtosis below
those of the normal law. No quantile lies within 2^-40 of a tie, so every approximation
of an accuracy of 1e-12 yields the same table.

Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.
"""

from functools import cache
from statistics import NormalDist

import numpy as np

BITS = 16
LANES = 16  # entries that one counter yields: 4 words of 64 bits
GRID = 2.0**-26


@cache
def table() -> np.ndarray:
    """The 65536 values, float64, increasing."""
    half = 2 ** (BITS - 1)
    quantile = NormalDist().inv_cdf
    upper = np.array([quantile((half + d + 0.5) / (2 * half)) for d in range(half)])
    upper = np.rint(upper / GRID) * GRID
    values = np.concatenate([-upper[::-1], upper])
    values.setflags(write=False)
    return values


@cache
def variance() -> float:
    """Mean square of the table, rounded to nearest; the exact mean is 0."""
    return float(np.mean(table() ** 2))


def counters_per_row(entries: int) -> int:
    """Counters that a row of so many entries takes: rows start at a fresh one."""
    return -(-entries // LANES)


def rows(key: int, start: int, stop: int, entries: int) -> np.ndarray:
    """Rows `start` to `stop` of the seeded matrix, shape (stop - start, entries)."""
    each, count = counters_per_row(entries), stop - start
    generator = np.random.Philox(key=key, counter=start * each)
    words = generator.random_raw(4 * each * count).astype("<u8", copy=False)
    digits = words.view("<u2").reshape(count, LANES * each)[:, :entries]
    return table()[digits]
