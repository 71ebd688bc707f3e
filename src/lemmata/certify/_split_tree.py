"""Queue and tree of a branch and bound, as arrays that a checkpoint can hold."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ._open_domains import Known, OpenDomains

OPEN, LEAF = -1, -1  # an open domain is a leaf of the tree, too


@dataclass
class TreeState:
    """Nodes of all trees, open domains, and what is known of the rows.

    - `neuron`, `first`, `second`, `row`, `bound`: per node; `neuron` is the one that is
      split, -1 for a leaf, -2 - i for one that row i of `infeasible` shows to be empty.
    - `open`: the domains that can be split.
    - `norms`, `points`: best lower bounds.
    - `jacobian_*`: bounds over the whole box; `closed_*`: over leaves that are closed.
    - `domains`: counted so far. `slopes`: by name.
    """

    neuron: np.ndarray
    first: np.ndarray
    second: np.ndarray
    row: np.ndarray
    bound: np.ndarray
    open: OpenDomains
    infeasible: np.ndarray
    norms: np.ndarray
    points: np.ndarray
    jacobian_lower: np.ndarray
    jacobian_upper: np.ndarray
    closed_lower: np.ndarray
    closed_upper: np.ndarray
    slopes: dict[str, np.ndarray]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Every array by name."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        node, _, (known,) = plain.pop("open").gathered()
        plain |= {f"open_{n}": a for n, a in known._asdict().items()}
        return plain.pop("slopes") | plain | {"open_node": node}

    @classmethod
    def from_arrays(cls, arrays: Any) -> "TreeState":
        """Inverse of `to_arrays`."""
        slopes = {
            n: np.asarray(a) for n, a in arrays.items() if n.startswith("slopes_")
        }
        known = Known(*(np.array(arrays[f"open_{n}"]) for n in Known._fields))
        open_ = OpenDomains.of(np.array(arrays["open_node"]), known)
        names = [f.name for f in fields(cls) if f.name not in ("slopes", "open")]
        plain = {n: np.array(arrays[n]) for n in names}
        return cls(**plain, open=open_, slopes=slopes)

    def fresh(self) -> "TreeState":
        """One whose changes leave this one as it is."""
        names = ("neuron", "norms", "points", "closed_lower", "closed_upper")
        return replace(self, **{n: getattr(self, n).copy() for n in names})

    @property
    def upper(self) -> np.ndarray:
        """Per row, the largest bound of a leaf."""
        top = np.full(len(self.norms), -np.inf)
        leaf = self.neuron == LEAF
        np.maximum.at(top, self.row[leaf], self.bound[leaf])
        # every leaf empty cannot be: then rounding decided, and the root's bound stays
        return np.where(np.isfinite(top), top, self.bound[: len(top)])

    def excess(self) -> np.ndarray:
        """Of each open domain, its bound over the row's attained norm."""
        bound = self.bound[self.open.node]
        low = self.norms[self.row[self.open.node]]
        return bound / np.maximum(low, 1e-280)

    def preorder(self) -> np.ndarray:
        """The codes of all trees, one after the other: the judge's `split_tree`."""
        codes, pending = [], list(range(len(self.norms)))[::-1]
        while pending:
            node = pending.pop()
            codes.append(int(self.neuron[node]))
            if self.neuron[node] >= 0:
                pending += [int(self.second[node]), int(self.first[node])]
        return np.asarray(codes, dtype=np.int64)

    def grow(self, parents: np.ndarray, neurons: np.ndarray, bounds: np.ndarray):
        """Two children per parent, bounds (p, 2); returns their nodes (p, 2)."""
        start, count = len(self.neuron), len(parents)
        nodes = start + np.arange(2 * count).reshape(count, 2)
        self.neuron = np.concatenate([self.neuron, np.full(2 * count, LEAF)])
        blank = np.zeros(2 * count, dtype=np.int64)
        self.first = np.concatenate([self.first, blank])
        self.second = np.concatenate([self.second, blank])
        self.row = np.concatenate([self.row, np.repeat(self.row[parents], 2)])
        least = np.minimum(bounds, self.bound[parents][:, None])
        self.bound = np.concatenate([self.bound, least.reshape(-1)])
        self.neuron[parents] = neurons
        self.first[parents], self.second[parents] = nodes[:, 0], nodes[:, 1]
        return nodes

    def close(self, nodes: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
        """These leaves stay leaves: their bounds on the Jacobian go into the hull."""
        _widen(self.closed_lower, self.closed_upper, self.row[nodes], lower, upper)

    def close_open(self, which: np.ndarray) -> None:
        """The same for open domains, which are then to be dropped."""
        known = self.open.known(which)
        sides = known.jacobian_lower, known.jacobian_upper
        self.close(self.open.node[which], *sides)

    def jacobian(self) -> tuple[np.ndarray, np.ndarray]:
        """Bounds on the rows of the Jacobian: their hull over all leaves."""
        low, high = self.closed_lower.copy(), self.closed_upper.copy()
        node, _, (known,) = self.open.gathered()
        sides = known.jacobian_lower, known.jacobian_upper
        _widen(low, high, self.row[node], *sides)
        # every leaf empty cannot be: as for `upper`
        known = low <= high
        low = np.where(known, low, self.jacobian_lower)
        return low, np.where(known, high, self.jacobian_upper)


def _widen(low, high, rows, lower, upper) -> None:
    """The hull (r, d) of what it was and of these intervals (n, d), in place."""
    for r in np.unique(rows):
        own = rows == r
        low[r] = np.minimum(low[r], lower[own].min(axis=0))
        high[r] = np.maximum(high[r], upper[own].max(axis=0))
