"""Arrays of intervals as balls (midpoint, radius), rounded outwards.

A `Ball` holds every real array that differs from `mid` by at most `rad`, entry by
entry. Operations use +, -, *, / and square roots only, whose relative error is at most
u; radii are computed with at most eight roundings and then enlarged by 2^-50 = 8u.
What overflows becomes NaN or infinite, and stays so: no claim holds of it.

Sources: Rump, Acta Numerica 2010, sections 9 and 10 (midpoint-radius arithmetic,
matrix products); Higham 2002, chapter 3 (gamma).
"""

from typing import NamedTuple

import numpy as np

from .rigor import TINY, U, gamma

ENLARGE = 1 + 2.0**-50


class Ball(NamedTuple):
    """All arrays within `rad` of `mid`, entrywise; `rad` None stands for zero."""

    mid: np.ndarray
    rad: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the arrays in the ball."""
        return self.mid.shape

    @property
    def radius(self) -> np.ndarray:
        """The radius as an array."""
        return np.zeros(self.mid.shape) if self.rad is None else self.rad

    def reshape(self, shape: tuple[int, ...]) -> "Ball":
        """The same entries in another shape."""
        rad = None if self.rad is None else self.rad.reshape(shape)
        return Ball(self.mid.reshape(shape), rad)

    def flat(self, index: np.ndarray | slice) -> "Ball":
        """Entries of the flattened ball along its first axis: `mid[index]`."""
        return Ball(self.mid[index], None if self.rad is None else self.rad[index])

    def upper(self) -> np.ndarray:
        """An upper bound, entrywise."""
        return self.mid if self.rad is None else np.nextafter(self.mid + self.rad, INF)

    def lower(self) -> np.ndarray:
        """A lower bound, entrywise."""
        return self.mid if self.rad is None else np.nextafter(self.mid - self.rad, -INF)

    def magnitude(self) -> np.ndarray:
        """An upper bound on the absolute value, entrywise."""
        size = np.abs(self.mid)
        return size if self.rad is None else np.nextafter(size + self.rad, INF)

    def is_zero(self) -> np.ndarray:
        """Where the ball holds zero alone."""
        zero = self.mid == 0
        return zero if self.rad is None else zero & (self.rad == 0)


INF = np.inf


def exact(array) -> Ball:
    """The ball of one array."""
    return Ball(np.asarray(array, dtype=np.float64))


def between(lower: np.ndarray, upper: np.ndarray) -> Ball:
    """A ball around [lower, upper]; empty or NaN bounds give NaN."""
    mid = lower + 0.5 * (upper - lower)
    rad = np.maximum(np.abs(upper - mid), np.abs(mid - lower))
    rad = np.where(upper < lower, np.nan, rad * ENLARGE + TINY)
    return Ball(mid, np.where(upper == lower, 0.0, rad))


def negative(a: Ball) -> Ball:
    """-a."""
    return Ball(-a.mid, a.rad)


def add(a: Ball, b: Ball) -> Ball:
    """The sum a + b, arrays that broadcast. |fl(a + b) - (a + b)| <= u |fl(a + b)|."""
    mid = a.mid + b.mid
    rad = U * np.abs(mid)
    for part in (a.rad, b.rad):
        rad = rad if part is None else rad + part
    return Ball(mid, rad * ENLARGE)


def subtract(a: Ball, b: Ball) -> Ball:
    """The difference a - b."""
    return add(a, negative(b))


def multiply(a: Ball, b: Ball) -> Ball:
    """The product a b, arrays that broadcast; with an exact zero, an exact zero.

    |ab - mid| <= |mid a| rad b + rad a (|mid b| + rad b) + u |mid| + underflow.
    """
    mid = a.mid * b.mid
    rad = U * np.abs(mid) + TINY
    if b.rad is not None:
        rad = rad + np.abs(a.mid) * b.rad
    if a.rad is not None:
        rad = rad + a.rad * (np.abs(b.mid) + b.radius)
    zero = (a.is_zero() | b.is_zero()) & (mid == 0)
    return Ball(mid, np.where(zero, 0.0, rad * ENLARGE))


def scale(a: Ball, factor: float) -> Ball:
    """The ball times a power of two, which rounds nothing but underflow."""
    rad = None if a.rad is None else np.abs(factor) * a.rad * ENLARGE + TINY
    return Ball(a.mid * factor, rad)


def reciprocal(a: Ball) -> Ball:
    """1 / a; NaN where the ball holds zero."""
    lower, upper = a.lower(), a.upper()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        low, high = 1.0 / upper, 1.0 / lower
    good = (lower > 0) | (upper < 0)
    low = np.where(good, np.nextafter(low, -INF), np.nan)
    return between(low, np.where(good, np.nextafter(high, INF), np.nan))


def square_root(a: Ball) -> Ball:
    """sqrt(a); NaN where the ball leaves the positive numbers."""
    lower, upper = a.lower(), a.upper()
    with np.errstate(invalid="ignore"):
        low = np.nextafter(np.sqrt(lower), -INF)
        high = np.nextafter(np.sqrt(upper), INF)
    return between(np.where(lower > 0, low, np.nan), high)


def total(a: Ball, axes: tuple[int, ...]) -> Ball:
    """Sums over axes, taken in any order: off by gamma(k) sum |a|."""
    count = int(np.prod([a.mid.shape[axis] for axis in axes], dtype=np.int64))
    mid = a.mid.sum(axis=axes)
    rad = gamma(count) * np.abs(a.mid).sum(axis=axes)
    if a.rad is not None:
        rad = rad + a.rad.sum(axis=axes)
    return Ball(np.asarray(mid), np.asarray(rad * (1 + gamma(count)) * ENLARGE))


def product(a: Ball, b: Ball) -> Ball:
    """The matrix product of (r, k) and (k, s), or (r, k) and (k,).

    |AB - mid| <= gamma(k) |A||B| + |A| Rb + Ra (|B| + Rb), each product of
    non-negative matrices enlarged by its own gamma(k); k TINY absorbs underflow.
    """
    count = a.mid.shape[-1]
    mid = a.mid @ b.mid
    size_a, size_b = np.abs(a.mid), np.abs(b.mid)
    rad = gamma(count + 2) * (size_a @ size_b)
    if b.rad is not None:
        rad = rad + size_a @ b.rad
        size_b = size_b + b.rad
    if a.rad is not None:
        rad = rad + a.rad @ size_b
    rad = rad * (1 + gamma(count + 2)) * ENLARGE + 4 * count * TINY
    return Ball(mid, rad)


def where(condition: np.ndarray, a: Ball, b: Ball) -> Ball:
    """Entries of `a` where the condition holds, else of `b`."""
    mid = np.where(condition, a.mid, b.mid)
    if a.rad is None and b.rad is None:
        return Ball(mid)
    return Ball(mid, np.where(condition, a.radius, b.radius))


def joined(parts: list[Ball]) -> Ball:
    """Balls of shapes (k_i, ...) one below the other."""
    mid = np.concatenate([part.mid for part in parts])
    if all(part.rad is None for part in parts):
        return Ball(mid)
    return Ball(mid, np.concatenate([part.radius for part in parts]))


def scatter_add(target: tuple[int, ...], index: np.ndarray, a: Ball) -> Ball:
    """Sums of the entries of `a` (k,) that go to the same place of a flat array.

    One place gets at most `count` terms: off by gamma(count) sum |a|.
    """
    size = int(np.prod(target, dtype=np.int64))
    index = index.reshape(-1)
    counts = np.bincount(index, minlength=size)
    count = int(counts.max(initial=0))
    values = a.mid.reshape(-1)
    mid = np.bincount(index, weights=values, minlength=size)
    rad = a.radius.reshape(-1)
    if count > 1:
        rad = rad + gamma(count) * np.abs(values)
    rad = np.bincount(index, weights=rad, minlength=size)
    rad = np.where(counts > 1, rad * (1 + gamma(count)) * ENLARGE, rad)
    return Ball(mid.reshape(target), rad.reshape(target))
