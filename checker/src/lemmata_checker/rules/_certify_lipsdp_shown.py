"""The least s for which s diag(b) + N is shown to be positive semidefinite.

N is known to within entrywise radii. Where its pattern falls into blocks, each is
decided alone. Coordinates are scaled by powers of two first, which changes no sign.

`definite.least_eigenvalue` (Cholesky, verified) decides; floating-point eigenvalues
only say where to look.
"""

import math
from typing import NamedTuple

import numpy as np

from ..definite import least_eigenvalue
from ..rigor import TINY, U, gamma

Array = np.ndarray
STEPS = tuple(1e-13 * 4.0**j for j in range(20))  # relative, to 0.03


class Enclosed(NamedTuple):
    """Symmetric matrices within `rad` of `mid`, entrywise; `linked`: its pattern."""

    mid: Array
    rad: Array
    linked: Array


def gathered(size: int, squares: list, cross: tuple[Array, Array] | None) -> Enclosed:
    """Sum of c_e u_e u_e', and a symmetric part given as (mid, rad).

    |sum - computed| <= |u|'|c| r + r'|c| (|u| + r) + |u|' dc |u| and the rounding of
    the product.
    """
    mid, rad = np.zeros((size, size)), np.zeros((size, size))
    linked = np.eye(size, dtype=bool)
    count = 0
    for square in squares:
        u, r = square.forms
        whole = np.abs(u) + r
        c = np.abs(square.coefficient)
        mid += (u * square.coefficient) @ u.T
        across = (whole * c) @ r.T
        rad += across + across.T
        rad += (whole * (square.radius * 1.0000001)) @ whole.T
        rad += gamma(u.shape[1] + 4) * ((whole * c) @ whole.T)
        some = (whole > 0).astype(np.float64)
        linked |= (some @ some.T) > 0
        count = max(count, u.shape[1])
        rad += U * np.abs(mid)
    if cross is not None:
        mid, rad = mid + cross[0], rad + cross[1] + U * np.abs(mid + cross[0])
        linked |= (np.abs(cross[0]) + cross[1]) > 0
    rad = rad * (1 + gamma(2 * count + 40)) + (count + 8) * TINY
    mid = (mid + mid.T) / 2
    rad = (rad + rad.T) / 2 * (1 + 8 * U) + 2 * U * np.abs(mid)
    return Enclosed(mid, np.where(linked, rad, 0.0), linked)


def blocks(linked: Array) -> list[Array]:
    """Connected sets of coordinates."""
    left = np.ones(len(linked), dtype=bool)
    found = []
    while left.any():
        part = np.zeros(len(linked), dtype=bool)
        edge = [int(np.argmax(left))]
        part[edge[0]] = True
        while edge:
            near = np.any(linked[edge], axis=0) & ~part
            part |= near
            edge = np.flatnonzero(near).tolist()
        left &= ~part
        found.append(np.flatnonzero(part))
    return found


def least_scale(matrix: Enclosed, weights: Array, close: float = 1.0) -> float:
    """The least s shown, inf where there is none.

    **Arguments:** `weights`: b >= 0, (p,); `close`: give up where s would exceed what
    floats suggest by more than this, relative.
    """
    largest = 0.0
    for part in blocks(matrix.linked):
        grid = np.ix_(part, part)
        b = weights[part]
        found = _least(matrix.mid[grid], matrix.rad[grid], b, close)
        largest = max(largest, found)
        if largest == math.inf:
            break
    return largest


def _least(mid: Array, rad: Array, b: Array, close: float) -> float:
    if not np.any(b > 0):
        return 0.0 if holds(mid, rad, b, 0.0) else math.inf
    guess = _guess(mid, b)
    if not math.isfinite(guess):
        return math.inf
    guess = max(guess, 0.0)
    if guess == 0.0 and holds(mid, rad, b, 0.0):
        return 0.0
    unit = np.abs(np.diagonal(mid))[b > 0] / b[b > 0]
    floor = 1e-14 * float(np.max(unit))
    for step in (x for x in STEPS if x <= close):
        s = guess * (1 + step) + floor * step
        if holds(mid, rad, b, s):
            return s
    return math.inf


def holds(mid: Array, rad: Array, b: Array, s: float) -> bool:
    """Whether s diag(b) + N is positive semidefinite for every N that is enclosed."""
    added = s * b
    diagonal = np.diagonal(mid) + added
    if not np.all(diagonal > 0) or not np.all(np.isfinite(diagonal)):
        return bool(len(mid) == 1 and diagonal[0] == 0 and rad[0, 0] == 0)
    exponents = np.round(np.log2(diagonal) / 2).astype(np.int64)
    scale = np.ldexp(1.0, -np.clip(exponents, -500, 500))
    whole = mid.copy()
    np.fill_diagonal(whole, diagonal)
    whole = whole * scale * scale[:, None]
    radius = rad * scale * scale[:, None]
    rounding = 2 * U * (np.abs(diagonal) + added) * scale * scale
    rows = np.sum(radius, axis=1) * (1 + gamma(len(mid) + 8)) + rounding
    error = float(np.max(rows)) * (1 + 8 * U) + len(mid) * TINY
    return math.isfinite(error) and least_eigenvalue(whole, error) >= 0


def _guess(mid: Array, b: Array) -> float:
    """Largest eigenvalue of minus the Schur complement, scaled by b, in floats."""
    has = b > 0
    scaled = mid[np.ix_(has, has)]
    try:
        if not np.all(has):
            rest = mid[np.ix_(~has, ~has)]
            diagonal = np.diagonal(rest)
            if not np.all(diagonal > 0):
                return math.inf
            d = 1 / np.sqrt(diagonal)
            factor = np.linalg.cholesky(rest * d * d[:, None])
            across = mid[np.ix_(~has, has)] * d[:, None]
            half = np.linalg.solve(factor, across)
            scaled = scaled - half.T @ half
        root = 1 / np.sqrt(b[has])
        return float(np.linalg.eigvalsh(-scaled * root * root[:, None])[-1])
    except np.linalg.LinAlgError:
        return math.inf
