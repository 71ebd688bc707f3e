"""Low-rank matrix sensing: the problem, and what an answer to it is worth.

Source: Xiong, Ding and Du, ICLR 2024 (arXiv 2310.01769), section 2.
"""

from typing import Any, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from lemmata_checker import Packed

from ..core import (
    AbstractProblem,
    AnyArray,
    Claim,
    InvalidArgument,
    InvalidProblem,
    Withheld,
    array64,
    require,
)
from ._gaussian_operator import GaussianOperator
from ._indexed_operators import FourierOperator, MaskOperator
from ._low_rank import LowRank
from ._sensing_operators import (
    AbstractSensingOperator,
    DenseOperator,
    IdentityOperator,
    RankOneOperator,
    as_f8,
)

Real = float | AnyArray
OPERATORS: dict[str, type[AbstractSensingOperator]] = {
    kind.name: kind
    for kind in (
        DenseOperator,
        FourierOperator,
        GaussianOperator,
        IdentityOperator,
        MaskOperator,
        RankOneOperator,
    )
}
_ASYMMETRY = 1e-12  # of the largest entry: what a product X X' rounds by


class AbstractSensingProblem(AbstractProblem):
    """What methods see of a sensing problem, with or without a planted truth."""

    @property
    def sensing(self) -> "MatrixSensing":
        """Operator, measurements and tolerances."""
        raise NotImplementedError

    @property
    def truth(self) -> LowRank | None:
        """The planted matrix, if it is known."""
        return None

    def candidate(
        self, *, left: Any = None, right: Any = None, matrix: Any = None
    ) -> LowRank:
        """A value from elsewhere.

        **Arguments:**

        - `left`, `right`: factors (n1, k) and (n2, k); without `right`, L R' = L L'.
        - `matrix`: (n1, n2) instead; it is factored at its numerical rank.

        **Raises:** `InvalidArgument` where a shape does not fit.
        """
        shape = self.sensing.operator.shape
        if (left is None) == (matrix is None):
            expected = "either factors or a matrix"
            raise InvalidArgument("candidate", expected, "both or neither")
        if matrix is not None:
            if np.shape(matrix) != shape:
                raise InvalidArgument(
                    "candidate.matrix", f"shape {shape}", np.shape(matrix)
                )
            return LowRank.of(matrix)
        left = array64(left)
        right = left if right is None else array64(right)
        fits = left.ndim == right.ndim == 2 and left.shape[1] == right.shape[1]
        if not fits or (left.shape[0], right.shape[0]) != shape:
            expected = f"factors ({shape[0]}, k) and ({shape[1]}, k)"
            raise InvalidArgument("candidate.left", expected, (left.shape, right.shape))
        return LowRank(left, right)

    def value_from(self, arrays: dict[str, np.ndarray]) -> LowRank:
        return LowRank(**arrays)

    def default_method(self) -> Any:
        from ._gradient_descent import AcceleratedAsymmetricGradientDescent

        n1, n2 = self.sensing.operator.shape
        width = max(1, min(self.sensing.used // (2 * (n1 + n2)), n1, n2))
        return AcceleratedAsymmetricGradientDescent(width)


@final
class MatrixSensing(AbstractSensingProblem):
    """Find a matrix of low rank, not known, from m linear measurements of it.

    **Fields:**

    - `operator`: what is measured.
    - `measurements`: y_i = <A_i, M*>, shape (m,), or the (n1, n2) matrix itself for
      `IdentityOperator`; finite, not all zero.
    - `psd`: M* is symmetric positive semidefinite (then n1 = n2).
    - `rtol`: the answer is good if ||A(L R') - y|| <= rtol ||y||, > 0.
    - `held_out`: so many of the last measurements are shown to no method; they bound
      the error of the answer afterwards (Gaussian operators only).

    **Raises:** `InvalidProblem`.
    """

    operator: AbstractSensingOperator
    measurements: Float64[AnyArray, " m"]
    psd: bool = eqx.field(static=True)
    rtol: Real
    held_out: int = eqx.field(static=True)

    def __init__(
        self,
        operator: AbstractSensingOperator,
        measurements: Any,
        *,
        psd: bool = False,
        rtol: Real = 1e-10,
        held_out: int = 0,
    ):
        self.operator, self.psd, self.rtol = operator, psd, rtol
        self.held_out = held_out
        y = array64(measurements)
        whole = isinstance(operator, IdentityOperator) and np.shape(y) == operator.shape
        self.measurements = y.reshape(-1) if whole else y

    def validate(self) -> None:
        known = isinstance(self.operator, tuple(OPERATORS.values()))
        got = type(self.operator).__name__
        expected = "a sensing operator, such as GaussianOperator(shape, count)"
        require(self, "operator", known, expected=expected, got=got)
        self.operator.validate()
        self._validate_measurements()
        n1, n2 = self.operator.shape
        flag = isinstance(self.psd, bool | np.bool_)
        require(self, "psd", flag, expected="True or False", got=self.psd)
        if self.psd:
            square = n1 == n2
            got = f"psd=True with {self.operator.shape}"
            require(self, "psd", square, expected="a square matrix", got=got)
            self._validate_symmetry()
        require(self, "rtol", self.rtol > 0, expected="> 0", got=self.rtol)
        self._validate_held_out()

    def _validate_measurements(self) -> None:
        y, m = self.measurements, self.operator.count
        numeric = getattr(y, "dtype", None) == np.float64
        got = getattr(y, "dtype", type(y).__name__)
        require(self, "measurements", numeric, expected="real numbers", got=got)
        fits = y.shape == (m,)
        expected = f"shape ({m},), one number per measurement"
        require(self, "measurements", fits, expected=expected, got=y.shape)
        bad = int(np.sum(~np.isfinite(y)))
        got = f"{bad} not finite"
        require(self, "measurements", bad == 0, expected="finite numbers", got=got)
        some = np.any(y)
        expected = "a number that is not zero"
        require(self, "measurements", some, expected=expected, got="zeros")

    def _validate_symmetry(self) -> None:
        if isinstance(self.operator, IdentityOperator):
            target = self.measurements.reshape(self.operator.shape)
            skew = float(np.max(np.abs(target - target.T)))
            good = skew <= _ASYMMETRY * float(np.max(np.abs(target)))
            got = f"psd=True with max|M - M'| = {skew:.1e}"
            require(self, "psd", good, expected="a symmetric target", got=got)

    def _validate_held_out(self) -> None:
        m, count = self.operator.count, self.held_out
        whole = isinstance(count, int | np.integer) and 0 <= count < m
        expected = f"an integer in [0, {m})"
        require(self, "held_out", whole, expected=expected, got=count)
        fits = count == 0 or isinstance(self.operator, GaussianOperator)
        got = f"{count} with {type(self.operator).__name__}"
        expected = "0, or a GaussianOperator: its rows are independent by definition"
        require(self, "held_out", fits, expected=expected, got=got)

    @property
    def sensing(self) -> "MatrixSensing":
        """The problem itself."""
        return self

    @property
    def used(self) -> int:
        """The number of measurements that methods see."""
        return self.operator.count - self.held_out

    def pack(self) -> Packed:
        parameters, arrays = self.operator.pack()
        parameters |= {
            "operator": self.operator.name,
            "psd": bool(self.psd),
            "rtol": float(self.rtol),
            "held_out": int(self.held_out),
        }
        arrays["measurements"] = as_f8(self.measurements)
        return Packed("optimize.matrix_sensing/1", parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        parameters, arrays = dict(parameters), dict(arrays)
        name = parameters.pop("operator", None)
        if name not in OPERATORS:
            expected = f"one of {', '.join(sorted(OPERATORS))}"
            raise InvalidProblem("MatrixSensing.operator", expected, name)
        operator = OPERATORS[name].unpack(parameters, arrays)
        return cls(operator, **arrays, **parameters)

    def claims(self, value: LowRank) -> tuple[Claim | Withheld, ...]:
        from ._sensing_claims import answer_claims

        return answer_claims(self, value)

    def gradient(self, matrix: Any) -> tuple[Any, Any]:
        """(||A(M) - y||^2, cA*(A(M) - y)), over the measurements that methods see."""
        return self.operator.residual_and_gradient(matrix, self.measurements, self.used)

    def size(self) -> Any:
        """||y|| over the measurements that methods see; inside the driver."""
        y = self.measurements[: self.used]
        return jnp.sqrt(jnp.sum(y * y))

    def backprojection(self) -> Any:
        """cA*(y), shape (n1, n2): the target, as far as one application shows it."""
        operator, y = self.operator, self.measurements
        if self.held_out:
            y = jnp.where(jnp.arange(operator.count) < self.used, y, 0.0)
        return operator.scale(self.used) * operator.adjoint(y)


def measure(operator: AbstractSensingOperator, matrix: Any) -> np.ndarray:
    """A(M) in NumPy, shape (m,)."""
    return np.asarray(operator.apply(np.asarray(matrix, dtype=np.float64)))
