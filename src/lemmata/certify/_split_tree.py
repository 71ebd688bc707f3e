"""Queue and tree of a branch and bound, as arrays that a checkpoint can hold."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

OPEN, LEAF = -1, -1  # an open domain is a leaf of the tree, too


@dataclass
class TreeState:
    """Nodes of all trees, open domains, and what is known of the rows.

    - `neuron`, `first`, `second`, `row`, `bound`: per node; `neuron` is the one that is
      split, -1 for a leaf, -2 - i for one that row i of `infeasible` shows to be empty.
    - `open_node`, `open_signs`, `open_lower`, `open_upper`, `open_scores`: per domain
      that can be split.
    - `norms`, `points`: best lower bounds; `jacobian_*`: over the whole box.
    - `domains`: counted so far. `slopes`: by name.
    """

    neuron: np.ndarray
    first: np.ndarray
    second: np.ndarray
    row: np.ndarray
    bound: np.ndarray
    open_node: np.ndarray
    open_signs: np.ndarray
    open_lower: np.ndarray
    open_upper: np.ndarray
    open_scores: np.ndarray
    infeasible: np.ndarray
    norms: np.ndarray
    points: np.ndarray
    jacobian_lower: np.ndarray
    jacobian_upper: np.ndarray
    slopes: dict[str, np.ndarray]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Every array by name."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return plain.pop("slopes") | plain

    @classmethod
    def from_arrays(cls, arrays: Any) -> "TreeState":
        """Inverse of `to_arrays`."""
        slopes = {
            n: np.asarray(a) for n, a in arrays.items() if n.startswith("slopes_")
        }
        names = [f.name for f in fields(cls) if f.name != "slopes"]
        return cls(**{n: np.array(arrays[n]) for n in names}, slopes=slopes)

    def fresh(self) -> "TreeState":
        """One whose changes leave this one as it is.

        The arrays of open domains are large, and replaced rather than written to.
        """
        names = ("neuron", "norms", "points")
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
        bound = self.bound[self.open_node]
        low = self.norms[self.row[self.open_node]]
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

    def keep_open(self, kept: np.ndarray) -> None:
        """Only these open domains remain."""
        for name in ("node", "signs", "lower", "upper", "scores"):
            setattr(self, f"open_{name}", getattr(self, f"open_{name}")[kept])

    def add_open(self, nodes, signs, lower, upper, scores) -> None:
        """More domains that can be split."""
        new = (nodes, signs, lower, upper, scores)
        names = ("node", "signs", "lower", "upper", "scores")
        for name, part in zip(names, new, strict=True):
            old = getattr(self, f"open_{name}")
            setattr(self, f"open_{name}", np.concatenate([old, part]))
