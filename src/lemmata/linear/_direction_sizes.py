"""How many steps a network's directions take on larger grids than it was trained on.

Source: the question of Kaneda et al., ICML 2023 (arXiv 2205.10763), section on results.
"""

from typing import NamedTuple

import numpy as np

from ..core import solve
from ._deep_conjugate_direction import DeepConjugateDirection
from ._direction_network import AbstractDirections
from ._grid import FLUID
from ._grid_poisson import GridPoisson


class StepCounts(NamedTuple):
    """Cells of each grid and the steps taken on it, both (k,), int64."""

    cells: np.ndarray
    steps: np.ndarray


def measure_sizes(
    network: AbstractDirections,
    shape: tuple[int, ...],
    *,
    factors: tuple[int, ...] = (1, 2, 4),
    rtol: float = 1e-4,
    max_steps: int = 1000,
    key: int = 0,
) -> StepCounts:
    """Steps until both norms of the residual are below `rtol`, on empty boxes.

    **Arguments:**

    - `network`: what proposes directions.
    - `shape`: of the grid that it was trained on.
    - `factors`: by which the sides grow, ascending.
    - `key`: of the right-hand sides, which are white noise.
    """
    method = DeepConjugateDirection(network, max_steps=max_steps)
    cells, steps = [], []
    for factor in factors:
        grid = tuple(factor * n for n in shape)
        rhs = np.random.default_rng(key).normal(size=grid)
        problem = GridPoisson(np.full(grid, FLUID), rhs, rtol=rtol)
        found = solve(problem, method, throw=False)
        cells.append(problem.size)
        steps.append(found.stats.steps)
    return StepCounts(np.asarray(cells, np.int64), np.asarray(steps, np.int64))
