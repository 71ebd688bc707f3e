"""Algebraic multigrid: PyAMG makes the hierarchy, the cycle is compiled.

Source: Ruge and Stueben, in Multigrid Methods (SIAM 1987); Bell, Olson, Schroder and
Southworth, PyAMG, JOSS 8 (2023); damping as in Saad, Iterative Methods (2003), 4.1.
"""

from typing import Any, ClassVar, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import Array

from ..core import InvalidMethod, require
from ..numerics.sparse import SparseMatrix
from ._preconditioner import AbstractPreconditioner, stored_matrix

_DAMPING = 4.0 / 3.0  # over a bound on the spectral radius of D^{-1} A
_COARSEST = 200  # unknowns of the level that is solved outright


@final
class AlgebraicMultigrid(AbstractPreconditioner):
    """One V-cycle of classical algebraic multigrid, by PyAMG (extra `amg`).

    Damped Jacobi smooths before and after, so the cycle is symmetric; it is compiled
    with everything else, once for each hierarchy.

    **Options:**

    - `smoothing`: sweeps before and after each correction.
    - `strength`: couplings below this share of a row's largest are weak, in [0, 1).
    """

    hosted: ClassVar[bool] = True
    smoothing: int = eqx.field(static=True, default=1)
    strength: float = eqx.field(static=True, default=0.25)

    def validate(self) -> None:
        count, share = self.smoothing, self.strength
        require(self, "smoothing", count >= 1, expected=">= 1", got=count)
        require(self, "strength", 0 <= share < 1, expected="in [0, 1)", got=share)

    def prepare(self, problem: Any) -> "Cycle":
        matrix = stored_matrix("AlgebraicMultigrid", problem)
        levels = _hierarchy(matrix, self.strength)
        coarsest = np.asarray(levels[-1].A.toarray())
        return Cycle(
            tuple(_level(level) for level in levels[:-1]),
            jnp.asarray(np.linalg.pinv(coarsest, hermitian=True)),
            self.smoothing,
        )

    def citations(self) -> tuple[str, ...]:
        return ("ruge1987algebraic", "bell2023pyamg")


class Level(eqx.Module):
    """A matrix, its damped inverse diagonal, and the way to the next coarser level."""

    matrix: SparseMatrix
    damped: Array
    prolongation: SparseMatrix
    restriction: SparseMatrix

    def smooth(self, x: Array, rhs: Array) -> Array:
        return x + self.damped * (rhs - self.matrix @ x)


class Cycle(eqx.Module):
    """r -> M r, one V-cycle from zero."""

    levels: tuple[Level, ...]
    coarse_inverse: Array
    smoothing: int = eqx.field(static=True)

    def __call__(self, residual: Array) -> Array:
        return self._descend(0, residual)

    def _descend(self, depth: int, rhs: Array) -> Array:
        if depth == len(self.levels):
            return self.coarse_inverse @ rhs
        level = self.levels[depth]
        x = level.damped * rhs
        for _ in range(self.smoothing - 1):
            x = level.smooth(x, rhs)
        coarse = level.restriction @ (rhs - level.matrix @ x)
        x = x + level.prolongation @ self._descend(depth + 1, coarse)
        for _ in range(self.smoothing):
            x = level.smooth(x, rhs)
        return x


def _hierarchy(matrix: sp.csr_array, strength: float) -> list[Any]:
    try:
        import pyamg
    except ImportError as error:
        expected = "PyAMG to be installed (pip install 'lemmata[amg]')"
        raise InvalidMethod("AlgebraicMultigrid", expected, "no pyamg") from error
    # PyAMG's compiled parts take 32-bit indices.
    narrow = (a.astype(np.int32) for a in (matrix.indices, matrix.indptr))
    narrowed = sp.csr_matrix((matrix.data, *narrow), shape=matrix.shape)
    hierarchy: Any = pyamg.ruge_stuben_solver(
        narrowed,
        strength=("classical", {"theta": strength}),
        max_coarse=_COARSEST,
        presmoother=None,
        postsmoother=None,
    )
    if hierarchy.levels[-1].A.shape[0] > 10 * _COARSEST:
        got = f"{hierarchy.levels[-1].A.shape[0]} unknowns on the coarsest level"
        raise InvalidMethod("AlgebraicMultigrid", "a matrix that can be coarsened", got)
    return hierarchy.levels


def _level(level: Any) -> Level:
    matrix = sp.csr_array(level.A)
    diagonal = matrix.diagonal()
    sums = np.asarray(abs(matrix).sum(axis=1)).reshape(-1)
    radius = float(np.max(sums / diagonal))
    parts = (SparseMatrix.of(sp.csr_array(part)) for part in (level.P, level.R))
    # Gershgorin: the spectral radius of D^{-1} A is `radius` at most.
    damped = jnp.asarray((_DAMPING / radius) / diagonal.astype(np.float64))
    return Level(SparseMatrix.of(matrix), damped, *parts)
