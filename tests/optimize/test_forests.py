"""Forests: found greedily, solved by passing messages, compared with sparse LU."""

import jax
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import spsolve
from tests.optimize.instances_blocks import lattice, random_forest

from lemmata.core import InvalidArgument
from lemmata.optimize import (
    forest_order,
    greedy_forest,
    independent_sets,
    lattice_combs,
    solve_forest,
    tree_partition,
)


def solve(matrix, rhs, nodes=None):
    with jax.enable_x64(True):
        return np.asarray(jax.jit(solve_forest)(forest_order(matrix, nodes), rhs))


def is_forest(matrix, nodes):
    inner = sparse.csr_array(matrix[nodes][:, nodes])
    edges = (inner.nnz - np.count_nonzero(inner.diagonal())) // 2
    return edges == len(nodes) - connected_components(inner)[0]


@pytest.mark.parametrize("seed", range(6))
def test_messages_solve_the_system(seed):
    matrix = random_forest(70, seed)  # one size: one compilation
    rhs = np.random.default_rng(seed).normal(size=70)
    # diagonal dominance: condition numbers of some hundreds
    np.testing.assert_allclose(
        solve(matrix, rhs), spsolve(matrix.tocsc(), rhs), rtol=1e-10, atol=1e-12
    )


def test_a_star_needs_runs_longer_than_a_slice():
    n = 200
    matrix = sparse.lil_array((n, n))
    matrix[0, 1:] = matrix[1:, 0] = -1.0
    matrix.setdiag(n * 1.0)
    matrix, rhs = sparse.csr_array(matrix), np.cos(np.arange(n))
    np.testing.assert_allclose(
        solve(matrix, rhs), spsolve(matrix.tocsc(), rhs), rtol=1e-12
    )


def test_nodes_outside_are_left_alone():
    matrix = lattice(6, 6) * -1.0 + 5 * sparse.eye_array(36)
    nodes = np.flatnonzero(lattice_combs(6, 6) == 0)
    rhs = np.arange(36.0)
    found = solve(matrix, rhs, nodes)
    inner = sparse.csc_array(sparse.csr_array(matrix)[nodes][:, nodes])
    np.testing.assert_allclose(found[nodes], spsolve(inner, rhs[nodes]), rtol=1e-12)
    assert not np.any(np.delete(found, nodes))


def gaussian_belief_propagation(matrix, rhs):
    """Parallel sum-product on precisions and potentials, until nothing changes."""
    dense, n = matrix.toarray(), matrix.shape[0]
    near = [np.flatnonzero((dense[i] != 0) & (np.arange(n) != i)) for i in range(n)]
    precision, potential = np.zeros((n, n)), np.zeros((n, n))
    for _ in range(n):
        new_p, new_h = np.zeros((n, n)), np.zeros((n, n))
        for i in range(n):
            for j in near[i]:
                others = [k for k in near[i] if k != j]
                p = dense[i, i] + precision[others, i].sum()
                h = rhs[i] + potential[others, i].sum()
                new_p[i, j], new_h[i, j] = -(dense[i, j] ** 2) / p, -dense[i, j] * h / p
        precision, potential = new_p, new_h
    total = np.diag(dense) + precision.sum(axis=0)
    return (rhs + potential.sum(axis=0)) / total


def test_equal_to_gaussian_belief_propagation():
    matrix = random_forest(20, 3)
    rhs = np.random.default_rng(3).normal(size=20)
    expected = gaussian_belief_propagation(matrix, rhs)
    np.testing.assert_allclose(solve(matrix, rhs), expected, rtol=1e-12)


def test_a_cycle_is_named_by_one_of_its_edges():
    matrix = random_forest(12, 0).tolil()
    for u, v in ((3, 7), (7, 9), (9, 3)):
        matrix[u, v] = matrix[v, u] = 1.0
    with pytest.raises(InvalidArgument, match=r"a forest.*cycle through the edge \(\d"):
        forest_order(sparse.csr_array(matrix))
    triangle = np.array([3, 7, 9])
    with pytest.raises(InvalidArgument, match=r"edge \([379], [379]\)"):
        forest_order(sparse.csr_array(matrix), triangle)


@pytest.mark.parametrize("seed", range(4))
def test_greedy_forest_is_maximal_and_prefers_high_scores(seed):
    rng = np.random.default_rng(seed)
    dense = np.triu(rng.random((30, 30)) < 0.15, 1)
    graph = sparse.csr_array((dense + dense.T).astype(float))
    scores = rng.integers(0, 5, 30).astype(float)  # with ties
    nodes = greedy_forest(graph, scores)
    assert is_forest(graph, nodes)
    expected: list[int] = []
    for v in np.argsort(-scores, kind="stable"):
        if is_forest(graph, np.asarray([*expected, v])):
            expected.append(int(v))
    assert nodes.tolist() == sorted(expected)


def test_combs_and_partitions_cover_by_forests():
    for rows, columns in ((5, 5), (6, 9), (2, 2), (1, 4), (50, 50)):
        graph, combs = lattice(rows, columns), lattice_combs(rows, columns)
        assert all(is_forest(graph, np.flatnonzero(combs == c)) for c in (0, 1))
    graph = lattice(9, 9)
    colours = tree_partition(graph)
    assert colours.min() == 0
    parts = [np.flatnonzero(colours == c) for c in range(colours.max() + 1)]
    assert all(is_forest(graph, part) and part.size for part in parts)


def test_red_and_black():
    graph = lattice(7, 8)
    colours = independent_sets(graph)
    row, column = np.divmod(np.arange(56), 8)
    assert np.array_equal(colours, (row + column) % 2)


def test_work_is_linear():
    """Places and runs of the order, which is what the compiled loops go through."""
    counts = []
    for rows in (40, 80):
        graph = lattice(rows, 20)
        nodes = np.flatnonzero(lattice_combs(rows, 20) == 0)
        order = forest_order(sparse.csr_array(graph), nodes)
        counts.append((order.nodes.size, int(order.runs)))
    assert counts[1][0] == 2 * counts[0][0]
    assert counts[1][1] <= 2.5 * counts[0][1]
