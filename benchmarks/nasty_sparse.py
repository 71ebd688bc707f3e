"""Instances of sparse transport on which solvers like to be wrong."""

import numpy as np

from lemmata.studies.transport_sparsity_constrained import colour_problem
from lemmata.transport import SparseTransport

SIZE, CAP = 40, 3


def cases() -> dict[str, SparseTransport]:
    """Colours, random costs, ties, bad scales, uneven weights, forbidden pairs."""
    rng = np.random.default_rng(7)
    found = {f"colours, cap {cap}": colour_problem(64, cap) for cap in (2, 4, 8, 16)}
    random = rng.uniform(size=(SIZE, SIZE))
    for gamma in (0.01, 1.0, 100.0):
        found[f"random, gamma {gamma:g}"] = _square(random, gamma)
    for levels in (2, 3, 5):
        cost = rng.integers(0, levels, size=(SIZE, SIZE)).astype(float)
        found[f"ties, {levels} values"] = _square(cost)
    twins = random.copy()
    twins[1::2] = twins[::2]
    found["every source twice"] = _square(twins)
    line = np.arange(float(SIZE)) / (SIZE - 1)
    found["points on a line"] = _square(np.abs(line[:, None] - line))
    for scale in (1e-6, 1e6):
        found[f"costs times {scale:g}"] = _square(scale * random, scale)
    found["costs plus 1e6"] = _square(random + 1e6)
    for power in (1, 4):
        weights = rng.uniform(0.1, 1.0, size=(2, SIZE)) ** power
        weights /= weights.sum(axis=1, keepdims=True)
        found[f"weights to the power {power}"] = _square(random, 1.0, *weights)
    forbidden = random.copy()
    forbidden[rng.uniform(size=random.shape) < 0.3] = np.inf
    found["forbidden pairs"] = _square(forbidden)
    return found


def _square(
    cost: np.ndarray,
    gamma: float = 1.0,
    source: np.ndarray | None = None,
    target: np.ndarray | None = None,
) -> SparseTransport:
    return SparseTransport(cost, source, target, gamma=gamma, cap=CAP)
