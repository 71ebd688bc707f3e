"""Layers that keep the l_2 norm of gradients, as Equinox modules.

Sources: GroupSort: Anil, Lucas and Grosse, ICML 2019 (arXiv 1811.05381); MaxMin is its
case of pairs; Householder activations: Singla, Singla and Feizi, ICLR 2022 (arXiv
2108.04062).
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..core import InvalidArgument
from ..numerics.networks import group_sort, householder


@final
class GroupSort(eqx.Module):
    """Sorts each `size` neighbours along the first axis, largest first.

    **Fields:** `size`: entries of a group, >= 1; divides the first axis.

    **Raises:** `InvalidArgument` where it does not.
    """

    size: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not (isinstance(self.size, int) and self.size >= 1):
            raise InvalidArgument("GroupSort.size", "an integer >= 1", self.size)

    def __call__(self, x: Any, *, key: Any = None) -> Any:
        """The sorted entries, shape of x."""
        del key
        _divides("GroupSort", self.size, x)
        return _named_sort(self.size)(x)


@final
class MaxMin(eqx.Module):
    """Puts the larger of each two neighbours first: GroupSort with groups of two."""

    def __call__(self, x: Any, *, key: Any = None) -> Any:
        """The sorted entries, shape of x."""
        del key
        _divides("MaxMin", 2, x)
        return _named_sort(2)(x)


@final
class Householder(eqx.Module):
    """Reflects each group y of neighbours to the side where v'y >= 0.

    **Fields:** `vectors`: v, shape `(groups, size)`, no row of zeros; trained. A row's
    length does not matter.
    """

    vectors: Array

    @classmethod
    def random(cls, features: int, size: int = 2, *, key: Any) -> "Householder":
        """Directions drawn at random for `features` entries along the first axis."""
        if features % size:
            raise InvalidArgument("Householder.features", f"times {size}", features)
        shape = (features // size, size)
        return cls(jax.random.normal(key, shape, dtype=jnp.float32))

    def __call__(self, x: Any, *, key: Any = None) -> Any:
        """The reflected entries, shape of x."""
        del key
        _divides("Householder", self.vectors.size, x)
        return lemmata_householder(x, self.vectors)


def _divides(name: str, size: int, x: Any) -> None:
    if x.shape[0] % size:
        raise InvalidArgument(f"{name}", f"a first axis that {size} divides", x.shape)


def _named_sort(size: int) -> Any:
    """`group_sort` under a name that a trace keeps."""

    def sort(z: Any) -> Any:
        return group_sort(z, size)

    sort.__name__ = f"lemmata_group_sort_{size}"
    return jax.jit(sort)


@jax.jit
def lemmata_householder(z: Any, vectors: Any) -> Any:
    """Traced under its own name, so that `from_equinox` recognises it."""
    return householder(z, vectors)
