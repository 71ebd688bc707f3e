"""Activation patterns: which samples a hidden unit passes. Sampled, exact, or given.

Source: Bai, Gautam and Sojoudi, SIAM J. Math. Data Science 5 (2023), sections 2 and 4.
"""

import abc
from typing import Any, NamedTuple, final

import equinox as eqx
import numpy as np

from ..core import InvalidArgument, array64, require
from ._relu_arrangement import cells, regions_bound

MOST_CELLS = 10**6


class Patterns(NamedTuple):
    """Distinct patterns of n samples.

    - `active`: (P, n) of bool: 1[x_k'h >= 0].
    - `directions`: an h of each, (P, d), as evidence; None where none is known.
    """

    active: np.ndarray
    directions: np.ndarray | None


class AbstractPatterns(eqx.Module):
    """How the patterns of a problem are chosen."""

    @abc.abstractmethod
    def of(self, inputs: np.ndarray) -> Patterns:
        """The patterns for samples X, (n, d)."""


@final
class Sampled(AbstractPatterns):
    """Patterns of normal directions, duplicates removed.

    **Options:**

    - `count`: directions drawn, >= 1.
    - `key`: names the stream of draws, >= 0.
    - `radius`, `draws`: also patterns of X + radius sign(R), R normal, so many draws
      for each direction; for robust training.
    """

    count: int = eqx.field(static=True, default=30)
    key: int = eqx.field(static=True, default=0)
    radius: float = eqx.field(static=True, default=0.0)
    draws: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        for name, least in (("count", 1), ("key", 0), ("draws", 0)):
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and value >= least
            require(self, name, whole, expected=f"an integer >= {least}", got=value)
        expected = "a number >= 0"
        require(self, "radius", self.radius >= 0, expected=expected, got=self.radius)

    def of(self, inputs: np.ndarray) -> Patterns:
        rng = np.random.default_rng(self.key)
        directions = rng.normal(size=(self.count, inputs.shape[1]))
        active = directions @ inputs.T >= 0
        if not self.draws:
            return distinct(active, directions)
        found = [active]
        for _ in range(self.draws):
            shift = self.radius * np.sign(rng.normal(size=inputs.shape))
            found.append(directions @ (inputs + shift).T >= 0)
        return Patterns(distinct(np.concatenate(found), None).active, None)


@final
class Exact(AbstractPatterns):
    """Every pattern that some direction has: the cells of the arrangement of x_k'h = 0.

    At most 2 sum over k < r of C(n - 1, k), r the rank of X; refused beyond 10^6.
    """

    def of(self, inputs: np.ndarray) -> Patterns:
        count = regions_bound(inputs)
        if count > MOST_CELLS:
            expected = f"at most {MOST_CELLS} cells"
            raise InvalidArgument("Exact.inputs", expected, f"up to {count}")
        directions = cells(inputs)
        return distinct(directions @ inputs.T >= 0, directions)


@final
class Given(AbstractPatterns):
    """Patterns from elsewhere: (P, n) of 0 and 1, or directions (P, d) that have them.

    **Options:**

    - `active`: (P, n) of bool or of 0 and 1; None: from `directions`.
    - `directions`: (P, d) of numbers, or None.
    """

    active: Any = None
    directions: Any = None

    def of(self, inputs: np.ndarray) -> Patterns:
        if (self.active is None) == (self.directions is None):
            expected = "either active or directions"
            raise InvalidArgument("Given", expected, "both or neither")
        n, d = inputs.shape
        if self.directions is not None:
            h = array64(self.directions)
            good = h.ndim == 2 and h.shape[1] == d and len(h) > 0
            if not good:
                raise InvalidArgument("Given.directions", f"shape (P, {d})", h.shape)
            if not np.all(np.isfinite(h)):
                raise InvalidArgument("Given.directions", "finite numbers", "NaN")
            return distinct(h @ inputs.T >= 0, h)
        active = np.asarray(self.active)
        if active.ndim != 2 or active.shape[1] != n or not len(active):
            raise InvalidArgument("Given.active", f"shape (P, {n})", active.shape)
        if active.dtype != np.bool_ and not np.all((active == 0) | (active == 1)):
            raise InvalidArgument("Given.active", "entries 0 or 1", active.dtype)
        return distinct(active.astype(bool), None)


def distinct(active: np.ndarray, directions: np.ndarray | None) -> Patterns:
    """The first of each pattern, in the order of appearance."""
    bits = np.packbits(active, axis=1)
    _, first = np.unique(bits, axis=0, return_index=True)
    first = np.sort(first)
    return Patterns(active[first], None if directions is None else directions[first])
