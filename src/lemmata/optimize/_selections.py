"""Which block is next.

A rule gives scores: to the blocks of a partition, or to single coordinates, of which
the best form a block or a forest. Ties go to the smaller index, so a resumed run is the
same run. With a penalty, the greedy rules score by the decrease of the separable model.

Source: Nutini, Laradji and Schmidt, JMLR 23(131), 2022, sections 3.2 and 3.3. The
greedy scores are sums of squares; the authors' code adds absolute values.
"""

import abc
from typing import Any, ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._block_view import View, decrease, positive
from ._forests import solve_forest
from ._selection_parts import (
    AbstractApproximation,
    AbstractDiagonal,
    HardThresholding,
    SizeBound,
)


class AbstractSelection(eqx.Module):
    """Scores of blocks and coordinates; the largest is next."""

    greedy: ClassVar[bool] = True

    @abc.abstractmethod
    def of_coordinates(self, view: View) -> Array:
        """Shape (n,); -inf for a coordinate that may not be taken."""

    @abc.abstractmethod
    def of_blocks(self, view: View) -> Array:
        """Shape (p,)."""

    def diagonal(self, loss: Any, lipschitz: Array, size: int) -> Array:
        """D_i for blocks of `size`, where the rule has one."""
        return lipschitz

    def resized(self, tables: Any, size: int) -> Array:
        """D_i for blocks of another size."""
        return tables.diagonal


@final
class RandomSelection(AbstractSelection):
    """Any block, all equally likely (`Random`)."""

    greedy: ClassVar[bool] = False

    def of_coordinates(self, view: View) -> Array:
        return jax.random.uniform(_fresh(view), view.x.shape, jnp.float64)

    def of_blocks(self, view: View) -> Array:
        return jax.random.uniform(_fresh(view), view.tables.constants.shape)


@final
class CyclicSelection(AbstractSelection):
    """One block after the other (`Cyclic`); variable blocks cut a new permutation."""

    greedy: ClassVar[bool] = False

    def of_coordinates(self, view: View) -> Array:
        n, size = view.x.shape[0], view.tables.blocks.shape[1]
        count = -(-n // size)
        key = jax.random.fold_in(view.key, view.step // count)
        rank = jax.random.permutation(key, n)
        mine = rank // size == view.step % count
        return jnp.where(mine, 0.0, -jnp.inf)

    def of_blocks(self, view: View) -> Array:
        count = view.tables.blocks.shape[0]
        return (jnp.arange(count) == view.step % count).astype(jnp.float64)


@final
class LipschitzSampling(AbstractSelection):
    """A block at random, with probability proportional to L_b."""

    greedy: ClassVar[bool] = False

    def of_coordinates(self, view: View) -> Array:
        return _gumbel(view, view.tables.lipschitz)

    def of_blocks(self, view: View) -> Array:
        return _gumbel(view, view.tables.constants)


@final
class GS(AbstractSelection):
    """Gauss-Southwell: the largest ||g_b||."""

    def of_coordinates(self, view: View) -> Array:
        same = jnp.full_like(view.x, jnp.max(view.tables.lipschitz))
        return decrease(view, same)

    def of_blocks(self, view: View) -> Array:
        return _per_block(view, self.of_coordinates(view))


@final
class GSL(AbstractSelection):
    """Gauss-Southwell-Lipschitz: the largest ||g_b||^2 / L_b, or g_i^2 / L_i."""

    def of_coordinates(self, view: View) -> Array:
        return decrease(view, view.tables.lipschitz)

    def of_blocks(self, view: View) -> Array:
        blocks, constants = view.tables.blocks, view.tables.constants
        gather = {"mode": "fill", "fill_value": 0.0}
        x, g = (a.at[blocks].get(**gather) for a in (view.x, view.gradient))
        length = jnp.broadcast_to(constants[:, None], blocks.shape)
        flat = (x.reshape(-1), g.reshape(-1), length.reshape(-1), blocks.reshape(-1))
        gain = view.problem.penalty.decrease(*flat)[0].reshape(blocks.shape)
        return jnp.sum(jnp.where(blocks < view.x.shape[0], gain, 0.0), axis=1)


@final
class GSD(AbstractSelection):
    """Gauss-Southwell-Diagonal: the largest sum over b of g_i^2 / D_i.

    **Options:**

    - `bound`: which D: `SizeBound()`, `RowSumBound()` or `CoordinateBound()`.
    """

    bound: AbstractDiagonal = SizeBound()

    def of_coordinates(self, view: View) -> Array:
        return decrease(view, view.tables.diagonal)

    def of_blocks(self, view: View) -> Array:
        return _per_block(view, self.of_coordinates(view))

    def diagonal(self, loss: Any, lipschitz: Array, size: int) -> Array:
        return self.bound.of(loss, lipschitz, size)

    def resized(self, tables: Any, size: int) -> Array:
        by_size = isinstance(self.bound, SizeBound)
        return tables.lipschitz * size if by_size else tables.diagonal


@final
class GSQ(AbstractSelection):
    """Gauss-Southwell-Quadratic: the largest g_b^T H_b^{-1} g_b.

    Exact for fixed blocks, whose pseudo-inverses are kept, and for forests.

    **Options:**

    - `approximation`: for variable blocks: `HardThresholding()`, `TopDiagonal()` or, up
      to 20 variables, `Exhaustive()`.
    """

    approximation: AbstractApproximation = HardThresholding()

    def of_coordinates(self, view: View) -> Array:
        return self.approximation.of_coordinates(view)

    def of_blocks(self, view: View) -> Array:
        tables = view.tables
        if not tables.inverses.shape[0]:
            step = jax.vmap(lambda forest: solve_forest(forest, view.gradient))
            return step(tables.forest) @ view.gradient
        gather = {"mode": "fill", "fill_value": 0.0}
        g = view.gradient.at[tables.blocks].get(**gather)
        return jnp.einsum("pi,pij,pj->p", g, tables.inverses, g)


@final
class MaximumImprovement(AbstractSelection):
    """The block whose update lowers the objective most (`MI`): all are tried."""

    def of_coordinates(self, view: View) -> Array:
        raise NotImplementedError("the method tries the blocks")

    def of_blocks(self, view: View) -> Array:
        raise NotImplementedError("the method tries the blocks")


def _per_block(view: View, scores: Array) -> Array:
    gathered = scores.at[view.tables.blocks].get(mode="fill", fill_value=0.0)
    return jnp.sum(gathered, axis=1)


def _fresh(view: View) -> Array:
    return jax.random.fold_in(view.key, view.step)


def _gumbel(view: View, weights: Array) -> Array:
    noise = jax.random.gumbel(_fresh(view), weights.shape, jnp.float64)
    return jnp.where(weights > 0, jnp.log(positive(weights)) + noise, -1e300)
