"""Tiny instances of every system of the room, for the gauntlet."""

from typing import Any

import numpy as np

from ._cost import PointCost
from ._entropic import EntropicTransport
from ._semi_dual import SemiDual
from ._sinkhorn_newton import SinkhornNewton
from ._sparse_problem import SparseTransport


def sinkhorn_newton() -> tuple[Any, Any]:
    """Two weighted point clouds in the plane, one weight zero."""
    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(12, 2)), rng.normal(size=(10, 2)) + 0.5
    weights = rng.uniform(0.5, 1.5, size=12)
    weights[3] = 0.0
    weights /= weights.sum()
    cost = PointCost(source, target)
    problem = EntropicTransport(cost, weights, np.full(10, 0.1), epsilon=0.05)
    return problem, SinkhornNewton()


def sparsity_constrained() -> tuple[Any, Any]:
    """Twelve sources to six targets, three sources for each at most."""
    rng = np.random.default_rng(2)
    cost = rng.uniform(size=(12, 6))
    return SparseTransport(cost, gamma=1.0, cap=3, gap_tol=1e-3), SemiDual()
