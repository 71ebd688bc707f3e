"""One matrix under changing diagonal shifts, A_t = A + c_t I; the shift is known.

Source: Khodak et al., ICLR 2024 (arXiv 2310.02246), section 2.2 and appendix F.
"""

from typing import Any, Self, final

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from lemmata_checker import Packed

from ..core import AnyArray, array64, require
from ._criteria import INITIAL, AbstractCriterion, criterion_named
from ._pattern import CSRSystems, as_csr, rows_of, stack_systems
from ._problem import Real
from ._sequence import AbstractSequence, SequenceSystem, check_entries
from ._wavefront import Wavefronts

LOWEST, SPREAD = -0.15, 0.6  # the paper's shifts: -0.15 + 0.6 Beta


@final
class ShiftedSequence(AbstractSequence):
    """(A + c_t I) x = b_t, zero start, the shift c_t as context.

    **Fields:**

    - `operator`: A, symmetric, dense or SciPy sparse, shape (n, n).
    - `shifts`: c_t, shape (T,), in units of A; A + c_t I must be positive definite.
    - `rhs`: b_t, shape (T, n).
    - `rtol`, `criterion`: as for `LinearSequence`; both relative ones coincide here.
    - `unshifted_radius`: spectral radius of I - D^{-1} A where A has a constant
      diagonal and the value is known (for `YoungRelaxation`), or None.

    **Raises:** `InvalidProblem`.
    """

    data: AnyArray
    contexts: AnyArray
    rhs: AnyArray
    indices: AnyArray
    indptr: AnyArray
    diagonal: AnyArray
    fronts: Wavefronts
    rtol: Real
    criterion: AbstractCriterion
    unshifted_radius: Real | None

    def __init__(
        self,
        operator: Any,
        shifts: Any,
        rhs: Any,
        *,
        rtol: Real = 1e-8,
        criterion: AbstractCriterion = INITIAL,
        unshifted_radius: Real | None = None,
    ):
        base = _base(operator)
        self.data, self.indices, self.indptr = base.data[0], base.indices, base.indptr
        rows = np.repeat(np.arange(self.indptr.size - 1), np.diff(self.indptr))
        self.diagonal = (self.indices == rows).astype(np.float64)
        self.contexts, self.rhs = array64(shifts), array64(rhs)
        self.fronts = Wavefronts.of(self.indices, self.indptr)
        self.rtol, self.criterion = rtol, criterion_named(criterion)
        self.unshifted_radius = unshifted_radius

    @property
    def length(self) -> int:
        return self.contexts.shape[0]

    def validate(self) -> None:
        shifts = self.contexts
        vector = shifts.ndim == 1 and shifts.size > 0
        require(self, "shifts", vector, expected="shape (T,)", got=shifts.shape)
        self.check_tolerance()
        self.check_contexts(None)
        self.check_vectors("rhs", self.rhs)
        check_entries(self, self.lowest(), self.indices, self.indptr)
        if self.unshifted_radius is not None:
            radius = self.unshifted_radius
            own = self.data[self.diagonal > 0]
            expected = "None where the diagonal is not constant"
            flat = bool(np.all(own == own[0]))
            require(self, "unshifted_radius", flat, expected=expected, got=radius)

    def lowest(self) -> np.ndarray:
        """Entries of the system with the lowest shift."""
        return self.data + np.min(self.contexts) * self.diagonal

    def system(self, index: Any, previous: Any) -> SequenceSystem:
        del previous  # zero start
        shift = jnp.asarray(self.contexts)[index]
        data = jnp.asarray(self.data) + shift * jnp.asarray(self.diagonal)
        rhs = jnp.asarray(self.rhs)[index]
        return SequenceSystem(data, rhs, jnp.zeros_like(rhs), shift)

    def jacobi_radius(self, index: Any) -> Any:
        if self.unshifted_radius is None:
            return super().jacobi_radius(index)
        # D + c I divides what D divided before.
        own = jnp.max(jnp.asarray(self.data) * jnp.asarray(self.diagonal))
        shift = jnp.asarray(self.contexts)[index]
        return self.unshifted_radius * own / (own + shift)

    def pack(self) -> Packed:
        arrays = {
            "operator_data": np.asarray(self.data),
            "operator_indices": np.asarray(self.indices),
            "operator_indptr": np.asarray(self.indptr),
            "shifts": np.asarray(self.contexts),
            "rhs": np.asarray(self.rhs),
        }
        radius = self.unshifted_radius
        known = None if radius is None else float(radius)
        parameters = self.parameters() | {"unshifted_radius": known}
        return Packed("linear.shifted_sequence/1", parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        arrays = dict(arrays)
        if "operator" in arrays:
            return cls(**arrays, **parameters)
        base = CSRSystems(
            np.atleast_2d(arrays.pop("operator_data")),
            arrays.pop("operator_indices"),
            arrays.pop("operator_indptr"),
            np.atleast_2d(arrays["rhs"])[:1],
        )
        return cls(base, **arrays, **parameters)


def _base(operator: Any) -> CSRSystems:
    """The pattern completed, one row of data."""
    if isinstance(operator, CSRSystems):
        return stack_systems("ShiftedSequence", operator)
    matrix = as_csr("ShiftedSequence.operator", operator)
    return stack_systems("ShiftedSequence", [(matrix, np.zeros(rows_of(matrix)))])


def square_laplacian(side: int) -> sp.csr_array:
    """Five-point Laplacian on `side` x `side` inner points, 4 on the diagonal.

    MATLAB's `delsq(numgrid('S', side + 2))`, in row order.
    """
    beside: Any = sp.eye_array(side, k=1) + sp.eye_array(side, k=-1)
    one: Any = sp.eye_array(side)
    line = 2.0 * one - beside
    return sp.csr_array(sp.kron(line, one) + sp.kron(one, line))


def shifted_laplacian(
    steps: int,
    *,
    side: int = 10,
    concentration: tuple[float, float] = (0.5, 1.5),
    key: int = 0,
    rtol: Real = 1e-8,
) -> ShiftedSequence:
    """The paper's family: a Laplacian under shifts -0.15 + 0.6 Beta(p, q).

    **Arguments:**

    - `steps`: T; `side`: points along a side, n = side^2.
    - `concentration`: (p, q): (1/2, 3/2) is the paper's high variance, (2, 6) its low.
    - `key`: of NumPy's generator; right-hand sides are standard normal vectors drawn
      again until their norm is at most sqrt(n).
    """
    rng = np.random.default_rng(key)
    shifts = LOWEST + SPREAD * rng.beta(*concentration, size=steps)
    n = side * side
    rhs = rng.normal(size=(steps, n))
    while np.any(large := np.sum(rhs**2, axis=1) > n):
        rhs[large] = rng.normal(size=(int(large.sum()), n))
    radius = float(np.cos(np.pi / (side + 1)))
    operator = square_laplacian(side)
    return ShiftedSequence(operator, shifts, rhs, rtol=rtol, unshifted_radius=radius)
