"""Bounds over a tree of splits: every node again, each no worse than its parent.

`split_tree` holds one tree per row, one after the other, each in preorder: the number
of the neuron that is split (children: sign >= 0 first, then sign <= 0), -1 for a leaf,
-2 - i for a leaf that row i of `infeasible` shows to be empty. Both signs of every
split are there by construction, so the leaves cover the box.

An empty leaf: multipliers y >= 0 with sum_j y_j sign_j z_j(x) < 0 on the whole box,
while each sign_j z_j >= 0 there (Farkas).

Below the root, bounds on values are computed again, unless `fixed_preactivation` is 1:
then they are the root's, clipped by the signs. Neither way is always the better one, so
that the answer says by which its bounds were found; both are true.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..network import CURVES
from ._certify_lipschitz_curves import PIECEWISE
from ._certify_lipschitz_gradients import Gradients
from ._certify_lipschitz_problem import Question, question, slopes_of
from ._certify_lipschitz_values import Values

Array = np.ndarray
MOST_NODES = 2**22
BATCH = 64


class Found(NamedTuple):
    """What the judge shows: (r,) norms, (r, d) bounds on entries, leaves seen."""

    norm: Array
    lower: Array
    upper: Array
    leaves: int
    nodes: int


class _Domain(NamedTuple):
    """A tree node whose own bounds are known."""

    row: int
    place: int  # in `split_tree`
    signs: dict[int, Array]
    before: dict[int, tuple[Array, Array]]
    norm: float
    lower: Array
    upper: Array


def bounds(case: Case) -> Found:
    """The judge's bounds, once per certificate."""
    return case.shared("certify.lipschitz.bounds", lambda: _bounds(case))


def _bounds(case: Case) -> Found:
    asked = question(case)
    slopes, fixed = slopes_of(case, asked.network), _fixed(case.value)
    tree, ends = _tree(case, asked)
    roots = _roots(asked, slopes, ends)
    norm = np.full(len(roots), -np.inf)
    low = np.full((len(roots), asked.network.inputs), np.inf)
    high, leaves, nodes = -low, 0, len(roots)
    open_ = roots
    farkas = _multipliers(case, asked)
    while open_:
        inner = [d for d in open_ if tree[d.place] >= 0]
        for domain in open_:
            code = int(tree[domain.place])
            if code >= 0:
                continue
            leaves += 1
            if code < -1:
                _require_empty(asked, domain, farkas, -2 - code, fixed)
                continue
            if domain.norm == -np.inf:
                continue
            r = domain.row
            norm[r] = max(norm[r], domain.norm)
            low[r] = np.minimum(low[r], domain.lower)
            high[r] = np.maximum(high[r], domain.upper)
        open_ = []
        for start in range(0, len(inner), BATCH):
            part = inner[start : start + BATCH]
            for side in (1, -1):
                open_ += _children(asked, slopes, part, tree, ends, side, fixed)
        nodes += len(open_)
    if np.any(norm == -np.inf):
        raise Malformed("split_tree: every leaf of a row is said to be empty")
    return Found(norm, low, high, leaves, nodes)


def _fixed(value: Mapping[str, Array]) -> bool:
    """Whether bounds on values are those of the root below it, too."""
    flag = value.get("fixed_preactivation", np.zeros((), dtype=np.int64))
    fits = flag.dtype == np.int64 and flag.shape == ()
    if not fits or int(flag) not in (0, 1):
        raise Malformed("fixed_preactivation: expected 0 or 1, one int64")
    return bool(flag)


def _tree(case: Case, asked: Question) -> tuple[Array, Array]:
    """The codes, and for each place the place after its subtree."""
    count = len(asked.rows)
    tree = case.value.get("split_tree", np.full(count, -1, dtype=np.int64))
    fits = tree.dtype == np.int64 and tree.ndim == 1 and 0 < tree.size <= MOST_NODES
    if not fits:
        raise Malformed("split_tree: expected int64, one dimension")
    if np.any(tree >= len(asked.splittable)):
        raise Malformed("split_tree: a neuron that there is not")
    ends = np.zeros(tree.size, dtype=np.int64)
    done: list[int] = []  # roots of finished subtrees, the next to the right on top
    for place in range(tree.size - 1, -1, -1):
        ends[place] = place + 1
        if tree[place] >= 0:
            if len(done) < 2:
                raise Malformed("split_tree: a split lacks one of its signs")
            done.pop()
            ends[place] = ends[done.pop()]
        done.append(place)
    if len(done) != count:
        raise Malformed(f"split_tree: expected {count} trees, got {len(done)}")
    return tree, ends


def _roots(asked: Question, slopes, ends: Array) -> list[_Domain]:
    box = (asked.lower, asked.upper)
    values = Values(asked.network, box, {}, slopes=slopes)
    place, roots = 0, []
    step = max(1, 2**16 // max(asked.network.inputs, 1))
    for start in range(0, len(asked.rows), step):
        rows = asked.rows[start : start + step]
        found = Gradients(values, rows)
        before = {k: (lo[0], hi[0]) for k, (lo, hi) in values.before.items()}
        for i in range(len(rows)):
            entries = found.entries[0][i], found.entries[1][i]
            norm = float(found.norm[i])
            roots.append(_Domain(start + i, place, {}, before, norm, *entries))
            place = int(ends[place])
    return roots


def _children(
    asked: Question, slopes, part, tree, ends, side: int, fixed: bool
) -> list[_Domain]:
    """One child of each domain: the sign of the neuron that is split is `side`."""
    network, neurons = asked.network, asked.splittable
    signs = {}
    for k in network.positions(CURVES):
        blank = np.zeros(network.nodes[k].size, dtype=np.int8)
        signs[k] = np.stack([d.signs.get(k, blank) for d in part])
    places = []
    for b, domain in enumerate(part):
        k, j = neurons[int(tree[domain.place])]
        signs[k][b, j] = side
        first = domain.place + 1
        places.append(first if side > 0 else int(ends[first]))
    shaped = {
        k: s.reshape(len(part), *network.nodes[k].shape) for k, s in signs.items()
    }
    above = {
        k: (
            np.stack([d.before[k][0] for d in part]),
            np.stack([d.before[k][1] for d in part]),
        )
        for k in signs
    }
    box = (asked.lower, asked.upper)
    values = Values(network, box, shaped, above, slopes, len(part), fixed=fixed)
    found = Gradients(values, asked.rows[[d.row for d in part]])
    children = []
    for b, domain in enumerate(part):
        children.append(
            _Domain(
                domain.row,
                places[b],
                {k: s[b] for k, s in signs.items()},
                {k: (lo[b], hi[b]) for k, (lo, hi) in values.before.items()},
                min(domain.norm, float(found.norm[b])),
                np.maximum(domain.lower, found.entries[0][b]),
                np.minimum(domain.upper, found.entries[1][b]),
            )
        )
    return children


def _multipliers(case: Case, asked: Question) -> Array:
    table = case.value.get("infeasible")
    neurons = len(asked.splittable)
    if table is None:
        return np.zeros((0, neurons))
    fits = table.dtype == np.float64 and table.ndim == 2 and table.shape[1] == neurons
    if not fits or not np.all(np.isfinite(table)) or np.any(table < 0):
        expected = f"finite, >= 0, float64, shape (f, {neurons})"
        raise Malformed(f"infeasible: expected {expected}")
    return table


def _require_empty(
    asked: Question, domain: _Domain, farkas: Array, i: int, fixed: bool
) -> None:
    if i >= len(farkas):
        raise Malformed(f"infeasible: row {i} is missing")
    if domain.norm == -np.inf:
        return
    network = asked.network
    start: dict[int, Array] = {}
    place = 0
    for k in network.positions(PIECEWISE):
        node = network.nodes[k]
        if k not in domain.signs:  # the root
            continue
        weights = farkas[i, place : place + node.size] * domain.signs[k]
        place += node.size
        source = node.inputs[0]
        row = -weights.reshape(1, 1, *node.shape)
        start[source] = start[source] + row if source in start else row
    shaped = {k: s.reshape(1, *network.nodes[k].shape) for k, s in domain.signs.items()}
    above = {k: (lo[None], hi[None]) for k, (lo, hi) in domain.before.items()}
    box = (asked.lower, asked.upper)
    values = Values(network, box, shaped, above, fixed=fixed)
    if not values.empty[0] and not values.least(start)[0, 0] > 0:
        raise Malformed(f"infeasible: row {i} does not show that its leaf is empty")
