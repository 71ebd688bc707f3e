"""Uniform assignment: its best permutation, LP duals and the gap to the second best.

The second-best permutation differs from the best by one directed cycle in the graph
with weights C_{i,s(k)} - C_{i,s(i)}, so the gap is the shortest such cycle.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment


class Assignment(NamedTuple):
    """An optimal permutation s of a square cost.

    **Fields:** `permutation` (n,) int64; `row_dual` u, `column_dual` v (n,) with
    u_i + v_j <= C_ij, equal along s; `gap`, second-best vertex cost minus best, masses
    1/n (0: not unique, inf: n = 1).
    """

    permutation: np.ndarray
    row_dual: np.ndarray
    column_dual: np.ndarray
    gap: float


def solve_assignment(cost: np.ndarray) -> Assignment:
    """Best assignment and its gap by Floyd-Warshall: O(n^3) time, O(n^2) memory."""
    n = len(cost)
    _, permutation = linear_sum_assignment(cost)
    chosen = cost[np.arange(n), permutation]
    weights = cost[:, permutation] - chosen[:, None]
    distance = weights.copy()
    np.fill_diagonal(distance, 0.0)
    for k in range(n):
        np.minimum(distance, distance[:, k, None] + distance[k], out=distance)
    u, v = duals_from_distances(chosen, permutation, np.min(distance, axis=0))
    np.fill_diagonal(weights, np.inf)
    cycle = float(np.min(weights + distance.T, initial=np.inf))
    return Assignment(permutation.astype(np.int64), u, v, max(cycle, 0.0) / n)


def duals_from_distances(
    chosen: np.ndarray, permutation: np.ndarray, distance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Feasible duals (u, v) from the shortest distance to each row, from anywhere."""
    v = np.empty_like(distance)
    v[permutation] = distance
    return chosen - distance, v
