"""A small smoke simulation whose pressure equation changes with a moving obstacle.

Source: Stam, SIGGRAPH 1999, for semi-Lagrangian advection; Bridson, Fluid Simulation
for Computer Graphics (2015), chapters 3 to 5, for the staggered grid.
"""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import map_coordinates

from ..linear import FLUID, SOLID, GridPoisson

BUOYANCY = 0.15  # upward acceleration of full smoke, cells per step^2
SOURCE = 1.0  # density that the inlet is held at
INFLOW = 1.2  # upward velocity there, cells per step


class Smoke:
    """Density and staggered velocity on a square; walls on three sides, open on top.

    Axis 0 points up. `across` holds velocities along axis 1 on vertical faces, shape
    (n, n + 1), `up` those along axis 0 on horizontal faces, shape (n + 1, n). Unit
    cells and unit time steps.
    """

    def __init__(self, side: int):
        self.side, self.time = side, 0
        self.density = np.zeros((side, side))
        self.across = np.zeros((side, side + 1))
        self.up = np.zeros((side + 1, side))

    def disk(self) -> tuple[np.ndarray, float]:
        """Cells of the moving disk, and its velocity across."""
        n, phase = self.side, 2 * np.pi * self.time / 50
        i, j = np.mgrid[:n, :n] + 0.5
        centre = n * (0.5 + 0.2 * np.sin(phase))
        inside = (i - 0.5 * n) ** 2 + (j - centre) ** 2 < (0.12 * n) ** 2
        return inside, n * 0.2 * np.cos(phase) * 2 * np.pi / 50

    def cells(self) -> np.ndarray:
        """Cell codes now."""
        cells = np.full((self.side, self.side), FLUID)
        cells[0] = cells[:, 0] = cells[:, -1] = SOLID
        cells[self.disk()[0]] = SOLID
        return cells

    def equation(self, rtol: float) -> GridPoisson:
        """Moves everything by one step; the pressure that makes it free of divergence.

        Call `project` with its solution afterwards.
        """
        self.time += 1
        self._advect()
        n = self.side
        inlet = slice(n // 2 - n // 8, n // 2 + n // 8)
        self.density[1:4, inlet] = SOURCE
        self.up[2:4, inlet] = INFLOW
        self.up[1:-1] += BUOYANCY * 0.5 * (self.density[1:] + self.density[:-1])
        self._walls()
        cells = self.cells()
        divergence = np.diff(self.up, axis=0) + np.diff(self.across, axis=1)
        return GridPoisson(cells, -divergence * (cells == FLUID), rtol=rtol)

    def project(self, pressure: np.ndarray) -> float:
        """Subtracts the gradient; the largest divergence left in a fluid cell."""
        cells, n = self.cells(), self.side
        p = np.pad(pressure.reshape(n, n), 1)
        solid = np.pad(cells == SOLID, 1)
        up_free = ~(solid[1:, 1:-1] | solid[:-1, 1:-1])
        across_free = ~(solid[1:-1, 1:] | solid[1:-1, :-1])
        self.up -= np.diff(p[:, 1:-1], axis=0) * up_free
        self.across -= np.diff(p[1:-1], axis=1) * across_free
        divergence = np.diff(self.up, axis=0) + np.diff(self.across, axis=1)
        return float(np.max(np.abs(divergence[cells == FLUID])))

    def _walls(self) -> None:
        """Faces of solid cells move as those do."""
        inside, speed = self.disk()
        walls = np.pad(self.cells() == SOLID, 1)
        self.up[walls[1:, 1:-1] | walls[:-1, 1:-1]] = 0.0
        self.across[walls[1:-1, 1:] | walls[1:-1, :-1]] = 0.0
        disk = np.pad(inside, 1)
        self.across[disk[1:-1, 1:] | disk[1:-1, :-1]] = speed

    def _advect(self) -> None:
        """Every quantity is that found one step upstream."""
        old_up, old_across = self.up.copy(), self.across.copy()

        def moved(field: np.ndarray, offset: tuple[float, float]) -> np.ndarray:
            i, j = np.mgrid[: field.shape[0], : field.shape[1]]
            y, x = i + offset[0], j + offset[1]
            speed_up = _at(old_up, y, x - 0.5)
            speed_across = _at(old_across, y - 0.5, x)
            y, x = y - speed_up - offset[0], x - speed_across - offset[1]
            return _at(field, y, x)

        self.density = moved(self.density, (0.5, 0.5))
        self.up, self.across = moved(old_up, (0.0, 0.5)), moved(old_across, (0.5, 0.0))


def _at(field: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return map_coordinates(field, [y, x], order=1, mode="nearest")


def simulate(
    side: int, steps: int, rtol: float, solve: Callable[[GridPoisson], np.ndarray]
) -> tuple[Smoke, list[np.ndarray], float]:
    """The end, a picture every quarter, and the largest divergence ever left."""
    smoke, pictures, worst = Smoke(side), [], 0.0
    for step in range(1, steps + 1):
        worst = max(worst, smoke.project(solve(smoke.equation(rtol))))
        if step % max(steps // 4, 1) == 0:
            picture = np.where(smoke.disk()[0], 0.5, 1 - np.clip(smoke.density, 0, 1))
            pictures.append(picture[::-1])
    return smoke, pictures, worst
