"""Signed squares of linear forms as they are entered, and the blocks that they leave.

What depends on which coordinates is known from the network's graph alone, before any
number is, so the blocks are found without looking at an entry.
"""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

MULTIPLIER, GAMMA, NU, TAU, WEIGHT = range(5)
Ranges = tuple[tuple[int, int], ...]
Support = frozenset[int]


class Rows:
    """Rows, signs and owners of an inequality of order `size`.

    **Attributes:**

    - `spans`: (first, end) coordinates of each call of `fresh`, by number.
    - `inner`: numbers of the spans on which the input of the activation that is being
      entered depends.
    """

    def __init__(self, size: int) -> None:
        self.size, self.used, self.groups = size, 0, 0
        self.rows: list[Any] = []
        self.signs: list[float] = []
        self.owners: list[int] = []
        self.kinds: list[int] = []
        self.spans: list[tuple[int, int]] = []
        self.entered: list[tuple[int, int, Support]] = []
        self.inner: Support = frozenset()

    def fresh(self, count: int) -> Any:
        """The next coordinates, as linear forms (p, count)."""
        start, self.used = self.used, self.used + count
        self.spans.append((start, self.used))
        return jnp.asarray(np.eye(self.size)[:, start : self.used])

    @property
    def own(self) -> Support:
        """The span that was made last."""
        return frozenset({len(self.spans) - 1})

    def _variables(self, count: int, kind: int) -> np.ndarray:
        start = len(self.kinds)
        self.kinds += [kind] * count
        return start + np.arange(count)

    def multipliers(self, count: int) -> np.ndarray:
        """New variables >= 0."""
        return self._variables(count, MULTIPLIER)

    def couplings(self, count: int, column: int) -> np.ndarray:
        """New free variables: gamma, nu or tau."""
        return self._variables(count, (GAMMA, NU, TAU)[column])

    def weights(self, count: int) -> np.ndarray:
        """New weights >= 0, which are minimised."""
        return self._variables(count, WEIGHT)

    def enter(
        self, forms: Any, sign: float, owners: np.ndarray, support: Support
    ) -> None:
        """Squares of linear forms (p, ...), one owner each, in some spans alone."""
        first = len(self.owners)
        self.rows.append(forms.reshape(self.size, -1).T)
        self.signs += [sign] * len(owners)
        self.owners += [int(i) for i in owners]
        self.entered.append((first, len(self.owners), support))


def blocks(book: Rows, linked: Iterable[Support]) -> tuple[tuple[Ranges, Ranges], ...]:
    """Sets of spans that hang together: ranges of coordinates, and of rows.

    **Arguments:** `linked`: what else, besides the rows, holds spans together.
    """
    label = list(range(len(book.spans)))
    supports = [support for _, _, support in book.entered]
    for support in (*supports, *linked):
        joined = {label[i] for i in support}
        least = min(joined, default=0)
        label = [least if one in joined else one for one in label]
    found = []
    for one in sorted(set(label)):
        inside = [i for i, other in enumerate(label) if other == one]
        spans = tuple(book.spans[i] for i in inside)
        rows = tuple(
            (first, end)
            for first, end, support in book.entered
            if support and label[min(support)] == one
        )
        if any(first < end for first, end in spans):
            found.append((spans, rows))
    return tuple(found)
