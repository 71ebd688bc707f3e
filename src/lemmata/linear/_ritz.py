"""Right-hand sides to train on: mixtures of Ritz vectors, the smooth ones louder.

Source: Kaneda et al., ICML 2023 (arXiv 2205.10763), section on training data. Differs:
(1) where the Krylov space is exhausted (multiple eigenvalues), Lanczos goes on from a
fresh vector; (2) on a box the eigenvectors are sines, known without Lanczos.
"""

import math
from typing import Any, final

import equinox as eqx
import numpy as np
import scipy.fft

from ..core import InvalidArgument, require
from ._grid import FLUID
from ._grid_poisson import GridPoisson

_DROPPED = 1e-8  # Ritz values below this share of the largest are no modes
_BREAKDOWN = 1e-10  # of the operator's norm: the Krylov space is exhausted


@final
class Lanczos(eqx.Module):
    """Ritz vectors from Lanczos' iteration with full re-orthogonalisation.

    **Options:** `vectors`: how many, m; None: 0.6 per cell, at most 10,000.
    """

    vectors: int | None = None


@final
class SineModes(eqx.Module):
    """Every eigenvector of a box of fluid, by fast sine transforms."""


@final
class RitzDataset(eqx.Module):
    """Unit right-hand sides b = sum c_i y_i over Ritz vectors y_i, c_i normal.

    c_i has standard deviation 9 for the lowest m / 2 + theta modes, 1 for the rest.

    **Fields:**

    - `operator`: a `GridPoisson`; its right-hand side is not used.
    - `count`: number of right-hand sides.
    - `theta`: None is m / 20.
    - `method`: where the modes come from.
    - `key`: an integer; the same one gives the same vectors.
    """

    operator: GridPoisson
    count: int = 600
    theta: int | None = None
    method: Lanczos | SineModes = Lanczos()
    key: int = 0

    def __check_init__(self) -> None:
        require(self, "count", self.count >= 2, expected=">= 2", got=self.count)
        theta = self.theta
        fits = theta is None or theta >= 0
        require(self, "theta", fits, expected="None or >= 0", got=theta)
        if isinstance(self.method, SineModes):
            box = bool(np.all(np.asarray(self.operator.cells) == FLUID))
            got = "other cells in it"
            require(self, "method", box, expected="a box of fluid", got=got)

    def vectors(self) -> np.ndarray:
        """The right-hand sides, shape `(count, cells)`, float32, of unit norm."""
        rng = np.random.default_rng(self.key)
        if isinstance(self.method, SineModes):
            found = self._sines(rng)
        else:
            found = self._ritz(rng)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found.astype(np.float32)

    def _loudness(self, modes: int) -> np.ndarray:
        """Standard deviations by rank of the eigenvalue, ascending."""
        theta = modes // 20 if self.theta is None else self.theta
        return np.where(np.arange(modes) < modes // 2 + theta, 9.0, 1.0)

    def _ritz(self, rng: np.random.Generator) -> np.ndarray:
        vectors = self.method.vectors if isinstance(self.method, Lanczos) else None
        modes = ritz_vectors(self.operator, vectors, rng)[1]
        loudness = self._loudness(len(modes))
        coefficients = rng.normal(size=(self.count, len(modes))) * loudness
        return coefficients @ modes

    def _sines(self, rng: np.random.Generator) -> np.ndarray:
        shape = self.operator.grid
        waves = [
            4 * np.sin(np.pi * np.arange(1, n + 1) / (2 * n + 2)) ** 2 for n in shape
        ]
        eigenvalues = np.asarray(sum(np.ix_(*waves))).reshape(-1)
        rank = np.empty(eigenvalues.size, np.int64)
        rank[np.argsort(eigenvalues, kind="stable")] = np.arange(eigenvalues.size)
        loudness = self._loudness(rank.size)[rank].astype(np.float32)
        found = np.empty((self.count, rank.size), np.float32)
        for row in found:  # one at a time: the paper's size has 20,000 of 1 MB
            c = rng.standard_normal(rank.size, dtype=np.float32) * loudness
            mixed = scipy.fft.dstn(c.reshape(shape), type=1, norm="ortho")
            row[:] = np.asarray(mixed).reshape(-1)
        return found


def ritz_vectors(
    operator: Any, count: int | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Ritz values, ascending, and vectors, shapes (m,) and (m, n), orthonormal.

    **Arguments:** `operator`, with `matrix()`; `count` as `Lanczos.vectors`.
    """
    matrix = operator.matrix()
    active = np.ones(matrix.shape[0])
    if isinstance(operator, GridPoisson):
        active = np.asarray(operator.active).reshape(-1)
    room = int(active.sum())
    if count is None:
        count = min(10_000, math.ceil(0.6 * room))
    if not 1 <= count <= room:
        expected = f"in [1, {room}], the number of unknowns"
        raise InvalidArgument("Lanczos.vectors", expected, count)
    basis, diagonal, off = _lanczos(matrix, active, count, rng)
    values, rotation = np.linalg.eigh(
        np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1)
    )
    kept = values > _DROPPED * values[-1]
    return values[kept], rotation[:, kept].T @ basis


def _lanczos(
    matrix: Any, active: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = active.size
    basis = np.zeros((count, n))
    diagonal, off = np.zeros(count), np.zeros(count - 1)
    start = matrix @ (active * rng.normal(size=n))
    size = 2.0 * float(np.max(matrix.diagonal()))
    basis[0] = start / np.linalg.norm(start)
    for k in range(count):
        image = matrix @ basis[k]
        diagonal[k] = basis[k] @ image
        if k == count - 1:
            break
        image = _orthogonal(basis[: k + 1], image)
        length = np.linalg.norm(image)
        if length > _BREAKDOWN * size:
            off[k] = length
        else:  # the space is invariant: go on in its complement
            image = _orthogonal(basis[: k + 1], active * rng.normal(size=n))
            length = np.linalg.norm(image)
        basis[k + 1] = image / length
    return basis, diagonal, off


def _orthogonal(basis: np.ndarray, vector: np.ndarray) -> np.ndarray:
    for _ in range(2):  # twice is enough
        vector = vector - (basis @ vector) @ basis
    return vector
