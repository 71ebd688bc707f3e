"""Instances of the paper's experiments, small enough for tests."""

import numpy as np
from scipy import sparse


def sparse_regression(m=300, n=1000, seed=1):
    """The paper's data A: columns of very different lengths, many zeros."""
    rng = np.random.default_rng(seed)
    design = (rng.normal(size=(m, n)) + 1) * (10 * rng.normal(size=n))
    design *= rng.random((m, n)) < 10 * np.log(m) / m
    weights = rng.normal(size=n) * (rng.random(n) < 0.1)
    return design, design @ weights + rng.normal(size=m)


def lattice(rows, columns, weight=1.0):
    """Weights of a grid graph."""
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], 1)
    down = np.stack([index[:-1].ravel(), index[1:].ravel()], 1)
    pairs = np.concatenate([right, down])
    shape = (index.size, index.size)
    half = sparse.coo_array((np.full(len(pairs), weight), tuple(pairs.T)), shape=shape)
    return sparse.csr_array(half + half.T)


def random_forest(n, seed):
    """A diagonally dominant matrix whose graph is a forest."""
    rng = np.random.default_rng(seed)
    matrix = np.zeros((n, n))
    for child in range(1, n):
        if rng.random() < 0.9:
            parent = rng.integers(child)
            matrix[child, parent] = matrix[parent, child] = rng.normal()
    matrix += np.diag(np.abs(matrix).sum(axis=1) + rng.uniform(0.1, 1, n))
    order = rng.permutation(n)
    return sparse.csr_array(matrix[np.ix_(order, order)])


def labelled_lattice(rows, columns, labels, seed, weight=1.0):
    """(H, b, unknown nodes) of label propagation on a grid."""
    rng = np.random.default_rng(seed)
    weights = lattice(rows, columns, weight)
    n = rows * columns
    known = np.sort(rng.choice(n, labels, replace=False))
    unknown = np.setdiff1d(np.arange(n), known)
    laplacian = sparse.csr_array(sparse.diags_array(weights.sum(axis=1)) - weights)
    linear = -(laplacian[unknown][:, known] @ (10 * rng.normal(size=labels)))
    return sparse.csr_array(laplacian[unknown][:, unknown]), linear, unknown
