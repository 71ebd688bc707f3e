"""Forests and colour classes found in a graph, on the host.

Source: Nutini, Laradji and Schmidt, JMLR 23(131), 2022, section 5.3.
"""

from typing import Any

import numpy as np
from scipy import sparse


def greedy_forest(operator: Any, scores: Any, among: Any = None) -> np.ndarray:
    """A maximal induced forest that prefers nodes of high score; O(E alpha(n)).

    Nodes are visited by falling score (ties by index); one is taken if its neighbours
    taken so far lie in distinct trees, told apart by union-find.

    **Arguments:**

    - `operator`: SciPy sparse, symmetric pattern, shape (n, n).
    - `scores`: shape (n,).
    - `among`: indices to choose from; None: all.

    **Returns:** the nodes, sorted.
    """
    matrix: Any = sparse.csr_array(operator)
    order = np.argsort(-np.asarray(scores), kind="stable")
    if among is not None:
        order = order[np.isin(order, among)]
    return grow_forest(matrix.indptr.tolist(), matrix.indices.tolist(), order.tolist())


def grow_forest(indptr: list[int], indices: list[int], order: list[int]) -> np.ndarray:
    """The nodes taken when they are visited in this order, sorted."""
    above = [-1] * (len(indptr) - 1)  # -1: not taken; itself: the name of its tree
    size = [1] * len(above)
    taken = []
    for v in order:
        roots: list[int] = []
        for u in indices[indptr[v] : indptr[v + 1]]:
            if u == v or above[u] < 0:
                continue
            while above[u] != u:  # path halving
                above[u] = above[above[u]]
                u = above[u]
            if u in roots:
                break
            roots.append(u)
        else:
            taken.append(v)
            top = max(roots, key=size.__getitem__, default=v)  # union by size
            above[v] = top
            for u in roots:
                above[u] = top
            if roots:
                size[top] = 1 + sum(size[u] for u in roots)
    return np.sort(np.asarray(taken, np.int64))


def tree_partition(operator: Any) -> np.ndarray:
    """Which of a few forests each variable belongs to, shape (n,), from 0.

    Maximal forests are taken one after the other from what remains, nodes of few
    neighbours first.
    """
    matrix: Any = sparse.csr_array(operator)
    degree = np.diff(matrix.indptr)
    colours = np.full(matrix.shape[0], -1)
    while np.any(colours < 0):
        rest = np.flatnonzero(colours < 0)
        colours[greedy_forest(matrix, -degree, rest)] = colours.max() + 1
    return colours


def lattice_combs(rows: int, columns: int) -> np.ndarray:
    """Two interleaved combs that cover a lattice, shape (rows * columns,), 0 or 1.

    One has its spine in the first column and its teeth in even rows, the other in the
    last column and in odd rows. Delete variables afterwards: their neighbours' places
    on the lattice are lost with them.
    """
    row, column = np.divmod(np.arange(rows * columns), columns)
    first = np.where(row % 2 == 0, column < columns - 1, column == 0)
    return np.where(first, 0, 1)


def independent_sets(operator: Any) -> np.ndarray:
    """A colour for each variable, no two neighbours alike: red and black on a lattice.

    Greedy in breadth-first order, which finds two colours wherever two suffice.
    """
    matrix: Any = sparse.csr_array(operator)
    indptr, indices = matrix.indptr.tolist(), matrix.indices.tolist()
    colours = [-1] * int(matrix.shape[0])
    for root in range(len(colours)):
        if colours[root] >= 0:
            continue
        queue = [root]
        for v in queue:
            if colours[v] >= 0:
                continue
            near = [u for u in indices[indptr[v] : indptr[v + 1]] if u != v]
            used = {colours[u] for u in near}
            colours[v] = next(c for c in range(len(used) + 1) if c not in used)
            queue.extend(u for u in near if colours[u] < 0)
    return np.asarray(colours, np.int64)
