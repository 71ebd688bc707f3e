"""Rule of message passing: the block is a forest, and the step solves its system."""

import math

import numpy as np

from ..case import Case, Measurement, Rule
from ..rigor import TINY, U
from ..sparse import Matrix
from .optimize_blocks_steps import gradient_at, smooth_quadratic, steps
from .optimize_composite_data import KIND, Setting
from .optimize_composite_free import dense_columns


def forest(case: Case) -> Measurement:
    """The largest max|H_b d + g_b| / max|g_b|; infinite where a block has a cycle."""
    at = smooth_quadratic(case)
    worst, nodes, trees = 0.0, 0, 0
    for x, block, change in steps(case, at.x.size):
        edges = edges_within(at, block)
        count = components(edges, block.size)
        if len(edges) != block.size - count:
            cycle = f"{len(edges)} edges, {block.size} nodes, {count} components"
            return Measurement(math.inf, f"a block is no forest: {cycle}")
        worst = max(worst, _residual(at, x, block, change))
        nodes, trees = nodes + block.size, trees + count
    figures = {"nodes": float(nodes), "trees": float(trees)}
    return Measurement(worst, "", figures)


def _residual(at: Setting, x: np.ndarray, block: np.ndarray, d: np.ndarray) -> float:
    """Upper bound on max|H_b d + g_b| / max|g_b|."""
    g, slip = gradient_at(at, x)
    g, slip = g[block], slip[block]
    spread = np.zeros(at.x.size)
    spread[block] = d
    if at.loss == "quadratic":
        z, error = at.matrix.product(spread)
    else:
        y, off = at.matrix.product(spread)
        z, error = at.matrix.transposed(y)
        error = error + at.norms * float(np.sqrt(np.sum(off * off))) * (1 + 1e-12)
    z, error = z[block], error[block]
    missing = np.abs(z + g) + error + slip + 2 * U * (np.abs(z) + np.abs(g)) + TINY
    size = float(np.max(np.abs(g) - slip))
    return float(np.max(missing)) / size * (1 + 4 * U) if size > 0 else math.inf


def edges_within(at: Setting, block: np.ndarray) -> np.ndarray:
    """Pairs (k, 2), first < second, of places in the block that H couples.

    For least squares an entry of A^T A counts unless its columns share no row.
    """
    place = np.full(at.x.size, -1)
    place[block] = np.arange(block.size)
    if at.loss == "quadratic" and not at.matrix.is_dense:
        first, second = _stored(at.matrix, place)
    else:
        part = dense_columns(at.matrix, block)
        if at.loss == "quadratic":
            first, second = np.nonzero(part[block])
        else:
            used = (part != 0).astype(np.float64)
            first, second = np.nonzero(used.T @ used)
    above = first < second
    return np.stack([first[above], second[above]], axis=1)


def _stored(matrix: Matrix, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = place[matrix.rows()], place[matrix.indices]
    kept = (rows >= 0) & (columns >= 0) & (matrix.data != 0)
    return rows[kept], columns[kept]


def components(edges: np.ndarray, nodes: int) -> int:
    """How many trees, by union-find."""
    above = list(range(nodes))

    def root(u: int) -> int:
        while above[u] != u:
            above[u] = above[above[u]]
            u = above[u]
        return u

    count = nodes
    for u, v in edges.tolist():
        u, v = root(u), root(v)
        if u != v:
            above[u] = v
            count -= 1
    return count


RULES: tuple[Rule, ...] = (
    Rule(
        "optimize.forest/1",
        "proof",
        "<=",
        "every recorded block is a forest in the graph of H, and its step has "
        "max|H_b d + g_b| <= promised max|g_b|",
        "",
        forest,
        (KIND,),
    ),
)
