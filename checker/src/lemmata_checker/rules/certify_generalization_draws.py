"""Rounds of a generalization game, drawn bit for bit, and arithmetic in prime fields.

Round r of the stream with key K uses its own block of words of Philox 4x64-10 (NumPy's
`Philox(key=K).random_raw()`): so a record need not carry data, only the key. A number
below m is a word modulo m: off by at most m / 2^64 in probability.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..case import Malformed

FRESH = 2**128  # counters from here on serve fresh data


class Rounds(NamedTuple):
    """What happened in some rounds.

    - `world`: (R,), which world; `place`: (R,), which of `losses` was the true one.
    - `points`: (R, n) or (R, n, d); `labels`: (R, n); `hypothesis`: (R, d) what the
      algorithm answered, as labels of all points or as coefficients.
    - `truth`: as `hypothesis`, what is right; `source`: (R,) the distribution.
    """

    world: np.ndarray
    place: np.ndarray
    losses: tuple[Fraction, ...]
    points: np.ndarray
    labels: np.ndarray
    hypothesis: np.ndarray
    truth: np.ndarray
    source: np.ndarray


def words(key: int, first: int, count: int) -> np.ndarray:
    """`count` words (a multiple of four) from counter `first` + 1 on, uint64."""
    return np.random.Philox(key=key, counter=first).random_raw(count)


def blocks(key: int, start: int, stop: int, each: int, offset: int = 0) -> np.ndarray:
    """The words of rounds `start` to `stop`, shape (stop - start, each)."""
    counters = -(-each // 4)
    drawn = words(key, offset + start * counters, 4 * counters * (stop - start))
    return drawn.reshape(stop - start, 4 * counters)[:, :each]


def bits(drawn: np.ndarray, count: int) -> np.ndarray:
    """The first `count` bits of each row, lowest first, uint8."""
    octets = drawn.astype("<u8").view(np.uint8).reshape(len(drawn), -1)
    return np.unpackbits(octets, axis=1, bitorder="little")[:, :count]


def below(drawn: np.ndarray, limit: int) -> np.ndarray:
    """Numbers in [0, limit), int64."""
    return (drawn % np.uint64(limit)).astype(np.int64)


def unit_of(drawn: np.ndarray) -> np.ndarray:
    """Uniform in [0, 1) on a grid of 2^-53."""
    return (drawn >> np.uint64(11)).astype(np.float64) * 2.0**-53


def distinct(points: np.ndarray) -> np.ndarray:
    """Number of distinct points in each row, (R,)."""
    ordered = np.sort(points, axis=1)
    return 1 + np.sum(ordered[:, 1:] != ordered[:, :-1], axis=1)


def eliminate(matrix: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Reduced row echelon forms modulo a prime, leftmost pivots.

    **Returns:** (R, n, d) and (R, n): the column of each row's pivot, -1 for none.
    """
    work = np.array(matrix, dtype=np.int64) % order
    count, n, d = work.shape
    inverse = np.array([0] + [pow(v, -1, order) for v in range(1, order)])
    pivots, rank = np.full((count, n), -1), np.zeros(count, dtype=np.int64)
    every = np.arange(count)
    for column in range(d):
        open_ = np.arange(n)[None] >= rank[:, None]
        nonzero = (work[:, :, column] != 0) & open_
        found = np.flatnonzero(nonzero.any(axis=1))
        if not found.size:
            continue
        source, target = np.argmax(nonzero[found], axis=1), rank[found]
        row = work[found, source].copy()
        work[found, source] = work[found, target]
        row = row * inverse[row[:, column]][:, None] % order
        work[found, target] = 0
        factor = work[found, :, column]
        work[found] = (work[found] - factor[:, :, None] * row[:, None]) % order
        work[found, target] = row
        pivots[found, target] = column
        rank[found] += 1
    del every
    return work, pivots


def solve(
    inputs: np.ndarray,
    labels: np.ndarray,
    free: np.ndarray,
    sizes: list[int],
    order: int,
) -> np.ndarray:
    """Solutions a of X a = y in the smallest span of first coordinates that has one.

    Coordinates without a pivot are taken from `free` within the span, 0 beyond: a
    uniform solution, independent of the truth. All systems must be solvable.
    """
    d = inputs.shape[2]
    echelon, pivots = eliminate(np.concatenate([inputs, labels[..., None]], 2), order)
    right = echelon[:, :, d]
    # y is in the span of the first s columns iff no pivot from s on has a part of it.
    needed = np.max(np.where((right != 0) & (pivots >= 0), pivots + 1, 0), axis=1)
    spans = np.asarray(sizes)
    size = spans[np.argmax(spans[None] >= needed[:, None], axis=1)]
    answer = np.where(np.arange(d)[None] < size[:, None], free, 0)
    has = pivots >= 0
    rows, which = np.nonzero(has)
    answer[rows, pivots[rows, which]] = 0
    value = (right - np.einsum("rnd,rd->rn", echelon[:, :, :d], answer)) % order
    inside = pivots[rows, which] < size[rows]
    answer[rows[inside], pivots[rows[inside], which[inside]]] = value[
        rows[inside], which[inside]
    ]
    return answer


def inverse_matrix(matrix: np.ndarray, order: int) -> np.ndarray:
    """The inverse modulo a prime. Raises `Malformed` if there is none."""
    d = len(matrix)
    both = np.concatenate([matrix, np.eye(d, dtype=np.int64)], axis=1)
    echelon, pivots = eliminate(both[None], order)
    if not np.array_equal(pivots[0], np.arange(d)):
        raise Malformed("basis: expected a matrix that is invertible modulo the order")
    return echelon[0, :, d:]
