"""Parts of the greedy rules: diagonal bounds for GSD, searches for GSQ.

Source: Nutini, Laradji and Schmidt, JMLR 23(131), 2022, section 3.3.
"""

import abc
import itertools
from typing import Any, ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..core import require
from ..numerics.top_k import top_k
from ._block_view import View, decrease, hessian_product, positive

EXHAUSTIVE = 20  # variables up to which all blocks are looked at


class AbstractDiagonal(eqx.Module):
    """D with H_b <= diag(D_b)."""

    @abc.abstractmethod
    def of(self, loss: Any, lipschitz: Array, size: int) -> Array:
        """D, shape (n,), for blocks of `size` coordinates."""


@final
class SizeBound(AbstractDiagonal):
    """D_i = L_i size: always valid."""

    def of(self, loss: Any, lipschitz: Array, size: int) -> Array:
        return lipschitz * size


@final
class RowSumBound(AbstractDiagonal):
    """D_i >= sum_j |H_ij|: valid for blocks of any size."""

    def of(self, loss: Any, lipschitz: Array, size: int) -> Array:
        return jnp.asarray(loss.row_bounds())


@final
class CoordinateBound(AbstractDiagonal):
    """D_i = L_i: a heuristic, no bound for blocks of more than one coordinate."""

    def of(self, loss: Any, lipschitz: Array, size: int) -> Array:
        return lipschitz


class AbstractApproximation(eqx.Module):
    """How GSQ finds a variable block; the best one is NP-hard to find."""

    exact: ClassVar[bool] = False

    @abc.abstractmethod
    def of_coordinates(self, view: View) -> Array:
        """Shape (n,)."""


@final
class TopDiagonal(AbstractApproximation):
    """The coordinates of the largest g_i^2 / L_i."""

    def of_coordinates(self, view: View) -> Array:
        return decrease(view, view.tables.lipschitz)


@final
class HardThresholding(AbstractApproximation):
    """Iterative hard thresholding of min g^T d + d^T H d / 2 over sparse d.

    In units in which H has a unit diagonal, z = sqrt(L) d, from z = -g / sqrt(L), which
    is cut only after the first step: cut before, it would seldom leave the diagonal
    rule's choice. (The authors' start has the other sign, and their steps are in d.)

    **Options:**

    - `steps`: iterations, each a product with H.
    """

    steps: int = 10

    def __check_init__(self) -> None:
        require(self, "steps", self.steps >= 1, expected=">= 1", got=self.steps)

    def of_coordinates(self, view: View) -> Array:
        loss, size = view.problem.loss, view.tables.blocks.shape[1]
        scale = 1.0 / jnp.sqrt(positive(view.tables.lipschitz))
        g = scale * view.gradient

        def sparse(z: Array) -> Array:
            _, kept = top_k(jnp.abs(z), size)
            return jnp.zeros_like(z).at[kept].set(z[kept])

        def again(_: Any, z: Array) -> Array:
            slope = g + scale * hessian_product(loss, view.x, scale * z)
            return sparse(z - slope / view.tables.curvature)

        z = jax.lax.fori_loop(0, self.steps, again, -g)
        # Fewer than `size` non-zeros: the rest is filled by the diagonal rule.
        filling = jnp.square(g)
        filling = filling / (2.0 * jnp.maximum(jnp.max(filling), 1e-300))
        return jnp.where(z != 0, 1.0 + jnp.abs(z), filling)


@final
class Exhaustive(AbstractApproximation):
    """All blocks are looked at; for n <= 20 only."""

    exact: ClassVar[bool] = True

    def of_coordinates(self, view: View) -> Array:
        raise NotImplementedError("all blocks are listed in the tables instead")


def every_block(n: int, size: int) -> np.ndarray:
    """All blocks of `size` out of n variables, in lexicographic order."""
    return np.asarray(list(itertools.combinations(range(n), size)), np.int64)
