"""A stream of recorded systems."""

from collections.abc import Iterable
from typing import Any, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from lemmata_checker import Packed

from ..core import AnyArray, array64
from ._criteria import INITIAL, AbstractCriterion, criterion_named
from ._pattern import CSRSystems, stack_systems
from ._problem import Real
from ._sequence import AbstractSequence, SequenceSystem, check_entries
from ._wavefront import Wavefronts


@final
class LinearSequence(AbstractSequence):
    """Recorded systems A_t x = b_t, symmetric positive definite.

    **Fields:**

    - `systems`: pairs (A_t, b_t), A_t dense or SciPy sparse; all of one size. Patterns
      may differ, the union is swept. Or a `CSRSystems`.
    - `context`: (T,), a number known before system t is solved (a shift, a diffusion
      coefficient), or None; `interval`: where it lies, checked if given.
    - `rtol`, `criterion`: x_t is good if ||b - A x|| <= rtol * reference, the norm of
      b - A x_0 by default.
    - `warm_start`: x_0 is the last solution, or zero.

    **Raises:** `InvalidProblem`. Definiteness is not checked: no claim needs it.
    """

    data: AnyArray
    rhs: AnyArray
    contexts: AnyArray | None
    indices: AnyArray
    indptr: AnyArray
    fronts: Wavefronts
    rtol: Real
    criterion: AbstractCriterion
    warm_start: bool = eqx.field(static=True)
    interval: tuple[float, float] | None = eqx.field(static=True)

    def __init__(
        self,
        systems: Iterable[tuple[Any, Any]] | CSRSystems,
        context: Any = None,
        *,
        interval: tuple[float, float] | None = None,
        rtol: Real = 1e-8,
        criterion: AbstractCriterion = INITIAL,
        warm_start: bool = False,
    ):
        stacked = stack_systems("LinearSequence", systems)
        self.data, self.rhs = array64(stacked.data), array64(stacked.rhs)
        self.indices, self.indptr = stacked.indices, stacked.indptr
        self.contexts = None if context is None else array64(context)
        self.fronts = Wavefronts.of(self.indices, self.indptr)
        self.rtol, self.criterion = rtol, criterion_named(criterion)
        self.warm_start = warm_start
        self.interval = None
        if interval is not None:
            low, high = interval
            self.interval = (float(low), float(high))

    @property
    def length(self) -> int:
        return self.data.shape[0]

    def validate(self) -> None:
        self.check_tolerance()
        self.check_vectors("rhs", self.rhs)
        self.check_contexts(self.interval)
        check_entries(self, self.data, self.indices, self.indptr)

    def system(self, index: Any, previous: Any) -> SequenceSystem:
        rhs = jnp.asarray(self.rhs)[index]
        start = jnp.zeros_like(rhs)
        if self.warm_start and previous is not None:
            start = jnp.asarray(previous)
        data = jnp.asarray(self.data)[index]
        return SequenceSystem(data, rhs, start, self.context(index))

    def pack(self) -> Packed:
        arrays = {
            "operator_data": np.asarray(self.data),
            "operator_indices": np.asarray(self.indices),
            "operator_indptr": np.asarray(self.indptr),
            "rhs": np.asarray(self.rhs),
        }
        if self.contexts is not None:
            arrays["context"] = np.asarray(self.contexts)
        parameters = self.parameters() | {
            "warm_start": self.warm_start,
            "interval": None if self.interval is None else list(self.interval),
        }
        return Packed("linear.sequence/1", parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        arrays, parameters = dict(arrays), dict(parameters)
        systems = CSRSystems(
            arrays.pop("operator_data"),
            arrays.pop("operator_indices"),
            arrays.pop("operator_indptr"),
            arrays.pop("rhs"),
        )
        return cls(systems, **arrays, **parameters)
