"""Domains that may still be split: what a search knows of each.

There may be many, each with hundreds of numbers, and a step changes few. So their
arrays lie in blocks that nothing writes to: a step adds one, and now and then the rows
still in use are gathered into one.
"""

from typing import NamedTuple

import numpy as np

_MOST = 64  # blocks before they are gathered


class Known(NamedTuple):
    """Per domain: signs (o, n), bounds (o, m) on the inputs of all activations, scores
    (o, n), bounds (o, d) on the row of the Jacobian.
    """

    signs: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    scores: np.ndarray
    jacobian_lower: np.ndarray
    jacobian_upper: np.ndarray


class OpenDomains(NamedTuple):
    """Nodes (o,) of the tree, and the row of each in the blocks taken together."""

    node: np.ndarray
    place: np.ndarray
    blocks: tuple[Known, ...]

    @classmethod
    def of(cls, node: np.ndarray, known: Known) -> "OpenDomains":
        """These domains in one block."""
        return cls(node, np.arange(len(node)), (known,))

    def known(self, which: np.ndarray) -> Known:
        """Rows of those at these positions (or where true)."""
        place = self.place[which]
        ends = np.cumsum([len(block.signs) for block in self.blocks])
        block = np.searchsorted(ends, place, side="right")
        out = [np.empty((len(place), *a.shape[1:]), a.dtype) for a in self.blocks[0]]
        for b in np.unique(block):
            own = np.flatnonzero(block == b)
            rows = place[own] - (ends[b] - len(self.blocks[b].signs))
            for filled, array in zip(out, self.blocks[b], strict=True):
                filled[own] = array[rows]
        return Known(*out)

    def kept(self, which: np.ndarray) -> "OpenDomains":
        """Those at these positions (or where true) alone."""
        return self._replace(node=self.node[which], place=self.place[which])

    def more(self, node: np.ndarray, known: Known) -> "OpenDomains":
        """These domains, too, after the others."""
        start = sum(len(block.signs) for block in self.blocks)
        added = OpenDomains(
            np.concatenate([self.node, node]),
            np.concatenate([self.place, start + np.arange(len(node))]),
            (*self.blocks, known),
        )
        return added if len(added.blocks) <= _MOST else added.gathered()

    def gathered(self) -> "OpenDomains":
        """The same in one block."""
        return OpenDomains.of(self.node, self.known(np.arange(len(self.node))))
