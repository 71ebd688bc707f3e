"""The cells of a central arrangement of hyperplanes x_k'h = 0, one direction each.

Every cell of rank r has an extreme ray, which lies on r - 1 independent hyperplanes.
Around a ray, the cells are those of the hyperplanes through it, an arrangement of rank
r - 1: so the cells are found by recursion, and each at least once.
"""

from itertools import combinations
from math import comb

import numpy as np

_ZERO = 1e-10  # of unit rows and directions: what counts as on a hyperplane


def regions_bound(inputs: np.ndarray) -> int:
    """2 sum over k < r of C(n - 1, k), over the distinct lines of n samples of rank r.

    Reached in general position (Cover 1965); an upper bound otherwise.
    """
    rows = lines(inputs)
    rank = int(np.linalg.matrix_rank(rows)) if len(rows) else 0
    return 2 * sum(comb(len(rows) - 1, k) for k in range(rank)) if rank else 1


def lines(inputs: np.ndarray) -> np.ndarray:
    """Unit rows, one for each distinct line through the origin, zero rows left out."""
    norms = np.linalg.norm(inputs, axis=1)
    rows = inputs[norms > 0] / norms[norms > 0][:, None]
    if not len(rows):
        return rows
    # The sign that makes the largest entry positive names a line once.
    largest = np.argmax(np.abs(rows) > 1e-6, axis=1)
    rows = rows * np.sign(rows[np.arange(len(rows)), largest])[:, None]
    _, first = np.unique(np.round(rows, 9) + 0.0, axis=0, return_index=True)
    return rows[np.sort(first)]


def cells(inputs: np.ndarray) -> np.ndarray:
    """A direction strictly inside each cell, (cells, d)."""
    rows = lines(inputs)
    d = inputs.shape[1]
    if not len(rows):
        return np.zeros((1, d))
    _, size, basis = np.linalg.svd(rows, full_matrices=False)
    basis = basis[size > _ZERO * size[0] * max(rows.shape)]
    return _cells(rows @ basis.T) @ basis


def _cells(rows: np.ndarray) -> np.ndarray:
    """The same where the rows span the whole space, (cells, r)."""
    r = rows.shape[1]
    if r == 1:
        return np.array([[1.0], [-1.0]])
    found: dict[bytes, np.ndarray] = {}
    seen: set[bytes] = set()
    for subset in combinations(range(len(rows)), r - 1):
        _, size, right = np.linalg.svd(rows[list(subset)])
        if size[-1] < _ZERO:
            continue
        ray = right[-1]
        height = rows @ ray
        on = np.abs(height) < _ZERO
        name = np.packbits(on).tobytes()
        if name in seen:  # the same flat, reached by another subset
            continue
        seen.add(name)
        _, _, right = np.linalg.svd(rows[on], full_matrices=False)
        plane = right[: r - 1]
        around = _cells(lines(rows[on] @ plane.T)) @ plane
        _collect(found, rows, ray, around, height, on)
    return np.array(list(found.values()))


def _collect(found, rows, ray, around, height, on) -> None:
    """Directions ray + t h for each h around it, t small enough to stay beside it."""
    slope = np.abs(rows[~on] @ around.T)
    room = np.abs(height[~on])[:, None] / np.maximum(slope, 1e-300)
    step = np.minimum(0.5 * np.min(room, axis=0, initial=2.0), 1.0)
    for sign in (1.0, -1.0):
        for h in sign * ray + step[:, None] * around:
            name = np.packbits(rows @ h > 0).tobytes()
            found.setdefault(name, h / np.linalg.norm(h))
