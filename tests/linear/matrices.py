"""Small matrices with known properties."""

import numpy as np
import scipy.sparse as sp


def poisson(n):
    """Five-point Laplacian on n x n inner points, unscaled."""
    path = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    one = sp.eye_array(n)
    return sp.csr_array(sp.kron(path, one) + sp.kron(one, path))


def graph(n, rng, shift=0.1):
    """Laplacian of a random graph of about three edges a node, plus a shift."""
    i, j = rng.integers(n, size=(2, 3 * n))
    keep = i != j
    adjacency = sp.coo_array((np.ones(keep.sum()), (i[keep], j[keep])), shape=(n, n))
    weights = sp.csr_array(adjacency + adjacency.T)
    degrees = np.asarray(weights.sum(axis=1)).reshape(-1)
    return sp.csr_array(sp.diags_array(degrees + shift) - weights)


def definite(n, rng, condition=100.0):
    """Dense, of a given condition number, symmetric to the last bit."""
    q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    matrix = q * np.geomspace(1.0, condition, n) @ q.T
    return (matrix + matrix.T) / 2
