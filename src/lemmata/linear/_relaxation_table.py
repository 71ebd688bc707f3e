"""What every arm costs on every system: policies compared without solving again.

Source: Khodak et al., ICLR 2024 (arXiv 2310.02246), section 4; Zimmert and Seldin, JMLR
22 (2021), for the bound.
"""

from typing import Any, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lemmata_checker import Packed

from ..core import (
    AbstractProblem,
    AbstractValue,
    AnyArray,
    Claim,
    InvalidArgument,
    Withheld,
    array64,
    float64,
    require,
)
from ._baseline_policies import young_relaxation
from ._policy import grid
from ._problem import Real
from ._relaxed_solve import SHARE, Job, norm
from ._sequence import AbstractSequence
from ._ssor_pcg import kernel_of
from ._tsallis import TsallisINF

_REGRET = "linear.regret_fixed/1"


@final
class PlayedArms(AbstractValue):
    """Arms (R, T) int64: what R trials of a policy played on a table."""

    arms: AnyArray

    def pack(self) -> dict[str, np.ndarray]:
        return {"arms": np.asarray(self.arms)}


@final
class RelaxationTable(AbstractProblem):
    """Iteration counts of every relaxation of a grid on every system of a stream.

    **Fields:**

    - `counts`: (T, d) int64; `relaxation`: (d,), increasing, in (0, 2).
    - `bound`: K >= every count - 1, for the theorem; None: the largest count - 1.
    - `context`: (T,), what policies are told, or None.
    - `optimal`: (T,) int64, counts of Young's relaxation for each system, or None.
    - `radius`, `tau`, `rtol`: Jacobi radii (T,), tau in (0, 1) and the tolerance, for
      the surrogate's bound; None leaves it out.

    **Raises:** `InvalidProblem`.
    """

    counts: AnyArray
    relaxation: AnyArray
    bound: Real
    context: AnyArray | None
    optimal: AnyArray | None
    radius: AnyArray | None
    tau: Real | None
    rtol: Real | None

    def __init__(
        self,
        counts: Any,
        relaxation: Any,
        *,
        bound: Real | None = None,
        context: Any = None,
        optimal: Any = None,
        radius: Any = None,
        tau: Real | None = None,
        rtol: Real | None = None,
    ):
        self.counts, self.relaxation = np.asarray(counts), array64(relaxation)
        largest = max(float(np.max(self.counts, initial=1)) - 1.0, 1.0)
        self.bound = largest if bound is None else bound
        self.context = None if context is None else array64(context)
        self.optimal = None if optimal is None else np.asarray(optimal)
        self.radius = None if radius is None else array64(radius)
        self.tau, self.rtol = tau, rtol

    def validate(self) -> None:
        counts, d = self.counts, self.relaxation.size
        whole = counts.dtype == np.int64 and counts.ndim == 2 and counts.shape[1] == d
        expected = f"int64 of shape (T, {d})"
        got = f"{counts.dtype} {counts.shape}"
        require(self, "counts", whole and counts.size, expected=expected, got=got)
        least = counts.min()
        require(self, "counts", least >= 0, expected=">= 0", got=least)
        arms = self.relaxation
        rising = bool(np.all(np.diff(arms) > 0) and arms[0] > 0 and arms[-1] < 2)
        expected = "increasing values in (0, 2)"
        require(self, "relaxation", rising, expected=expected, got=arms)
        good = 0 < self.bound < np.inf
        require(self, "bound", good, expected="> 0", got=self.bound)
        for name in ("context", "optimal", "radius"):
            array = getattr(self, name)
            if array is not None:
                fits = array.shape == counts.shape[:1]
                expected = f"shape {counts.shape[:1]}"
                require(self, name, fits, expected=expected, got=array.shape)

    def pack(self) -> Packed:
        arrays = {
            "counts": np.asarray(self.counts),
            "relaxation": np.asarray(self.relaxation),
        }
        for name in ("context", "optimal", "radius"):
            if getattr(self, name) is not None:
                arrays[name] = np.asarray(getattr(self, name))
        parameters = {
            "bound": float(self.bound),
            "tau": None if self.tau is None else float(self.tau),
            "rtol": None if self.rtol is None else float(self.rtol),
        }
        return Packed("linear.relaxation_table/1", parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        return cls(**arrays, **parameters)

    def claims(self, value: PlayedArms) -> tuple[Claim | Withheld, ...]:
        del value
        return (Claim(_REGRET, 1.0),)

    def candidate(self, *, arms: Any) -> PlayedArms:
        """Arms (R, T) from elsewhere. **Raises:** `InvalidArgument`."""
        arms = np.asarray(arms)
        steps = self.counts.shape[0]
        good = arms.ndim == 2 and arms.shape[1] == steps and arms.dtype.kind in "iu"
        if not good:
            expected = f"integers of shape (R, {steps})"
            got = f"{arms.dtype} {arms.shape}"
            raise InvalidArgument("candidate.arms", expected, got)
        return PlayedArms(arms.astype(np.int64))

    def value_from(self, arrays: dict[str, np.ndarray]) -> PlayedArms:
        return PlayedArms(**arrays)

    def default_method(self) -> Any:
        from ._play_policy import PlayPolicy

        return PlayPolicy(TsallisINF(self.relaxation, scale=float(self.bound)))

    def costs(self, value: PlayedArms) -> np.ndarray:
        """Counts (R, T) that the arms of a value cost."""
        index = np.asarray(value.arms)[:, :, None]
        return np.take_along_axis(self.counts[None], index, axis=2)[..., 0]


def relaxation_table(
    stream: AbstractSequence,
    solver: Any,
    relaxation: Any,
    *,
    bound: Real | None = None,
    tau: Real | None = None,
    cap: int = 10_000,
) -> RelaxationTable:
    """Solves every system of a stream with every relaxation of a grid.

    **Arguments:**

    - `stream`: one whose systems do not depend on earlier solutions: a zero start.
    - `solver`: `SOR()`, `SSOR()` or `SSORPCG()`.
    - `relaxation`: a count (so many on [1, 1.95]) or increasing values.
    - `bound`, `tau`: for `RelaxationTable`. `cap`: cost of a system not solved.

    **Raises:** `InvalidArgument` for a stream with warm start.
    """
    if getattr(stream, "warm_start", False):
        raise InvalidArgument("relaxation_table.stream", "a zero start", "a warm one")
    arms = np.asarray(grid(array64(relaxation) if np.ndim(relaxation) else relaxation))
    with float64():
        own = jax.tree.map(jnp.asarray, eqx.filter(stream, eqx.is_array))
        stream_in = eqx.combine(own, stream)
        counts = np.asarray(_table(stream_in, solver, jnp.asarray(arms), cap))
        radius, optimal = None, None
        try:
            index = jnp.arange(stream.length)
            radii = jnp.asarray(jax.vmap(stream_in.jacobi_radius)(index))
            best = young_relaxation(radii)
            optimal = np.asarray(_each(stream_in, solver, best, cap))
            radius = np.asarray(radii)
        except InvalidArgument:
            pass  # no formula for this stream
    return RelaxationTable(
        counts,
        arms,
        bound=bound,
        context=stream.contexts,
        optimal=optimal,
        radius=radius,
        tau=tau,
        rtol=float(stream.rtol),
    )


def _one(stream: Any, solver: Any, index: Array, relaxation: Array, cap: Any) -> Array:
    system, fronts = stream.system(index, None), stream.fronts
    matrix, rhs = fronts.matrix(system.data), fronts.enter(system.rhs)
    reference = stream.criterion.reference(norm(rhs), norm(rhs))
    cap = jnp.asarray(cap, jnp.int64)
    target = SHARE * stream.rtol * reference
    job = Job(matrix, rhs, jnp.zeros_like(rhs), target, cap)
    found = kernel_of(solver)(job, relaxation)
    return jnp.where(found.residual <= target, found.steps, cap)


@eqx.filter_jit
def _table(stream: Any, solver: Any, arms: Array, cap: Any) -> Array:
    def row(index: Array) -> Array:
        return jax.lax.map(lambda w: _one(stream, solver, index, w, cap), arms)

    return jax.lax.map(row, jnp.arange(stream.length))


@eqx.filter_jit
def _each(stream: Any, solver: Any, relaxation: Array, cap: Any) -> Array:
    def one(pair: Any) -> Array:
        return _one(stream, solver, pair[0], pair[1], cap)

    return jax.lax.map(one, (jnp.arange(stream.length), relaxation))
