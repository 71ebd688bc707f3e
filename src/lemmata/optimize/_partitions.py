"""How coordinates are put into blocks.

A fixed partition is an array of blocks, shape (p, size), int64, padded with n where the
last blocks are short. Variable blocks are chosen anew at every step.

Source: Nutini, Laradji and Schmidt, JMLR 23(131), 2022, sections 3.1 and 5.
"""

import abc
from typing import Any, ClassVar, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..core import InvalidMethod, require
from ._graph_forests import independent_sets, tree_partition

Colours = tuple[int, ...] | None


class AbstractPartition(eqx.Module):
    """Which coordinates can form a block together."""

    fixed: ClassVar[bool] = True
    """Whether the blocks are made once."""
    forests: ClassVar[bool] = False
    """Whether blocks are forests of the graph, too large to be factored densely."""
    static: ClassVar[bool] = False
    """Whether blocks are made on the host, from the pattern of the Hessian."""

    def check(self, n: int) -> None:
        """Raises `InvalidMethod` if n variables do not fit."""

    @abc.abstractmethod
    def blocks(self, loss: Any) -> Array:
        """Shape (p, size); (0, size) for blocks that are not fixed."""


class AbstractSizedPartition(AbstractPartition):
    """Blocks of one size."""

    size: eqx.AbstractVar[int]

    def __check_init__(self) -> None:
        whole = isinstance(self.size, int) and not isinstance(self.size, bool)
        good = whole and self.size >= 1
        require(self, "size", good, expected="an integer >= 1", got=self.size)

    def check(self, n: int) -> None:
        expected = f"at most the {n} variables of the problem"
        require(self, "size", self.size <= n, expected=expected, got=self.size)


@final
class OrderedBlocks(AbstractSizedPartition):
    """Consecutive coordinates (`Order`).

    **Options:**

    - `size`: coordinates in a block, >= 1; the last block may be smaller.
    """

    size: int = 50

    def blocks(self, loss: Any) -> Array:
        return _cut(jnp.arange(loss.variables), self.size)


@final
class SortedBlocks(AbstractSizedPartition):
    """Blocks of similar Lipschitz constants (`Sort`).

    **Options:**

    - `size`: coordinates in a block, >= 1; the last block may be smaller.
    """

    size: int = 50

    def blocks(self, loss: Any) -> Array:
        return _cut(_rising(loss.coordinate_lipschitz()), self.size)


@final
class AveragedBlocks(AbstractSizedPartition):
    """Blocks that take the smallest and the largest constants in turn (`Avg`).

    **Options:**

    - `size`: coordinates in a block, >= 1; the last block may be smaller.
    """

    size: int = 50

    def blocks(self, loss: Any) -> Array:
        return _cut(_alternate(loss.coordinate_lipschitz()), self.size)


@final
class RowSumSortedBlocks(AbstractSizedPartition):
    """Blocks of similar bounds D_i >= sum_j |H_ij| (`HSort`).

    **Options:**

    - `size`: coordinates in a block, >= 1; the last block may be smaller.
    """

    size: int = 50

    def blocks(self, loss: Any) -> Array:
        return _cut(_rising(loss.row_bounds()), self.size)


@final
class RowSumAveragedBlocks(AbstractSizedPartition):
    """Blocks that take the smallest and the largest D_i in turn (`HAvg`).

    **Options:**

    - `size`: coordinates in a block, >= 1; the last block may be smaller.
    """

    size: int = 50

    def blocks(self, loss: Any) -> Array:
        return _cut(_alternate(loss.row_bounds()), self.size)


@final
class GivenBlocks(AbstractPartition):
    """The user's own blocks.

    **Options:**

    - `groups`: sequences of indices, each coordinate in exactly one of them.
    """

    groups: tuple[tuple[int, ...], ...] = eqx.field(converter=lambda g: _tuples(g))

    def __check_init__(self) -> None:
        named = [i for group in self.groups for i in group]
        full = bool(self.groups) and all(self.groups)
        got = f"{len(self.groups)} blocks"
        require(self, "groups", full, expected="blocks that are not empty", got=got)
        values, counts = np.unique(named, return_counts=True)
        twice = values[counts > 1]
        got = f"index {twice[0]} more than once" if len(twice) else ""
        require(self, "groups", not len(twice), expected="no overlap", got=got)
        least = int(values[0])
        require(self, "groups", least >= 0, expected="indices >= 0", got=least)

    def check(self, n: int) -> None:
        named = {i for group in self.groups for i in group}
        beyond = sorted(i for i in named if i >= n)
        got = f"index {beyond[0]}" if beyond else ""
        expected = f"indices below {n}, the problem's variables"
        require(self, "groups", not beyond, expected=expected, got=got)
        missing = sorted(set(range(n)) - named)
        got = f"none with index {missing[0]}" if missing else ""
        expected = "every coordinate in a block"
        require(self, "groups", not missing, expected=expected, got=got)

    def blocks(self, loss: Any) -> Array:
        return jnp.asarray(_padded(self.groups, loss.variables))


@final
class VariableBlocks(AbstractSizedPartition):
    """Any `size` coordinates, chosen anew at every step (`Variable`).

    **Options:**

    - `size`: coordinates in a block, >= 1.
    - `largest`: blocks double up to this size while the support fills more than three
      quarters of one; None: they stay as they are.
    """

    fixed: ClassVar[bool] = False
    size: int = 50
    largest: int | None = None

    def __check_init__(self) -> None:
        good = self.largest is None or self.largest >= self.size
        expected = f"None or >= size = {self.size}"
        require(self, "largest", good, expected=expected, got=self.largest)

    def blocks(self, loss: Any) -> Array:
        return jnp.zeros((0, self.size), jnp.int64)


class AbstractColouring(AbstractPartition):
    """Blocks from the graph of the Hessian: made on the host."""

    static: ClassVar[bool] = True
    colours: eqx.AbstractVar[Colours]

    @abc.abstractmethod
    def find(self, pattern: Any) -> np.ndarray:
        """A colour for each variable, from 0."""

    def check(self, n: int) -> None:
        got = None if self.colours is None else f"{len(self.colours)} colours"
        good = self.colours is None or len(self.colours) == n
        require(self, "colours", good, expected=f"None or {n} colours", got=got)

    def blocks(self, loss: Any) -> Array:
        colours = self.find(loss.pattern()) if self.colours is None else self.colours
        colours = np.asarray(colours)
        groups = [np.flatnonzero(colours == c) for c in np.unique(colours)]
        return jnp.asarray(_padded(groups, loss.variables))


@final
class RedBlackBlocks(AbstractColouring):
    """Sets of variables no two of which are coupled: H_b is diagonal (`RedBlack`).

    **Options:**

    - `colours`: one number per variable; None: a greedy colouring.
    """

    forests: ClassVar[bool] = True  # without edges
    colours: Colours = eqx.field(default=None, converter=lambda c: _integers(c))

    def find(self, pattern: Any) -> np.ndarray:
        return independent_sets(pattern)


@final
class TreePartition(AbstractColouring):
    """Few forests that cover the graph, one block each.

    **Options:**

    - `colours`: which forest each variable belongs to, such as `lattice_combs` with the
      labelled nodes deleted; None: `tree_partition` of the graph.
    """

    forests: ClassVar[bool] = True
    colours: Colours = eqx.field(default=None, converter=lambda c: _integers(c))

    def find(self, pattern: Any) -> np.ndarray:
        return tree_partition(pattern)


@final
class GreedyForest(AbstractPartition):
    """A maximal forest at every step, nodes of high score first."""

    fixed: ClassVar[bool] = False
    forests: ClassVar[bool] = True
    static: ClassVar[bool] = True

    def blocks(self, loss: Any) -> Array:
        return jnp.zeros((0, loss.variables), jnp.int64)


def _cut(order: Array, size: int) -> Array:
    """Consecutive pieces of `order`, the last padded with n."""
    n = order.shape[0]
    count = -(-n // size)
    filled = jnp.full(count * size, n, jnp.int64).at[:n].set(order)
    return filled.reshape(count, size)


def _rising(values: Array) -> Array:
    return jnp.argsort(values, stable=True)


def _alternate(values: Array) -> Array:
    """Smallest, largest, second smallest, second largest, ..."""
    order = _rising(values)
    n = order.shape[0]
    half = -(-n // 2)
    taken = jnp.zeros(n, order.dtype).at[0::2].set(order[:half])
    return taken.at[1::2].set(order[half:][::-1])


def _padded(groups: Any, n: int) -> np.ndarray:
    blocks = np.full((len(groups), max(map(len, groups))), n, np.int64)
    for row, group in zip(blocks, groups, strict=True):
        row[: len(group)] = group
    return blocks


def _integers(values: Any) -> Any:
    if values is None:
        return None
    try:
        return tuple(int(v) for v in values)
    except (TypeError, ValueError) as error:
        raise InvalidMethod("colours", "whole numbers", repr(values)) from error


def _tuples(groups: Any) -> Any:
    try:
        return tuple(tuple(int(i) for i in group) for group in groups)
    except (TypeError, ValueError) as error:
        expected = "a sequence of sequences of indices"
        raise InvalidMethod("GivenBlocks.groups", expected, repr(groups)) from error
