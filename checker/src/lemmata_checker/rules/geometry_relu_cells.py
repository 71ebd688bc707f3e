"""Whether a list of activation patterns is complete: cells counted in exact arithmetic.

The cells of the hyperplanes x_k'h = 0 number r(A) = r(A without H) + r(A cut with H)
(Zaslavsky 1975), whatever their position: duplicates, parallel and dependent rows
included. Integers throughout. If so many patterns are distinct and each is that of a
direction off all hyperplanes, none is missing.
"""

from fractions import Fraction
from math import comb, gcd, lcm

import numpy as np

from ..case import Case, Malformed
from ..rigor import TINY, gamma
from ..sparse import real
from .geometry_relu_data import patterns, setting

WORK = 3 * 10**6  # vectors that the count may cut
_SIZE = 2**26  # entries of the products that show where the directions lie

Vector = tuple[int, ...]


def complete(case: Case) -> tuple[int, int]:
    """(cells shown by the directions, cells there are)."""
    x = setting(case).inputs
    active = patterns(case)
    h = real(case.problem.arrays.get("directions"), "directions", 2)
    if h.shape != (len(active), x.shape[1]):
        raise Malformed(f"directions {h.shape} for {len(active)} patterns")
    return shown(x, active, h), regions(vectors(x))


def shown(x: np.ndarray, active: np.ndarray, h: np.ndarray) -> int:
    """Distinct patterns whose direction has them, strictly on every row not zero."""
    if h.size * len(x) > _SIZE * x.shape[1]:
        raise Malformed("too many directions to look at")
    rows = np.flatnonzero(np.any(x != 0, axis=1))
    value = h @ x[rows].T
    count = x.shape[1] + 2
    error = np.abs(h) @ np.abs(x[rows]).T * gamma(count) + count * TINY
    sign = np.where(value > 2 * error, 1, np.where(value < -2 * error, -1, 0))
    for i, k in np.argwhere(sign == 0).tolist():
        pairs = zip(h[i].tolist(), x[rows[k]].tolist(), strict=True)
        exact = sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(0))
        sign[i, k] = (exact > 0) - (exact < 0)
    fits = np.all(sign == np.where(active[:, rows], 1, -1), axis=1)
    if not rows.size:
        return int(np.any(fits))
    return len(np.unique(np.packbits(active[fits][:, rows], axis=1), axis=0))


def vectors(x: np.ndarray) -> list[Vector]:
    """One primitive integer normal for each distinct hyperplane."""
    found: dict[Vector, None] = {}
    for row in x.tolist():
        numbers = [Fraction(v) for v in row]
        common = lcm(*(v.denominator for v in numbers))
        _add(found, [int(v * common) for v in numbers])
    return list(found)


def _add(found: dict[Vector, None], numbers: list[int]) -> None:
    divisor = gcd(*numbers)
    if divisor == 0:
        return
    first = next(v for v in numbers if v)
    divisor = divisor if first > 0 else -divisor
    found.setdefault(tuple(v // divisor for v in numbers))


def regions(normals: list[Vector]) -> int:
    """r(A). **Raises:** `Malformed` where counting would take too long."""
    if not normals:
        return 1
    n, d = len(normals), len(normals[0])
    if d > 2 and comb(n + d - 2, d - 1) > WORK:
        raise Malformed(f"{n} hyperplanes in {d} dimensions are too many to count")
    return _regions(normals)


def _regions(normals: list[Vector]) -> int:
    if not normals:
        return 1
    d = len(normals[0])
    if d == 1:
        return 2
    if d == 2:
        return 2 * len(normals)
    return 1 + sum(_regions(cut(normals[:k], normals[k])) for k in range(len(normals)))


def cut(normals: list[Vector], plane: Vector) -> list[Vector]:
    """The hyperplanes inside `plane`, in coordinates without its largest one."""
    pivot = max(range(len(plane)), key=lambda i: abs(plane[i]))
    p = plane[pivot]
    found: dict[Vector, None] = {}
    for v in normals:
        q = v[pivot]
        rest = [
            p * a - q * b
            for i, (a, b) in enumerate(zip(v, plane, strict=True))
            if i != pivot
        ]
        _add(found, rest)
    return list(found)
