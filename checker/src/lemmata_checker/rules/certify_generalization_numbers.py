"""Exact and enclosed numbers behind generalization: counts, floors, tails.

Everything in a game is rational, so it is computed as `Fraction`; confidence bounds and
the inverse binary relative entropy are guessed and then shown in ball arithmetic.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np
from flint import arb, ctx

from ..errors import Malformed

BITS = 128
MOST_PATHS = 200_000


@cache
def occupancy(points: int, samples: int) -> tuple[Fraction, ...]:
    """P(K = k) for k = 0, ..., samples: distinct points among uniform draws.

    Sequences with k distinct points: N_k(n + 1) = k N_k(n) + (d - k + 1) N_{k-1}(n).
    """
    counts = [1]
    for _ in range(samples):
        longer = [*counts, 0]
        above = [0, *counts]
        counts = [
            k * stay + (points - k + 1) * new
            for k, (stay, new) in enumerate(zip(longer, above, strict=True))
        ]
    whole = points**samples
    return tuple(Fraction(count, whole) for count in counts)


def fair_tail(flips: int, least: int) -> Fraction:
    """P(Bin(flips, 1/2) >= least)."""
    count = sum(math.comb(flips, j) for j in range(max(least, 0), flips + 1))
    return Fraction(count, 2**flips)


@cache
def labelling_floor(points: int, samples: int, accuracy: Fraction) -> Fraction:
    """(1/2) sum_k P(K = k) P(Bin(d - k, 1/2) >= 2 eps d), compared as integers."""
    least = math.ceil(2 * accuracy * points)
    law = occupancy(points, samples)
    total = sum(
        (p * fair_tail(points - k, least) for k, p in enumerate(law) if p),
        Fraction(0),
    )
    return total / 2


def rank_law(order: int, rows: int, columns: int) -> list[Fraction]:
    """P(rank = r), r = 0, ..., rows, of a uniform matrix over a field of `order`.

    A new column lies in a span of dimension r with probability order^(r - rows).
    """
    law = [Fraction(1)] + [Fraction(0)] * rows
    for _ in range(columns):
        inside = [p * Fraction(order) ** (r - rows) for r, p in enumerate(law)]
        law = [
            inside[r] + (law[r - 1] - inside[r - 1] if r else 0)
            for r in range(rows + 1)
        ]
    return law


def corank_power(order: int, size: int) -> Fraction:
    """E[order^-k], k the corank of a uniform square matrix: P(loss 0) in world 0."""
    law = rank_law(order, size, size)
    return sum(
        (p * Fraction(order) ** (r - size) for r, p in enumerate(law)), Fraction(0)
    )


def simple_linear_floor(order: int, samples: int, dimension: int) -> Fraction:
    """(1/2)(E[q^-k] - P(k = 0) q^(n - d)): opposing masses of two worlds alone."""
    regular = rank_law(order, samples, samples)[samples]
    lost = regular * Fraction(order) ** (samples - dimension)
    return (corank_power(order, samples) - lost) / 2


@cache
def linear_floor(
    order: int, dimension: int, samples: int, levels: int, accuracy: Fraction
) -> Fraction:
    """Least failure, on average over the worlds, of any function of (X, y).

    World w draws a uniformly from the span of the first n_w coordinates, n_0 = n,
    n_1 = n + 1, ..., and n_levels = d. The algorithm answers a uniform solution a' from
    the smallest of these spans that has one. For X whose first n_w columns have rank
    r_w, and y first solvable at level l, the worlds w >= l give (y, a' = a) the mass
    q^-n_w and (y, a' != a) the mass q^-r_w - q^-n_w; other worlds give it none. There
    are q^r_l - q^r_(l-1) such y. Losses are 0 and 1 - 1/q: an estimate fails at one of
    the two if 1 - 1/q >= 2 eps.
    """
    q = Fraction(order)
    if 2 * accuracy > 1 - 1 / q:
        return Fraction(0)
    sizes = [samples + level for level in range(levels)] + [dimension]
    total = Fraction(0)
    for ranks, probability in _rank_paths(order, samples, sizes):
        below = Fraction(0)
        for level, rank in enumerate(ranks):
            count = q**rank - below
            below = q**rank
            right = sum((q**-n for n in sizes[level:]), Fraction(0))
            whole = sum((q**-r for r in ranks[level:]), Fraction(0))
            total += probability * count * min(right, whole - right)
    return total / (levels + 1)


def _rank_paths(
    order: int, samples: int, sizes: Sequence[int]
) -> list[tuple[tuple[int, ...], Fraction]]:
    """Ranks (r_0, ..., r_levels) of growing column blocks, with their probabilities."""
    first = rank_law(order, samples, sizes[0])
    paths = [((r,), p) for r, p in enumerate(first) if p]
    for before, after in pairwise(sizes):
        laws = [
            rank_law(order, samples - r, after - before) for r in range(samples + 1)
        ]
        paths = [
            ((*path, path[-1] + more), p * share)
            for path, p in paths
            for more, share in enumerate(laws[path[-1]])
            if share
        ]
        if len(paths) > MOST_PATHS:
            raise Malformed(f"levels: more than {MOST_PATHS} paths of ranks")
    return paths


def binomial_lower(successes: int, trials: int, alpha: float) -> float:
    """P with P(Bin(trials, p) >= successes) <= alpha, shown; nearly the largest.

    Clopper and Pearson (1934): below the true probability, but for a chance of alpha.
    """
    if successes <= 0 or trials <= 0:
        return 0.0
    guess = binomial_guess(successes, trials, alpha)
    for slack in _SLACK:
        low = guess * (1 - slack)
        tail = _incomplete(lambda p: p, low, successes, trials - successes + 1)
        if bool(tail <= arb(alpha)):
            return low
    return 0.0


def binomial_upper(successes: int, trials: int, alpha: float) -> float:
    """P with P(Bin(trials, p) <= successes) <= alpha, shown; nearly the least.

    Above the true probability, but for a chance of alpha.
    """
    if successes >= trials:
        return 1.0
    guess = binomial_upper_guess(successes, trials, alpha)
    for slack in _SLACK:
        high = min(guess * (1 + slack), 1.0)
        tail = _incomplete(lambda p: 1 - p, high, trials - successes, successes + 1)
        if bool(tail <= arb(alpha)):
            return high
    return 1.0


_SLACK = (1e-11, 1e-9, 1e-6, 1e-3)  # relative, around what is guessed in float64


def _incomplete(place: Callable[[arb], arb], p: float, a: int, b: int) -> arb:
    """The regularised incomplete beta function at `place(p)`, a ball."""
    return _at(lambda: place(arb(p)).beta_lower(arb(a), arb(b), regularized=True))


def _log_terms(trials: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    j = np.arange(first, last + 1)
    return j, logs[trials] - logs[j] - logs[trials - j]


def _bisected(trials: int, first: int, last: int, alpha: float, up: bool) -> float:
    """P at which the chance of first, ..., last successes is alpha, in floats."""
    j, choices = _log_terms(trials, first, last)
    low, high = 0.0, 1.0
    for _ in range(90):
        p = (low + high) / 2
        if not low < p < high:
            break
        terms = choices + j * math.log(p) + (trials - j) * math.log1p(-p)
        small = float(np.sum(np.exp(terms))) <= alpha
        low, high = (p, high) if small == up else (low, p)
    return (low + high) / 2


def binomial_guess(successes: int, trials: int, alpha: float) -> float:
    """`binomial_lower` in floating point, not shown."""
    if successes <= 0:
        return 0.0
    return _bisected(trials, successes, trials, alpha, True)


def binomial_upper_guess(successes: int, trials: int, alpha: float) -> float:
    """`binomial_upper` in floating point, not shown."""
    if successes >= trials:
        return 1.0
    return _bisected(trials, 0, successes, alpha, False)


def _at(compute: Callable[[], arb]) -> arb:
    before = ctx.prec
    try:
        ctx.prec = BITS
        return compute()
    finally:
        ctx.prec = before


def relative_entropy(first: float, second: float) -> arb:
    """kl(q || p) of Bernoulli laws, a ball; 0 <= q <= 1, 0 < p < 1."""

    def compute() -> arb:
        q, p = arb(first), arb(second)
        total = arb(0)
        if first > 0:
            total += q * (q / p).log()
        if first < 1:
            total += (1 - q) * ((1 - q) / (1 - p)).log()
        return total

    return _at(compute)


@cache
def inverse_entropy(first: float, bound: float) -> float:
    """P with kl(q || p) >= bound, shown, p >= q; nearly the least; 1 if there is none.

    So every p' with kl(q || p') <= bound, p' >= q, is at most the result.
    """
    if not 0 <= first <= 1 or not bound >= 0:
        raise Malformed("inverse entropy: expected 0 <= q <= 1 and a bound >= 0")
    if first == 1 or bound == math.inf:
        return 1.0

    def beyond(p: float) -> bool:
        return bool(relative_entropy(first, p) >= arb(bound))

    low, high = first, 1.0
    while True:
        middle = low + (high - low) / 2
        if not low < middle < high:
            return high
        low, high = (low, middle) if beyond(middle) else (middle, high)
