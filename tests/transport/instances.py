"""Instances and helpers that several test files of the room share."""

import numpy as np
from scipy.special import logsumexp


def assignment(n, seed=0):
    """Random assignment costs, uniform on [0, 1]."""
    return np.random.default_rng(seed).random((n, n))


def weighted(n=24, m=17, seed=0, zeros=True):
    """A rectangular cost and unequal weights, some of them zero."""
    rng = np.random.default_rng(seed)
    source, target = rng.random(n), rng.random(m)
    if zeros:
        source[3] = target[5] = 0.0
    return rng.random((n, m)), source, target * (source.sum() / target.sum())


def grid_blobs(shape=(8, 8)):
    """Two blobs on a grid, L1 distance scaled to 1: integer ties, hard for Newton."""
    axes = [np.arange(side, dtype=float) for side in shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    cost = np.abs(points[:, None] - points).sum(axis=-1)
    first, second = (
        np.exp(-((points - centre) ** 2).sum(axis=1) / 4) + 1e-3
        for centre in (points[0] + 0.5, points[-1] - 1.5)
    )
    return cost / cost.max(), first / first.sum(), second / second.sum()


def reference(cost, source, target, epsilon, sweeps=20_000):
    """Potentials by plain log-domain Sinkhorn in NumPy, gauge sum x = sum y."""
    r, c = source / source.sum(), target / target.sum()
    x, y = np.zeros(len(r)), np.zeros(len(c))
    for _ in range(sweeps):
        x = epsilon * (np.log(r) + 1 - logsumexp((y - cost) / epsilon, axis=1))
        new = epsilon * (np.log(c) + 1 - logsumexp((x - cost.T) / epsilon, axis=1))
        if np.max(np.abs(new - y)) < 1e-15:
            break
        y = new
    shift = (y.sum() - x.sum()) / (len(x) + len(y))
    return x + shift, y - shift


def decided(solution):
    """Claim id without room and version -> decision."""
    return {d.id.split(".")[1].split("/")[0]: d for d in solution.certificate.decisions}


def withheld(solution):
    """The same for claims that were not issued -> reason."""
    found = solution.certificate.withheld
    return {w.id.split(".")[1].split("/")[0]: w.reason for w in found}
