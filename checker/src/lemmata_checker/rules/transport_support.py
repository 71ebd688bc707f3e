"""Make a sparse plan exactly feasible without leaving its support, in integers.

All masses, weights and shares are multiples of one common unit, so that feasibility is
decided, not estimated. First the residuals are routed along a spanning forest of the
support that prefers heavy entries; a component whose two sides do not weigh the same
admits no plan. If the forest would make an entry negative, augmenting paths are tried.
"""

from collections import deque

import numpy as np

from .transport_cost import Marginal

WORK = 5_000_000  # edges looked at by augmenting paths before giving up


def _integers(values: np.ndarray) -> tuple[list[int], int]:
    """(integers, e) with values = integers * 2^e, exactly."""
    mantissa, exponent = np.frexp(values)
    whole = np.ldexp(mantissa, 53).astype(np.int64).tolist()
    least = int(exponent[values != 0].min(initial=0)) - 53
    shifts = (exponent - 53 - least).tolist()
    shifted = zip(whole, shifts, strict=True)
    return [w << s if w else 0 for w, s in shifted], least


class Support:
    """A bipartite graph of entries (i, j) with integer masses and integer demands.

    **Fields:** `ends` (node of i, node of j) per entry, `mass` per entry, `need` per
    node (`rows` of them first), and `unit`: the integer that stands for 1.
    """

    def __init__(
        self,
        i: np.ndarray,
        j: np.ndarray,
        mass: np.ndarray,
        rows: Marginal,
        columns: Marginal,
    ) -> None:
        self.rows = n = rows.size
        self.ends = list(zip(i.tolist(), (n + j).tolist(), strict=True))
        first, _ = _integers(rows.weights)
        second, _ = _integers(columns.weights)
        whole, exponent = _integers(mass)
        total, other = sum(first), sum(second)
        up, down = (exponent, 0) if exponent > 0 else (0, -exponent)
        self.mass = [(w * total * other) << up for w in whole]
        self.need = [(w * other) << down for w in first]
        self.need += [(w * total) << down for w in second]
        self.unit = (total * other) << down

    def residuals(self) -> list[int]:
        """What each node lacks."""
        lacks = list(self.need)
        for (i, j), mass in zip(self.ends, self.mass, strict=True):
            lacks[i] -= mass
            lacks[j] -= mass
        return lacks

    def masses(self) -> np.ndarray:
        """The masses, each rounded once."""
        return np.array([mass / self.unit for mass in self.mass])


def feasible(support: Support) -> str:
    """Change the masses to meet every need; "" or the reason why not."""
    order, parent = _forest(support)
    lacks = support.residuals()
    for node in reversed(order):  # leaves first
        edge = parent[node]
        if edge < 0:
            if lacks[node]:
                return "a component of the support weighs different on its two sides"
            continue
        i, j = support.ends[edge]
        support.mass[edge] += lacks[node]
        lacks[j if node == i else i] -= lacks[node]
    if min(support.mass, default=0) >= 0:
        return ""
    _shrink(support)
    return _augment(support)


def _forest(support: Support) -> tuple[list[int], list[int]]:
    """(nodes from the roots on, edge to the parent or -1): a heaviest forest."""
    size = len(support.need)
    root = list(range(size))

    def find(node: int) -> int:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    chosen: list[list[tuple[int, int]]] = [[] for _ in range(size)]
    heaviest = sorted(range(len(support.mass)), key=lambda e: -support.mass[e])
    for edge in heaviest:
        i, j = support.ends[edge]
        a, b = find(i), find(j)
        if a != b:
            root[a] = b
            chosen[i].append((j, edge))
            chosen[j].append((i, edge))
    order: list[int] = []
    parent = [-2] * size
    for start in range(size):
        if parent[start] != -2:
            continue
        parent[start], begin = -1, len(order)
        order.append(start)
        while begin < len(order):
            node = order[begin]
            begin += 1
            for other, edge in chosen[node]:
                if parent[other] == -2:
                    parent[other] = edge
                    order.append(other)
    return order, parent


def _shrink(support: Support) -> None:
    """Drop negative masses, then scale down until no node has too much."""
    support.mass = [max(0, mass) for mass in support.mass]
    for side in (0, 1):
        held = [0] * len(support.need)
        for ends, mass in zip(support.ends, support.mass, strict=True):
            held[ends[side]] += mass
        for edge, ends in enumerate(support.ends):
            node = ends[side]
            if held[node] > support.need[node]:
                support.mass[edge] = (
                    support.mass[edge] * support.need[node] // held[node]
                )


def _augment(support: Support) -> str:
    """Shortest augmenting paths from rows to columns that lack mass.

    No node has too much, and both sides lack the same in all.
    """
    lacks = support.residuals()
    near: list[list[tuple[int, int]]] = [[] for _ in support.need]
    for edge, (i, j) in enumerate(support.ends):
        near[i].append((j, edge))
        near[j].append((i, edge))
    work = 0
    while any(lacks[: support.rows]):
        path, seen = _path(support, lacks, near)
        work += seen
        if not path:
            return "no plan on this support has these marginals"
        if work > WORK:
            return "no plan on this support was found in the time allowed"
        backward = [support.mass[edge] for edge in path[1::2]]
        first, last = _terminals(support, path)
        amount = min([lacks[first], lacks[last], *backward])
        for position, edge in enumerate(path):
            support.mass[edge] += -amount if position % 2 else amount
        lacks[first] -= amount
        lacks[last] -= amount
    return ""


def _terminals(support: Support, path: list[int]) -> tuple[int, int]:
    """The row where a path starts and the column where it ends."""
    return support.ends[path[0]][0], support.ends[path[-1]][1]


def _path(support: Support, lacks: list[int], near) -> tuple[list[int], int]:
    """Edges of a shortest path, forward and backward in turn, and the work done.

    Forward, row to column, any amount fits; backward an edge gives what it has.
    """
    came: dict[int, int] = {}
    queue: deque[int] = deque()
    for node in range(support.rows):
        if lacks[node] > 0:
            came[node] = -1
            queue.append(node)
    work = 0
    while queue:
        node = queue.popleft()
        is_row = node < support.rows
        if not is_row and lacks[node] > 0:
            path = []
            while came[node] >= 0:
                edge = came[node]
                path.append(edge)
                i, j = support.ends[edge]
                node = j if node == i else i
            return path[::-1], work
        for other, edge in near[node]:
            work += 1
            if other not in came and (is_row or support.mass[edge] > 0):
                came[other] = edge
                queue.append(other)
    return [], work
