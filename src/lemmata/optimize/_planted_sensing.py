"""Matrix sensing with the true matrix at hand: for benchmarks and for theorems."""

from typing import Any, Self, final

import numpy as np

from lemmata_checker import Packed

from ..core import Claim, InvalidProblem, Withheld, require
from ._low_rank import LowRank
from ._matrix_sensing import AbstractSensingProblem, MatrixSensing, Real, measure
from ._sensing_operators import AbstractSensingOperator, as_f8

_AGREEMENT = 1e-12  # relative: measurements are A(M*) but for rounding


@final
class Planted(AbstractSensingProblem):
    """A sensing problem whose true matrix is known; claims about it become possible.

    **Fields:**

    - `problem`: the problem as a user would have it; methods see no more.
    - `truth`: M* = L* R*', a `LowRank` of exactly r columns, or a matrix, which is
      factored at its numerical rank. L* = R* where the problem is `psd`.

    **Raises:** `InvalidProblem`, also where y and A(M*) differ by more than 1e-12.
    """

    problem: MatrixSensing
    planted: LowRank

    def __init__(self, problem: MatrixSensing, truth: Any):
        self.problem = problem
        symmetric = bool(getattr(problem, "psd", False))
        if not isinstance(truth, LowRank):
            truth = LowRank.of(truth, symmetric=symmetric)
        self.planted = truth

    @classmethod
    def of(
        cls,
        operator: AbstractSensingOperator,
        truth: Any,
        *,
        psd: bool = False,
        rtol: Real = 1e-10,
        held_out: int = 0,
    ) -> Self:
        """Measures the truth, exactly but for rounding."""
        if not isinstance(truth, LowRank):
            truth = LowRank.of(truth, symmetric=psd)
        operator.validate()
        if truth.shape != operator.shape:
            expected = f"shape {operator.shape}"
            raise InvalidProblem("Planted.truth", expected, truth.shape)
        y = measure(operator, truth.matrix())
        problem = MatrixSensing(operator, y, psd=psd, rtol=rtol, held_out=held_out)
        return cls(problem, truth)

    def validate(self) -> None:
        plain = isinstance(self.problem, MatrixSensing)
        got = type(self.problem).__name__
        require(self, "problem", plain, expected="a MatrixSensing", got=got)
        truth, shape = self.planted, self.problem.operator.shape
        expected = f"shape {shape}"
        require(self, "truth", truth.shape == shape, expected=expected, got=truth.shape)
        finite = all(np.all(np.isfinite(a)) for a in (truth.left, truth.right))
        require(self, "truth", finite, expected="finite factors", got="others")
        if self.problem.psd:
            same = np.array_equal(truth.left, truth.right)
            expected = "left = right, as psd=True says"
            require(self, "truth", same, expected=expected, got="two factors")
        y = np.asarray(self.problem.measurements)
        away = np.linalg.norm(measure(self.problem.operator, truth.matrix()) - y)
        good = away <= _AGREEMENT * np.linalg.norm(y)
        got = f"||A(M*) - y|| = {away:.1e}"
        expected = "the matrix that was measured (to 1e-12)"
        require(self, "truth", good, expected=expected, got=got)

    @property
    def sensing(self) -> MatrixSensing:
        """The problem without the truth."""
        return self.problem

    @property
    def truth(self) -> LowRank:
        """M*."""
        return self.planted

    @property
    def rank(self) -> int:
        """A bound r on the rank of M*: the number of its columns."""
        return self.planted.width

    def pack(self) -> Packed:
        _, parameters, arrays = self.problem.pack()
        arrays["truth_left"] = as_f8(self.planted.left)
        arrays["truth_right"] = as_f8(self.planted.right)
        return Packed("optimize.planted_sensing/1", parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        arrays = dict(arrays)
        truth = LowRank(arrays.pop("truth_left"), arrays.pop("truth_right"))
        return cls(MatrixSensing.unpack(parameters, arrays), truth)

    def claims(self, value: LowRank) -> tuple[Claim | Withheld, ...]:
        from ._sensing_claims import answer_claims, planted_claims

        plain = answer_claims(self.problem, value)
        return (*plain, *planted_claims(self, value))
