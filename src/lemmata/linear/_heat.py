"""The heat equation in two dimensions by Crank-Nicolson: a stream of its own making.

Each step's right-hand side needs the last step's solution, so the stream cannot be
written down beforehand.

Source: Khodak et al., ICLR 2024 (arXiv 2310.02246), section 3.3 and appendix F.
"""

from collections.abc import Callable
from typing import Any, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from lemmata_checker import Packed

from ..core import AnyArray, InvalidProblem, array64, require
from ._criteria import RHS, AbstractCriterion, criterion_named
from ._problem import Real
from ._sequence import AbstractSequence, SequenceSystem
from ._shifted import square_laplacian
from ._wavefront import Wavefronts


@final
class MovingBump(eqx.Module):
    """height * exp(1 - 1 / (1 - min(1, |x - centre|^2 / radius^2))), smooth, compact.

    **Fields:** `centres` (T, 2), in the unit square; `radius`, `height` scalars.
    """

    centres: AnyArray = eqx.field(converter=array64)
    radius: Real
    height: Real

    def at(self, points: Any, index: Any) -> Any:
        """Values at `points` (n, 2) in step `index`."""
        centre = jnp.asarray(self.centres)[index]
        return bump(points, centre, self.radius, self.height)


def bump(points: Any, centre: Any, radius: Any, height: Any) -> Any:
    """One bump's values (n,); 1 at its centre times `height`."""
    distance = jnp.sum((points - centre) ** 2, axis=-1) / (radius * radius)
    inside = distance < 1.0
    safe = jnp.where(inside, distance, 0.0)
    return height * jnp.where(inside, jnp.exp(1.0 - 1.0 / (1.0 - safe)), 0.0)


@final
class HeatEquation2D(AbstractSequence):
    """u_t = kappa(t) (u_xx + u_yy) + f on the unit square, zero on its boundary.

    With lambda = dt kappa nx^2 / 2 at mid-step and K the five-point Laplacian (4 on the
    diagonal), step t solves (I + lambda K) x_t = (I - lambda K) x_{t-1} + dt f.

    **Fields:**

    - `nx`: intervals along a side, >= 2; n = (nx - 1)^2 inner points, row by row.
    - `dt`: length of a step, > 0. `steps`: T, how many.
    - `diffusion`: kappa >= 0 at mid-steps, a function of time or an array (T,).
    - `forcing`: f at mid-steps: a `MovingBump`, an array (T, n), or None.
    - `initial`: u at time 0, shape (n,); None is zero.
    - `context`: what a policy is told of each step, (T,); None: `diffusion`.
    - `rtol`, `criterion`: x_t is good if ||b - A x|| <= rtol ||b|| by default.
    - `warm_start`: iterations begin at the last solution.

    **Raises:** `InvalidProblem`.
    """

    diffusion: AnyArray
    contexts: AnyArray
    forcing: AnyArray | MovingBump | None
    initial: AnyArray
    dt: Real
    pattern: AnyArray
    indices: AnyArray
    indptr: AnyArray
    diagonal: AnyArray
    fronts: Wavefronts
    rtol: Real
    criterion: AbstractCriterion
    nx: int = eqx.field(static=True)
    warm_start: bool = eqx.field(static=True)

    def __init__(
        self,
        nx: int,
        dt: Real,
        steps: int,
        diffusion: Callable[[float], float] | Any,
        forcing: Any = None,
        initial: Any = None,
        *,
        context: Any = None,
        rtol: Real = 1e-8,
        criterion: AbstractCriterion = RHS,
        warm_start: bool = True,
    ):
        _check_sizes(nx, dt, steps)
        if callable(diffusion):
            middle = (np.arange(steps) + 0.5) * float(dt)
            diffusion = [diffusion(float(time)) for time in middle]
        self.nx, self.dt, self.warm_start = int(nx), dt, bool(warm_start)
        self.diffusion = array64(diffusion)
        self.contexts = self.diffusion if context is None else array64(context)
        bumps = isinstance(forcing, MovingBump)
        self.forcing = forcing if forcing is None or bumps else array64(forcing)
        n = (nx - 1) ** 2
        self.initial = np.zeros(n) if initial is None else array64(initial)
        laplacian = square_laplacian(nx - 1)
        self.indices = laplacian.indices.astype(np.int64)
        self.indptr = laplacian.indptr.astype(np.int64)
        self.pattern = laplacian.data
        self.diagonal = (laplacian.data > 0).astype(np.float64)
        self.fronts = Wavefronts.of(self.indices, self.indptr)
        self.rtol, self.criterion = rtol, criterion_named(criterion)

    @property
    def length(self) -> int:
        return self.diffusion.shape[0]

    def validate(self) -> None:
        kappa, n = self.diffusion, self.size
        vector = kappa.ndim == 1 and kappa.size > 0
        require(self, "diffusion", vector, expected="shape (T,)", got=kappa.shape)
        good = bool(np.all(np.isfinite(kappa) & (kappa >= 0)))
        got = f"a value of {np.min(kappa):g}"
        require(self, "diffusion", good, expected="finite, >= 0", got=got)
        self.check_tolerance()
        self.check_contexts(None)
        shape = self.initial.shape
        require(self, "initial", shape == (n,), expected=f"shape ({n},)", got=shape)
        finite = bool(np.all(np.isfinite(self.initial)))
        require(self, "initial", finite, expected="finite", got="NaN or infinity")
        if isinstance(self.forcing, MovingBump):
            self._check_bump(self.forcing)
        elif self.forcing is not None:
            self.check_vectors("forcing", self.forcing)

    def _check_bump(self, source: MovingBump) -> None:
        shape = (self.length, 2)
        fits = source.centres.shape == shape
        got = source.centres.shape
        require(self, "forcing", fits, expected=f"centres of shape {shape}", got=got)
        finite = bool(np.all(np.isfinite(source.centres)))
        finite = finite and bool(np.isfinite(source.height)) and source.radius > 0
        expected = "finite centres and height, radius > 0"
        require(self, "forcing", finite, expected=expected, got=source)

    def points(self) -> Any:
        """Inner grid points (n, 2), row by row."""
        line = jnp.arange(1, self.nx) / self.nx
        x, y = jnp.meshgrid(line, line, indexing="ij")
        return jnp.stack([x.reshape(-1), y.reshape(-1)], axis=1)

    def beginning(self) -> Any:
        return jnp.asarray(self.initial)

    def system(self, index: Any, previous: Any) -> SequenceSystem:
        last = self.beginning() if previous is None else jnp.asarray(previous)
        weight = self._weight(index)
        data = weight * jnp.asarray(self.pattern) + jnp.asarray(self.diagonal)
        rhs = last - weight * self._laplacian(last) + self.dt * self._source(index)
        start = last if self.warm_start else jnp.zeros_like(last)
        return SequenceSystem(data, rhs, start, self.context(index))

    def _weight(self, index: Any) -> Any:
        kappa = jnp.asarray(self.diffusion)[index]
        return 0.5 * self.dt * kappa * float(self.nx * self.nx)

    def _laplacian(self, x: Any) -> Any:
        side = self.nx - 1
        grid = jnp.pad(x.reshape(side, side), 1)
        near = grid[:-2, 1:-1] + grid[2:, 1:-1] + grid[1:-1, :-2] + grid[1:-1, 2:]
        return 4.0 * x - near.reshape(-1)

    def _source(self, index: Any) -> Any:
        if self.forcing is None:
            return jnp.zeros(self.size)
        if isinstance(self.forcing, MovingBump):
            return self.forcing.at(self.points(), index)
        return jnp.asarray(self.forcing)[index]

    def jacobi_radius(self, index: Any) -> Any:
        weight = self._weight(index)
        return 4.0 * weight * np.cos(np.pi / self.nx) / (1.0 + 4.0 * weight)

    def pack(self) -> Packed:
        arrays = {
            "diffusion": np.asarray(self.diffusion),
            "context": np.asarray(self.contexts),
            "initial": np.asarray(self.initial),
        }
        parameters = self.parameters() | {
            "nx": self.nx,
            "dt": float(self.dt),
            "warm_start": self.warm_start,
            "bump_radius": None,
            "bump_height": None,
        }
        if isinstance(self.forcing, MovingBump):
            arrays["bump_centres"] = np.asarray(self.forcing.centres)
            parameters["bump_radius"] = float(self.forcing.radius)
            parameters["bump_height"] = float(self.forcing.height)
        elif self.forcing is not None:
            arrays["forcing"] = np.asarray(self.forcing)
        return Packed("linear.heat_equation/1", parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        data: dict[str, Any] = dict(arrays)
        parameters = dict(parameters)
        radius = parameters.pop("bump_radius", None)
        height = parameters.pop("bump_height", None)
        if "bump_centres" in data:
            centres = data.pop("bump_centres")
            data["forcing"] = MovingBump(centres, radius, height)
        steps = data["diffusion"].shape[0]
        return cls(steps=steps, **data, **parameters)


def _check_sizes(nx: Any, dt: Any, steps: Any) -> None:
    where = "HeatEquation2D"
    for field, value, least in (("nx", nx, 2), ("steps", steps, 1)):
        whole = isinstance(value, int | np.integer) and value >= least
        if not whole:
            raise InvalidProblem(f"{where}.{field}", f"an integer >= {least}", value)
    if isinstance(dt, float | int) and not 0 < dt < np.inf:
        raise InvalidProblem(f"{where}.dt", "> 0 and finite", dt)


def moving_heat_source(
    nx: int,
    steps: int = 5000,
    *,
    dt: float = 1e-3,
    context_at_start: bool = False,
    rtol: Real = 1e-8,
) -> HeatEquation2D:
    """The paper's simulation: a bump of heat on a circle, diffusion in gusts.

    kappa(t) = max(0.1 sin 2 pi t, -10 sin 2 pi t).

    **Arguments:**

    - `nx`, `steps`, `dt`: the grid; the paper has nx up to 400 and 5,000 steps.
    - `context_at_start`: tell policies kappa at the start of a step, as the reference
      code does, rather than at its middle, where it enters A.
    """

    def diffusion(time: Any) -> Any:
        wave = np.sin(2 * np.pi * time)
        return np.maximum(0.1 * wave, -10.0 * wave)

    begin = np.arange(steps) * dt
    middle = begin + 0.5 * dt
    turn = 16 * np.pi * middle
    centres = np.stack([0.5 + np.cos(turn) / 4, 0.5 + np.sin(turn) / 4], axis=1)
    line = np.arange(1, nx) / nx
    points = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    distance = np.minimum(np.sum((points - 0.5) ** 2, axis=1) * 16, 1 - 1e-16)
    initial = np.exp(1 - 1 / (1 - distance))
    return HeatEquation2D(
        nx,
        dt,
        steps,
        diffusion(middle),
        MovingBump(centres, 0.125, 32.0),
        initial,
        context=diffusion(begin) if context_at_start else None,
        rtol=rtol,
    )
