"""A tiny instance of block coordinate descent, for the gauntlet."""

from typing import Any

import numpy as np

from ._block_coordinate import BlockCoordinateDescent
from ._composite import CompositeProblem
from ._losses import LeastSquares
from ._partitions import VariableBlocks
from ._penalties import L1


def block_coordinate() -> tuple[Any, Any]:
    """Least squares with an L1 penalty: three of eight coefficients are not zero."""
    rng = np.random.default_rng(4)
    design = rng.normal(size=(14, 8))
    design[:, 5] = 0.0
    target = design[:, :3] @ np.array([2.0, -1.5, 1.0]) + 0.1 * rng.normal(size=14)
    problem = CompositeProblem(
        LeastSquares(design, target), L1(2.0), gap_tol=1e-5, stationarity_tol=1e-6
    )
    return problem, BlockCoordinateDescent(VariableBlocks(2))
