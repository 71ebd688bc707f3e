"""The pressure equation on a grid of fluid, air and solid cells, matrix-free.

Source: Bridson, Fluid Simulation for Computer Graphics (2015), section 5.3; the system
of Kaneda et al., ICML 2023 (arXiv 2205.10763).
"""

from functools import lru_cache
from typing import Any, final

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from lemmata_checker import Packed

from ..core import AnyArray, Claim, InvalidProblem, Withheld, array64, require
from ._grid import (
    AIR,
    FLUID,
    SOLID,
    active_cells,
    box_eigenvector,
    components,
    degrees,
    neighbour_sum,
    stencil,
    stencil_matrix,
)
from ._problem import AbstractLinearProblem, LinearSolution, Real

KIND = "linear.grid_poisson/1"
_BOUND = "linear.error_bound/1"
_LARGEST_ENCLOSED = 2**21  # cells up to which a positive vector is computed
_U = 2.0**-53


@final
class GridPoisson(AbstractLinearProblem):
    """Find p with A p = b: on fluid cells deg_i p_i - sum of fluid neighbours, / h^2.

    deg_i counts the neighbours that are not solid. Air is held at zero, a wall lets
    nothing through, and beyond the array lies air. A acts on all cells: on those that
    have no equation it is `2 dim / h^2`, so that p is zero there.

    **Fields:**

    - `cells`: integers of shape (n1, n2) or (n1, n2, n3): 0 air, 1 fluid, 2 solid.
    - `rhs`: b, of the same shape, zero off the fluid. A fluid region without air
      determines p up to a constant: b must sum to zero there, and p is then the
      solution of mean zero.
    - `spacing`: h, > 0.
    - `rtol`: the answer is good if ||b - A p|| <= rtol ||b||, in the Euclidean and in
      the maximum norm; in (0, 1).

    **Raises:** `InvalidProblem`.
    """

    cells: AnyArray
    source: AnyArray
    spacing: Real
    rtol: Real
    degree: AnyArray  # the stencil's diagonal
    active: AnyArray  # 1.0 where there is an equation
    region: AnyArray  # number of the closed region, 0 elsewhere
    region_sizes: AnyArray  # cells of each, that of 0 is 1

    def __init__(self, cells: Any, rhs: Any, *, spacing: Real = 1.0, rtol: Real = 1e-8):
        self.cells = _as_cells(cells)
        self.source = array64(rhs)
        self.spacing, self.rtol = spacing, rtol
        self.degree = degrees(self.cells)
        self.active = active_cells(self.cells).astype(np.float64)
        self.region, self.region_sizes = _closed_regions(self.cells)

    def validate(self) -> None:
        b, shape = self.source, self.cells.shape
        real = getattr(b, "dtype", None) == np.float64
        require(self, "rhs", real, expected="real numbers", got=_kind(b))
        require(self, "rhs", b.shape == shape, expected=f"shape {shape}", got=b.shape)
        bad = int(np.sum(~np.isfinite(b)))
        expected, got = "finite entries", f"{bad} not finite"
        require(self, "rhs", bad == 0, expected=expected, got=got)
        stray = int(np.sum(b[np.asarray(self.cells) != FLUID] != 0))
        expected = "zero off the fluid (multiply it by cells == 1)"
        got = f"{stray} other entries"
        require(self, "rhs", stray == 0, expected=expected, got=got)
        h = self.spacing
        sensible = 1e-100 < h < 1e100
        require(self, "spacing", sensible, expected="> 0 and finite", got=h)
        require(self, "rtol", 0 < self.rtol < 1, expected="in (0, 1)", got=self.rtol)
        self._validate_regions()

    def _validate_regions(self) -> None:
        """A closed region's equations have a solution only if b sums to zero there."""
        found = components(np.asarray(self.cells))
        b, allowed = np.asarray(self.source), min(1e-10, 0.1 * float(self.rtol))
        for number in found.closed:
            part = b[found.labels == number]
            total = float(np.sum(part))
            limit = max(allowed, 4 * part.size * _U) * float(np.sum(np.abs(part)))
            expected = (
                f"to sum to zero in fluid region {number}, which no air touches "
                "(its equations have no solution otherwise)"
            )
            got = f"a sum of {total:.6g}"
            require(self, "rhs", abs(total) <= limit, expected=expected, got=got)

    @property
    def rhs(self) -> Any:
        """b, shape (n,), in C order."""
        return self.source.reshape(-1)

    @property
    def grid(self) -> tuple[int, ...]:
        """The grid's shape."""
        return self.cells.shape

    @property
    def is_singular(self) -> bool:
        """Whether some fluid region touches no air. Known without looking at data."""
        return self.region_sizes.shape[0] > 1

    @property
    def factor(self) -> Any:
        """1 / h^2."""
        return 1.0 / (self.spacing * self.spacing)

    def apply(self, x: Any) -> Any:
        image = stencil(self.degree, self.active, x.reshape(self.grid))
        return (self.factor * image).reshape(-1)

    def diagonal(self) -> Any:
        return (self.factor * self.degree).reshape(-1)

    def matrix(self) -> sp.csr_array:
        return stencil_matrix(np.asarray(self.cells), float(self.factor))

    def rounding(self, x: Any) -> Any:
        field = jnp.abs(x.reshape(self.grid))
        size = self.degree * field + self.active * neighbour_sum(self.active * field)
        count = 2 * len(self.grid) + 10
        return (1.03 * _U * count * self.factor * size).reshape(-1)

    def project(self, x: Any) -> Any:
        """Less its mean in every closed region; what A maps to is left alone."""
        if not self.is_singular:
            return x
        labels = jnp.asarray(self.region).reshape(-1)
        count = self.region_sizes.shape[0]
        sums = jnp.zeros(count).at[labels].add(x)
        means = (sums / self.region_sizes).at[0].set(0.0)
        return x - means[labels]

    def default_method(self) -> Any:
        from ._conjugate_gradients import ConjugateGradients
        from ._deep_conjugate_direction import DeepConjugateDirection

        plane = len(self.grid) == 2  # the network that ships is for the plane
        return DeepConjugateDirection() if plane else ConjugateGradients()

    def pack(self) -> Packed:
        parameters = {"spacing": float(self.spacing), "rtol": float(self.rtol)}
        arrays = {
            "cells": np.ascontiguousarray(self.cells, dtype="|u1"),
            "rhs": np.ascontiguousarray(self.source, dtype="<f8"),
        }
        return Packed(KIND, parameters, arrays)

    def candidate(self, *, x: Any, positive_vector: Any = None) -> LinearSolution:
        """A value from elsewhere.

        **Arguments:**

        - `x`: the pressure, of the grid's shape or flat.
        - `positive_vector`: v > 0 with A v > 0, likewise; None computes one.
        """
        given = [None if v is None else array64(v) for v in (x, positive_vector)]
        flat = [_flat(v, self.grid) for v in given]
        return super().candidate(x=flat[0], positive_vector=flat[1])

    def claims(self, value: Any) -> tuple[Claim | Withheld, ...]:
        rtol = float(self.rtol)
        return (
            Claim("linear.residual/1", rtol),
            Claim("linear.residual_max/1", rtol),
            self._error_claim(value),
        )

    def _error_claim(self, value: Any) -> Claim | Withheld:
        norms = [float(np.linalg.norm(a)) for a in (self.rhs, np.asarray(value.x))]
        least, v = self.least_eigenvalue(value)
        if v is None:
            return Withheld(_BOUND, self._no_vector())
        witness = {"positive_vector": v}
        if norms[0] == 0:
            return Claim(_BOUND, 0.0, witness)
        with np.errstate(all="ignore"):
            # 1e-6: rounding in the judge's least eigenvalue and here.
            bound = float(self.rtol) * norms[0] / (least * norms[1]) * (1 + 1e-6)
        if not np.isfinite(bound):
            reason = "x is zero or not finite, so no relative error is defined"
            return Withheld(_BOUND, reason)
        return Claim(_BOUND, bound, witness)

    def _no_vector(self) -> str:
        if self.is_singular:
            return "a fluid region touches no air: its pressure is free by a constant"
        return f"more than {_LARGEST_ENCLOSED} cells: no positive vector is computed"

    def least_eigenvalue(self, value: Any = None) -> tuple[float, np.ndarray | None]:
        """(s, v): s = min (A v)_i / v_i <= the least eigenvalue, v > 0; or (0, None).

        On a box of fluid v is the eigenvector, a product of sines; elsewhere it solves
        A v = 1 roughly, on the host.
        """
        if self.is_singular or self.size > _LARGEST_ENCLOSED:
            return 0.0, None
        given = getattr(value, "positive_vector", None)
        if given is not None:
            v = np.asarray(given, np.float64)
        elif np.all(np.asarray(self.cells) == FLUID):
            v = box_eigenvector(self.grid).reshape(-1)
        else:
            cells = np.asarray(self.cells)
            v = _positive_vector(cells.tobytes(), cells.shape)
        image = self.matrix() @ v
        if v.shape != image.shape or not np.all((v > 0) & (image > 0)):
            return 0.0, None
        return float(np.min(image / v)), v


@lru_cache(maxsize=4)  # problem and method both ask for it
def _positive_vector(cells: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """A vector v with A v = 1, h = 1, up to a tenth or so: both stay positive."""
    from scipy.sparse.linalg import cg

    matrix = stencil_matrix(np.frombuffer(cells, np.uint8).reshape(shape), 1.0)
    diagonal = _numbers(matrix.diagonal())
    ones = np.ones_like(diagonal)
    jacobi: Any = sp.diags_array(1.0 / diagonal)
    goal = 0.1 / np.sqrt(ones.size)
    return cg(matrix, ones, rtol=goal, atol=0.0, maxiter=5_000, M=jacobi)[0]


def _numbers(array: Any) -> np.ndarray:
    return np.asarray(array, np.float64)


def _as_cells(cells: Any) -> np.ndarray:
    """Whole numbers 0, 1, 2 as bytes; refused here, since the rest is made of them."""
    where = "GridPoisson.cells"
    array = np.asarray(cells)
    if array.ndim not in (2, 3) or not array.size:
        raise InvalidProblem(where, "shape (n1, n2) or (n1, n2, n3)", array.shape)
    if array.dtype.kind not in "biuf":
        raise InvalidProblem(where, "cell codes 0, 1, 2", f"{array.dtype}")
    unknown = ~np.isin(array, (AIR, FLUID, SOLID))
    if np.any(unknown):
        expected = "codes 0 (air), 1 (fluid), 2 (solid)"
        raise InvalidProblem(where, expected, array[unknown].flat[0])
    if not np.any(array == FLUID):
        raise InvalidProblem(where, "at least one fluid cell (1)", "none")
    return np.ascontiguousarray(array, dtype=np.uint8)


def _closed_regions(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = components(cells)
    active = active_cells(cells)
    region = np.zeros(cells.shape, np.int32)
    sizes = [1.0]
    for number in found.closed:
        inside = (found.labels == number) & active
        if np.any(inside):
            region[inside] = len(sizes)
            sizes.append(float(np.sum(inside)))
    return region, np.asarray(sizes)


def _flat(array: Any, grid: tuple[int, ...]) -> Any:
    return array.reshape(-1) if getattr(array, "shape", None) == grid else array


def _kind(array: Any) -> str:
    return str(getattr(array, "dtype", type(array).__name__))
