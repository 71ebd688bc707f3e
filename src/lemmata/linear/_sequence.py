"""Streams of related systems, and what their solutions are worth.

Source: Khodak, Chow, Balcan and Talwalkar, ICLR 2024 (arXiv 2310.02246), section 2.
"""

import abc
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import Array

from ..core import (
    AbstractStream,
    AbstractValue,
    AnyArray,
    Claim,
    InvalidArgument,
    Withheld,
    array64,
    require,
)
from ._criteria import (
    Absolute,
    AbstractCriterion,
)
from ._pattern import transposed_entries
from ._problem import Real, SPDSystem
from ._wavefront import Wavefronts


@final
class SequenceSolution(AbstractValue):
    """What a stream was answered with.

    **Fields:**

    - `solutions`: (T, n), row t solves system t; zeros where none was reached.
    - `counts`: (T,) int64, iterations that each took; a failed solve costs the cap, -1
      where none was reached.
    - `relaxation`: (T,), the parameter used; 0 where none was.

    No claim speaks of the last two by themselves.
    """

    solutions: AnyArray
    counts: AnyArray
    relaxation: AnyArray

    def pack(self) -> dict[str, np.ndarray]:
        return {
            "solutions": np.asarray(self.solutions),
            "counts": np.asarray(self.counts),
            "relaxation": np.asarray(self.relaxation),
        }

    def uncertified(self) -> tuple[str, ...]:
        return ("counts", "relaxation")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.solutions, dtype=dtype, copy=copy)


class SequenceSystem(eqx.Module):
    """One system of a stream: A in CSR `data` of the stream's pattern.

    **Fields:** `data` (nnz,); `rhs` (n,); `start` (n,), where iterations begin;
    `context`, a scalar known beforehand (0 where the stream has none).
    """

    data: Array
    rhs: Array
    start: Array
    context: Array


class AbstractSequence(AbstractStream):
    """A stream of systems A_t x = b_t of one symmetric sparsity pattern.

    **Fields of every stream:** `rtol` and `criterion`: when a system is solved;
    `contexts` (T,) or None; `indices`, `indptr`: the pattern; `fronts`: its schedule.
    """

    rtol: eqx.AbstractVar[Real]
    criterion: eqx.AbstractVar[AbstractCriterion]
    contexts: eqx.AbstractVar[Any]
    indices: eqx.AbstractVar[Any]
    indptr: eqx.AbstractVar[Any]
    fronts: eqx.AbstractVar[Wavefronts]

    @property
    def size(self) -> int:
        """n, the number of unknowns of each system."""
        return self.indptr.shape[0] - 1

    @abc.abstractmethod
    def system(self, index: Any, previous: Any) -> SequenceSystem:
        """System `index`, given the solution (n,) of the one before or None."""

    def beginning(self) -> Any:
        """What stands for the solution before the first system."""
        return jnp.zeros(self.size)

    def jacobi_radius(self, index: Any) -> Any:
        """Spectral radius of I - D^{-1} A for system `index`, where it is known.

        **Raises:** `InvalidArgument` where no formula is at hand.
        """
        del index
        expected = "a stream that knows it, or YoungRelaxation(radius=...)"
        raise InvalidArgument("jacobi_radius", expected, type(self).__name__)

    def context(self, index: Any) -> Any:
        """Context of a system, 0 where the stream has none."""
        if self.contexts is None:
            return jnp.zeros(())
        return jnp.asarray(self.contexts)[index]

    def matrix(self, index: int, previous: Any = None) -> sp.csr_array:
        """A_t on the host, for peers and factorisations."""
        shape = (self.size, self.size)
        data = np.asarray(self.system(index, previous).data)
        return sp.csr_array((data, self.indices, self.indptr), shape=shape)

    def single(self, index: int, previous: Any = None) -> SPDSystem:
        """System `index` as a problem of its own, relative to its right-hand side."""
        rhs = np.asarray(self.system(index, previous).rhs)
        return SPDSystem(self.matrix(index, previous), rhs, rtol=float(self.rtol))

    def default_method(self) -> Any:
        from ._learned_relaxation import LearnedRelaxation
        from ._stationary import SOR
        from ._tsallis import TsallisINF

        return LearnedRelaxation(SOR(), TsallisINF())

    def claims(self, value: SequenceSolution) -> tuple[Claim | Withheld, ...]:
        del value
        return (Claim("linear.sequence_residual/1", float(self.rtol)),)

    def candidate(
        self, *, solutions: Any, counts: Any = None, relaxation: Any = None
    ) -> SequenceSolution:
        """A value from elsewhere.

        **Arguments:**

        - `solutions`: (T, n), row t solves system t. Where a system depends on the last
          solution, it is the one before it in this array.
        - `counts`, `relaxation`: (T,), for the record.

        **Raises:** `InvalidArgument` if a shape does not fit.
        """
        steps = self.length
        solutions = array64(solutions)
        if solutions.shape != (steps, self.size):
            expected = f"shape ({steps}, {self.size})"
            raise InvalidArgument("candidate.solutions", expected, solutions.shape)
        counts = np.full(steps, -1) if counts is None else np.asarray(counts)
        relaxation = np.zeros(steps) if relaxation is None else array64(relaxation)
        for name, array in (("counts", counts), ("relaxation", relaxation)):
            if array.shape != (steps,):
                where, expected = f"candidate.{name}", f"shape ({steps},)"
                raise InvalidArgument(where, expected, array.shape)
        return SequenceSolution(solutions, counts.astype(np.int64), relaxation)

    def value_from(self, arrays: dict[str, np.ndarray]) -> SequenceSolution:
        return SequenceSolution(**arrays)

    def parameters(self) -> dict[str, Any]:
        """The part of the packed parameters that every stream has."""
        return {"rtol": float(self.rtol), "criterion": self.criterion.name}

    def check_tolerance(self) -> None:
        """Part of `validate`. Raises `InvalidProblem`."""
        rtol = self.rtol
        if isinstance(self.criterion, Absolute):
            good = 0 < rtol < np.inf
            require(self, "rtol", good, expected="> 0 and finite", got=rtol)
        else:
            require(self, "rtol", 0 < rtol < 1, expected="in (0, 1)", got=rtol)

    def check_contexts(self, interval: tuple[float, float] | None) -> None:
        """Part of `validate`. Raises `InvalidProblem`."""
        if self.contexts is None:
            return
        fits = self.contexts.shape == (self.length,)
        expected = f"shape ({self.length},)"
        require(self, "context", fits, expected=expected, got=self.contexts.shape)
        bad = int(np.sum(~np.isfinite(self.contexts)))
        require(self, "context", bad == 0, expected="finite", got=f"{bad} not finite")
        if interval is None:
            return
        low, high = interval
        good = low < high
        require(self, "interval", good, expected="a < b", got=interval)
        outside = np.flatnonzero((self.contexts < low) | (self.contexts > high))
        expected = f"values in [{low:g}, {high:g}]"
        first = int(outside[0]) if outside.size else 0
        got = f"{self.contexts[first]:g} for system {first}"
        require(self, "context", outside.size == 0, expected=expected, got=got)

    def check_vectors(self, field: str, array: Any) -> None:
        """Shape (T, n) and finite. Raises `InvalidProblem`."""
        real = getattr(array, "dtype", None) == np.float64
        require(self, field, real, expected="real numbers", got=array.dtype)
        shape = (self.length, self.size)
        fits = array.shape == shape
        require(self, field, fits, expected=f"shape {shape}", got=array.shape)
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        got = f"NaN or infinity in system {bad[0] if bad.size else 0}"
        require(self, field, bad.size == 0, expected="finite entries", got=got)


def check_entries(problem: Any, data: Any, indices: Any, indptr: Any) -> None:
    """Finite, symmetric to the last bit, positive on the diagonal, for every system.

    **Raises:** `InvalidProblem`.
    """
    data = np.atleast_2d(data)
    bad = np.flatnonzero(~np.isfinite(data).all(axis=1))
    got = f"NaN or infinity in system {bad[0] if bad.size else 0}"
    require(problem, "operator", bad.size == 0, expected="finite entries", got=got)
    skew = np.abs(data - data[:, transposed_entries(indices, indptr)]).max(axis=1)
    worst = int(np.argmax(skew))
    got = f"max|A - A.T| = {skew[worst]:.3g} in system {worst}"
    require(problem, "operator", skew[worst] == 0, expected="A = A.T", got=got)
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    least = data[:, indices == rows].min(axis=1)
    worst = int(np.argmin(least))
    got = f"{least[worst]:.3g} in system {worst}"
    good = least[worst] > 0
    require(problem, "operator", good, expected="a positive diagonal", got=got)
