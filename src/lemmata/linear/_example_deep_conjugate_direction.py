"""A tiny pressure equation for the gauntlet."""

from typing import Any

import numpy as np

from ._deep_conjugate_direction import DeepConjugateDirection
from ._grid import FLUID, SOLID
from ._grid_poisson import GridPoisson


def directions() -> tuple[Any, Any]:
    """A 9 by 7 grid with a solid corner and an air cell, by the network that ships."""
    cells = np.full((9, 7), FLUID)
    cells[:2, :3] = SOLID
    cells[6, 5] = 0
    rhs = np.random.default_rng(3).normal(size=cells.shape) * (cells == FLUID)
    return GridPoisson(cells, rhs, spacing=0.5), DeepConjugateDirection()
