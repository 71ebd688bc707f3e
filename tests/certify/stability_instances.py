"""Problems that the tests of SGD's stability share, and the toy that judges them."""

import itertools

import numpy as np

from lemmata.certify import DiagonalLinear, SGDStability


def sparse_diagonal(eta=0.05, size=1, n=12, d=20, **options) -> SGDStability:
    """A diagonal linear network that fits a sparse predictor exactly."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(n, d))
    params = {
        "first": 1 + 0.1 * rng.normal(size=d),
        "second": np.where(np.arange(d) < 3, 1.0, 0.05) + 0.1 * rng.normal(size=d),
    }
    model = DiagonalLinear()
    targets = model.predictions(params, inputs)
    return SGDStability(model, params, inputs, targets, eta, size, **options)


def batches(n, size, replacement):
    """Every batch that can be drawn, with equal probability."""
    if replacement:
        return list(itertools.product(range(n), repeat=size))
    return list(itertools.combinations(range(n), size))


def second_moment_map(rows, size, replacement, eta):
    """E[(I - eta H) x (I - eta H)] as a matrix, by going through all batches."""
    n, _, p = rows.shape
    each = np.einsum("ikp,ikq->ipq", rows, rows)
    drawn = batches(n, size, replacement)
    total = np.zeros((p * p, p * p))
    for batch in drawn:
        step = np.eye(p) - eta * sum(each[i] for i in batch) / size
        total += np.kron(step, step)
    return total / len(drawn)


def dense_threshold(rows, size, replacement):
    """2 / mu from the r^2 x r^2 pencil on the range of G, by eigenvalues alone."""
    n, outputs, p = rows.shape
    flat = rows.reshape(n * outputs, p)
    _, values, basis = np.linalg.svd(flat, full_matrices=False)
    inside = rows @ basis[values > 1e-10 * values[0]].T
    r = inside.shape[2]
    # Q(eta) = 1 - 2 eta C + eta^2 D, so two learning rates give both.
    one, two = (second_moment_map(inside, size, replacement, e) for e in (1.0, 2.0))
    noise = (two - 2 * one + np.eye(r * r)) / 2
    mean = (np.eye(r * r) + noise - one) / 2
    found = np.linalg.eigvals(np.linalg.solve(mean, noise))
    return 2 / float(np.max(found.real))
