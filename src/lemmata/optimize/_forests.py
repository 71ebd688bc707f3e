"""Forests in a graph, and linear systems on them solved by passing messages.

A matrix whose graph is a forest is factored without fill: leaves are eliminated first,
H_v -> H_v - sum over children of H_vc^2 / h_c, then their parents, level by level.

Source: Nutini, Laradji and Schmidt, JMLR 23(131), 2022, section 5; the same numbers as
Gaussian belief propagation (Weiss and Freeman, Neural Computation 13, 2001).
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int64
from scipy import sparse

from ..core import AnyArray, InvalidArgument

_WIDTH = 64  # nodes of one level eliminated together


class Forest(eqx.Module):
    """A matrix on a forest, in order of elimination, padded to a capacity c.

    **Fields:**

    - `nodes`: variable at each place, shape (c,); n where the place is empty.
    - `parents`: place of the parent, larger than the child's; c for roots.
    - `diagonal`, `edges`: H_vv and H_v,parent; 1 and 0 where there is none.
    - `starts`, `sizes`: runs of places that are eliminated together, shape (c,).
    - `runs`: how many of them there are, shape ().
    """

    nodes: Int64[AnyArray, " c"]
    parents: Int64[AnyArray, " c"]
    diagonal: Float64[AnyArray, " c"]
    edges: Float64[AnyArray, " c"]
    starts: Int64[AnyArray, " c"]
    sizes: Int64[AnyArray, " c"]
    runs: Int64[AnyArray, ""]


def solve_forest(forest: Forest, rhs: Any) -> Array:
    """The d with H_b d = rhs_b on the forest's nodes and 0 elsewhere; O(|b|).

    **Arguments:**

    - `forest`: made by `forest_order`.
    - `rhs`: shape (n,), over all variables.

    **Returns:** shape (n,). Inside `jax.enable_x64(True)`.
    """
    h, r = _eliminate(forest, jnp.asarray(rhs))
    change = _substitute(forest, h, r)
    capacity = forest.nodes.shape[0]
    found = jnp.zeros_like(jnp.asarray(rhs))
    return found.at[forest.nodes].set(change[:capacity], mode="drop")


def _run_at(forest: Forest, index: Any) -> Array:
    """Places of run `index`, and one that is dropped past its end, (width,)."""
    offset = jnp.arange(_WIDTH)
    past = forest.nodes.shape[0] + _WIDTH + 1
    return jnp.where(offset < forest.sizes[index], forest.starts[index] + offset, past)


def _padded(forest: Forest, array: Any, fill: float) -> Array:
    """Room for one more run, so that a slice never leaves the array."""
    return jnp.concatenate([jnp.asarray(array), jnp.full(_WIDTH + 1, fill)])


def _eliminate(forest: Forest, rhs: Array) -> tuple[Array, Array]:
    """Leaf to root: pivots h and reduced right-hand sides r, by place."""
    edges = _padded(forest, forest.edges, 0.0)
    parents = jnp.concatenate(
        [jnp.asarray(forest.parents), jnp.full(_WIDTH + 1, forest.nodes.shape[0])]
    )
    h = _padded(forest, forest.diagonal, 1.0)
    r = _padded(forest, rhs.at[forest.nodes].get(mode="fill", fill_value=0.0), 0.0)

    def eliminate(index: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        h, r = carry
        start = forest.starts[index]

        def cut(array: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(array, start, _WIDTH)

        inside = jnp.arange(_WIDTH) < forest.sizes[index]
        ratio = jnp.where(inside, cut(edges) / cut(h), 0.0)
        up = jnp.where(inside, cut(parents), forest.nodes.shape[0])
        return h.at[up].add(-ratio * cut(edges)), r.at[up].add(-ratio * cut(r))

    # Roots send what they hold to the spare place, which is reset by nobody's use.
    return jax.lax.fori_loop(0, forest.runs, eliminate, (h, r))


def _substitute(forest: Forest, h: Array, r: Array) -> Array:
    """Root to leaf: d_v = (r_v - H_vp d_p) / h_v, by place."""
    capacity = forest.nodes.shape[0]
    edges = _padded(forest, forest.edges, 0.0)
    parents = jnp.concatenate(
        [jnp.asarray(forest.parents), jnp.full(_WIDTH + 1, capacity)]
    )
    d = jnp.zeros_like(r)

    def descend(count: Array, d: Array) -> Array:
        index = forest.runs - 1 - count
        start, place = forest.starts[index], _run_at(forest, index)

        def cut(array: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(array, start, _WIDTH)

        above = jnp.where(cut(parents) < capacity, d[cut(parents)], 0.0)
        return d.at[place].set((cut(r) - cut(edges) * above) / cut(h), mode="drop")

    return jax.lax.fori_loop(0, forest.runs, descend, d)


def forest_order(operator: Any, nodes: Any = None, capacity: int | None = None) -> Any:
    """The order of elimination on the graph of `operator` restricted to `nodes`.

    On the host, O(edges) and a few NumPy calls a level; trees are rooted at their
    centres, so that there are as few levels as can be.

    **Arguments:**

    - `operator`: SciPy sparse, symmetric, shape (n, n).
    - `nodes`: indices; None: all.
    - `capacity`: places; None: as many as nodes.

    **Raises:** `InvalidArgument` if the graph has a cycle, naming an edge of one.
    """
    matrix: Any = sparse.csr_array(operator)
    n = matrix.shape[0]
    nodes = np.arange(n) if nodes is None else np.unique(np.asarray(nodes, np.int64))
    room = int(nodes.size) if capacity is None else capacity
    plan = elimination_plan(matrix.indptr, matrix.indices, nodes, room)
    return with_values(plan, matrix.data)


class Plan(NamedTuple):
    """An order of elimination without values; int32, see `Forest`.

    `diagonal` and `edges` are places among the stored entries of H, or their number
    where there is none.
    """

    nodes: Any
    parents: Any
    diagonal: Any
    edges: Any
    starts: Any
    sizes: Any
    runs: Any


def with_values(plan: Plan, data: Any) -> Forest:
    """The forest of a plan, with values from the stored entries; traced or not."""
    xp = jnp if isinstance(data, jax.Array) else np
    padded = xp.concatenate([data, xp.zeros(1)])
    diagonal = padded[plan.diagonal]
    whole = [xp.asarray(a, xp.int64) for a in plan]
    return Forest(
        whole[0],
        whole[1],
        xp.where(diagonal != 0, diagonal, 1.0),
        padded[plan.edges],
        whole[4],
        whole[5],
        whole[6],
    )


def elimination_plan(
    indptr: np.ndarray, indices: np.ndarray, nodes: np.ndarray, capacity: int
) -> Plan:
    """Levels, parents and runs for the graph on `nodes`, sorted; see `forest_order`."""
    n, stored = indptr.size - 1, indices.size
    inside = np.zeros(n, bool)
    inside[nodes] = True
    rows = np.repeat(np.arange(n), np.diff(indptr))
    columns = indices.astype(np.int64)
    kept = np.flatnonzero(inside[rows] & inside[columns] & (rows != columns))
    rows_in, columns_in = rows[kept], columns[kept]
    level, parent = _peel(rows_in, columns_in, inside)
    order = nodes[np.argsort(level[nodes], kind="stable")]
    place = np.full(n + 1, capacity)
    place[order] = np.arange(order.size)
    upward = parent[rows_in] == columns_in
    edge, diagonal = np.full(n, stored), np.full(n, stored)
    edge[rows_in[upward]] = kept[upward]
    own = np.flatnonzero(rows == columns)
    diagonal[rows[own]] = own
    starts, sizes = _runs(level[order])
    return Plan(
        _fill(order, capacity, n),
        _fill(place[parent[order]], capacity, capacity),
        _fill(diagonal[order], capacity, stored),
        _fill(edge[order], capacity, stored),
        _fill(starts, capacity, 0),
        _fill(sizes, capacity, 0),
        np.asarray(starts.size, np.int32),
    )


def _fill(values: np.ndarray, capacity: int, fill: int) -> np.ndarray:
    padded = np.full(capacity, fill, np.int32)
    padded[: values.size] = values
    return padded


def _runs(level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and sizes of runs of one level, none longer than `_WIDTH`."""
    if not level.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    counts = np.bincount(level)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    pieces = -(-counts // _WIDTH)
    owner = np.repeat(np.arange(counts.size), pieces)
    within = np.arange(owner.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = first[owner] + within * _WIDTH
    return starts, np.minimum(counts[owner] - within * _WIDTH, _WIDTH)


def _peel(
    rows: np.ndarray, columns: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Level of each node when leaves are stripped in rounds, and its parent or -1.

    The one neighbour that a leaf has left is the XOR of those not yet stripped.
    """
    n = inside.size
    degree = np.bincount(rows, minlength=n)
    left = np.zeros(n, np.int64)
    np.bitwise_xor.at(left, rows, columns)
    level, parent = np.full(n, -1), np.full(n, -1)
    front, step = np.flatnonzero(inside & (degree <= 1)), 0
    while front.size:
        leaf = front[degree[front] == 1]
        # Two leaves that face each other: the smaller index goes first.
        facing = (degree[left[leaf]] == 1) & (leaf > left[leaf])
        stay, leaf = leaf[facing], leaf[~facing]
        level[front] = step
        level[stay] = -1
        above = left[leaf]
        parent[leaf] = above
        np.subtract.at(degree, above, 1)
        np.bitwise_xor.at(left, above, leaf)
        front = np.unique(above[(degree[above] <= 1) & (level[above] < 0)])
        step += 1
    if np.any(level[inside] < 0):
        _name_cycle(rows, columns, level)
    return level, parent


def _name_cycle(rows: np.ndarray, columns: np.ndarray, level: np.ndarray) -> None:
    """Walks along edges between nodes that were never stripped until it closes."""
    after: dict[int, list[int]] = {}
    for u, v in zip(rows.tolist(), columns.tolist(), strict=True):
        if level[u] < 0 and level[v] < 0:
            after.setdefault(u, []).append(v)
    u, last = next(iter(after)), -1
    seen = {u}
    while True:
        v = next(w for w in after[u] if w != last)
        if v in seen:
            got = f"a cycle through the edge {(u, v)}"
            raise InvalidArgument("forest_order.nodes", "a forest", got)
        seen.add(v)
        last, u = u, v
