"""The Poisson stencil on a grid of fluid, air and solid cells.

Source: Bridson, Fluid Simulation for Computer Graphics (2015), section 5.3.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse

AIR, FLUID, SOLID = 0, 1, 2
"""Cell codes: pressure zero, unknown pressure, wall. Beyond the array lies air."""


def neighbours(field: Any, axis: int, step: int, library: Any = jnp) -> Any:
    """The value one cell further along an axis; zero beyond the array."""
    padding = [(0, 0)] * field.ndim
    padding[axis] = (0, 1) if step > 0 else (1, 0)
    padded = library.pad(field, padding)
    size = field.shape[axis]
    window = slice(1, size + 1) if step > 0 else slice(0, size)
    return padded[(slice(None),) * axis + (window,)]


def neighbour_sum(field: Any, library: Any = jnp) -> Any:
    """Sum over the two neighbours along every axis."""
    total = library.zeros_like(field)
    for axis in range(field.ndim):
        for step in (-1, 1):
            total = total + neighbours(field, axis, step, library)
    return total


def stencil(degree: Any, active: Any, field: Any) -> Any:
    """deg_i x_i - sum of fluid neighbours on active cells; elsewhere deg_i x_i.

    **Arguments:**

    - `degree`: the diagonal, shape of the grid.
    - `active`: 1 where the pressure is unknown, else 0, in the field's dtype.
    """
    return degree * field - active * neighbour_sum(active * field)


def degrees(cells: np.ndarray) -> np.ndarray:
    """The stencil's diagonal: neighbours that are not solid; `2 dim` off the fluid.

    A fluid cell walled in on every side has no equation of its own; it gets `2 dim`
    too and counts as inactive.
    """
    walls = neighbour_sum((cells == SOLID).astype(np.int64), np)
    open_faces = np.where(cells == FLUID, 2 * cells.ndim - walls, 2 * cells.ndim)
    return np.where(open_faces == 0, 2 * cells.ndim, open_faces).astype(np.float64)


def active_cells(cells: np.ndarray) -> np.ndarray:
    """Fluid cells with a face that is not a wall."""
    walls = neighbour_sum((cells == SOLID).astype(np.int64), np)
    return (cells == FLUID) & (walls < 2 * cells.ndim)


class Components(NamedTuple):
    """Connected fluid regions; `labels` is 0 off the fluid, else the region's number.

    `closed` lists the regions without an air cell: the stencil is singular there.
    """

    labels: np.ndarray
    closed: tuple[int, ...]


def components(cells: np.ndarray) -> Components:
    """Regions connected through faces."""
    from scipy.ndimage import label

    fluid = cells == FLUID
    found: Any = label(fluid)
    labels, count = found
    walls = neighbour_sum((cells == SOLID).astype(np.int64), np)
    inner = neighbour_sum(fluid.astype(np.int64), np)
    airy = fluid & (walls + inner < 2 * cells.ndim)
    opened = np.zeros(count + 1, bool)
    opened[labels[airy]] = True
    closed = tuple(k for k in range(1, count + 1) if not opened[k])
    return Components(labels, closed)


def stencil_matrix(cells: np.ndarray, factor: float) -> scipy.sparse.csr_array:
    """The stencil times `factor` as a sparse matrix over all cells, (n, n)."""
    active = active_cells(cells)
    number = np.arange(cells.size).reshape(cells.shape)
    rows, columns = [number.ravel()], [number.ravel()]
    values = [degrees(cells).ravel()]
    for axis in range(cells.ndim):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in _axes(cells))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in _axes(cells))
        both = active[low] & active[high]
        one, two = number[low][both], number[high][both]
        rows += [one, two]
        columns += [two, one]
        values += [np.full(2 * one.size, -1.0)]
    entries = np.concatenate(values) * factor
    place = (np.concatenate(rows), np.concatenate(columns))
    matrix = scipy.sparse.csr_array((entries, place), shape=(cells.size, cells.size))
    matrix.sort_indices()
    return matrix


def _axes(cells: np.ndarray) -> range:
    return range(cells.ndim)


def box_eigenvalue(shape: tuple[int, ...]) -> float:
    """Least eigenvalue of the stencil on a box of fluid with air around it."""
    return sum(4.0 * math.sin(math.pi / (2 * (n + 1))) ** 2 for n in shape)


def box_eigenvector(shape: tuple[int, ...]) -> np.ndarray:
    """Its eigenvector: a product of half sine waves, positive, shape of the grid."""
    vector = np.ones(shape)
    for axis, n in enumerate(shape):
        wave = np.sin(math.pi * np.arange(1, n + 1) / (n + 1))
        vector = vector * wave.reshape(
            [-1 if a == axis else 1 for a in range(len(shape))]
        )
    return vector
