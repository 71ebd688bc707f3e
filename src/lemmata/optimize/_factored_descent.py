"""Descent on the factors of a matrix: the state and the verbs its variants share."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int64

from ..core import (
    CONVERGED,
    AbstractMethod,
    Claim,
    InvalidArgument,
    InvalidMethod,
    Outcome,
    Withheld,
    require,
)
from ._low_rank import LowRank
from ._matrix_sensing import AbstractSensingProblem, MatrixSensing, Real
from ._sensing_starts import AbstractStart

SAMPLES = 16  # pairs of successive iterates that a run keeps, at most
_SAMPLE_ENTRIES = 2**20  # of all of them together
_SUBLINEAR, _STALLED = 1, 2


class DescentState(eqx.Module):
    """Factors, the gradient at their product, and what the run remembers.

    `gradient` E = cA*(A(L R') - y); `path` the sum of ||dL||_F^2 + ||dR||_F^2 since
    `start`, where L stands above R; `samples` pairs of successive iterates; `mark`,
    `fall`, `octave` watch the residual over doublings of `steps`.
    """

    left: Float64[Array, "n1 k"]
    right: Float64[Array, "n2 k"]
    gradient: Float64[Array, "n1 n2"]
    residual: Float64[Array, ""]
    path: Float64[Array, ""]
    steps: Int64[Array, ""]
    length: Float64[Array, ""]
    size: Float64[Array, ""]
    start: Float64[Array, "n k"]
    samples: Float64[Array, "s 2 n k"]
    switch: Float64[Array, "2 w k"]
    switched: Int64[Array, ""]
    mark: Float64[Array, ""]
    fall: Float64[Array, ""]
    octave: Int64[Array, ""]
    verdict: Int64[Array, ""]


class AbstractFactoredDescent(AbstractMethod):
    """Gradient descent on factors; a variant says how one step moves them.

    `step_size` is in units of 1 / sigma_1, the largest singular value of cA*(y): above
    1 no such step is stable, whatever the problem.
    """

    switching: ClassVar[bool] = False
    advice: ClassVar[str]
    width: eqx.AbstractVar[int]
    step_size: eqx.AbstractVar[Real | None]
    start: eqx.AbstractVar[AbstractStart]
    check_every: eqx.AbstractVar[int]
    patience: eqx.AbstractVar[int]

    @abc.abstractmethod
    def move(
        self, problem: MatrixSensing, length: Any, factors: tuple[Any, Any], slope: Any
    ) -> tuple[Any, Any]:
        """The factors after one step; `slope` is E."""

    @abc.abstractmethod
    def is_symmetric(self) -> bool:
        """Whether one factor stands for both."""

    @abc.abstractmethod
    def default_step(self, problem: MatrixSensing) -> float:
        """Step size where none is given, in units of 1 / sigma_1."""

    def validate(self) -> None:
        whole = isinstance(self.width, int | np.integer) and self.width >= 1
        require(self, "width", whole, expected="an integer >= 1", got=self.width)
        if self.step_size is not None:
            good = (self.step_size > 0) & (self.step_size <= 1)
            expected = "in (0, 1], in units of 1 / sigma_1: the cap is 1"
            require(self, "step_size", good, expected=expected, got=self.step_size)
        begins = isinstance(self.start, AbstractStart)
        expected, got = "a start, such as SmallRandomStart()", self.start
        require(self, "start", begins, expected=expected, got=got)
        for field, least in (("check_every", 1), ("patience", 4)):
            count = getattr(self, field)
            require(self, field, count >= least, expected=f">= {least}", got=count)

    def init(self, problem: AbstractSensingProblem, key: Any) -> DescentState:
        sensing = problem.sensing
        target = self._checked(sensing).backprojection()
        factors = self.start.factors(
            sensing, target, key, width=self.width, symmetric=self.is_symmetric()
        )
        return self._begin(sensing, target, *factors)

    def warm_start(
        self, problem: AbstractSensingProblem, value: LowRank, key: Any
    ) -> DescentState:
        del key
        sensing = self._checked(problem.sensing)
        if value.width != self.width:
            expected = f"factors of width {self.width}"
            raise InvalidArgument("solve.start", expected, value.width)
        right = value.left if self.is_symmetric() else value.right
        target = sensing.backprojection()
        return self._begin(sensing, target, jnp.asarray(value.left), jnp.asarray(right))

    def _checked(self, sensing: MatrixSensing) -> MatrixSensing:
        """Refuses a width or a form that the problem does not have."""
        largest, name = min(sensing.operator.shape), type(self).__name__
        if self.width > largest:
            expected = f"at most {largest}, the smaller side"
            raise InvalidMethod(f"{name}.width", expected, self.width)
        if self.is_symmetric() and not sensing.psd:
            expected = "a problem with psd=True, or AsymmetricGradientDescent"
            raise InvalidMethod(name, expected, "psd=False")
        return sensing

    def _begin(
        self, sensing: MatrixSensing, target: Any, left: Any, right: Any
    ) -> DescentState:
        slots = _SAMPLE_ENTRIES // (2 * (left.size + right.size))
        slots = max(2, min(SAMPLES, slots))
        stacked = jnp.concatenate([left, right])
        rows, k = stacked.shape
        square, gradient = sensing.gradient(left @ right.T)
        size = sensing.size()
        relative = self.default_step(sensing)
        if self.step_size is not None:
            relative = self.step_size
        integer, nothing = jnp.zeros((), jnp.int64), jnp.zeros(())
        residual = jnp.sqrt(square) / size
        return DescentState(
            left=left,
            right=right,
            gradient=gradient,
            residual=residual,
            path=nothing,
            steps=integer,
            length=self._length(relative, target),
            size=size,
            start=stacked,
            samples=jnp.zeros((slots, 2, rows, k)),
            switch=jnp.zeros((2, rows if self.switching else 0, k)),
            switched=integer - 1,
            mark=residual,
            fall=nothing,
            octave=integer + max(self.patience // 4, 1),
            verdict=integer,
        )

    def _length(self, relative: Any, target: Any) -> Array:
        return jnp.asarray(relative, jnp.float64) / jnp.linalg.norm(target, 2)

    def step(
        self, problem: AbstractSensingProblem, state: DescentState
    ) -> DescentState:
        sensing = problem.sensing

        def again(_: Any, carry: Any) -> Any:
            left, right, gradient, path, _ = carry
            new, other = self.move(sensing, state.length, (left, right), gradient)
            path = path + jnp.sum((new - left) ** 2) + jnp.sum((other - right) ** 2)
            square, gradient = sensing.gradient(new @ other.T)
            return new, other, gradient, path, square

        carry = (state.left, state.right, state.gradient, state.path, jnp.zeros(()))
        carry = jax.lax.fori_loop(0, self.check_every - 1, again, carry)
        left, right, gradient, path, square = again(0, carry)
        pair = jnp.stack([jnp.concatenate(carry[:2]), jnp.concatenate([left, right])])
        state = eqx.tree_at(
            lambda s: (s.left, s.right, s.gradient, s.path, s.residual, s.samples),
            state,
            (
                left,
                right,
                gradient,
                path,
                jnp.sqrt(square) / state.size,
                self._kept(state, pair),
            ),
        )
        return self.adjust(sensing, self._watch(state))

    def _kept(self, state: DescentState, pair: Array) -> Array:
        """The samples with this pair: in slot j the last of visits 2^j, ..."""
        visit = (state.steps // self.check_every + 1).astype(jnp.uint64)
        octave = 63 - jax.lax.clz(visit).astype(jnp.int64)
        return state.samples.at[jnp.minimum(octave, len(state.samples) - 1)].set(pair)

    def _watch(self, state: DescentState) -> DescentState:
        """Looks, each time the steps have doubled, at how far the residual fell.

        A linear rate falls twice as far in log each time, a power law as far as before.
        """
        steps = state.steps + self.check_every
        due = steps >= state.octave
        fall = jnp.log(state.residual / state.mark)
        late = due & (steps >= self.patience) & (state.residual < 0.9)
        flat = (fall > -0.01) & (state.fall > -0.01)
        power = (fall > -jnp.log(4.0)) & (fall < -0.01) & (fall > 1.5 * state.fall)
        verdict = jnp.where(power, _SUBLINEAR, jnp.where(flat, _STALLED, 0))
        return eqx.tree_at(
            lambda s: (s.steps, s.octave, s.mark, s.fall, s.verdict),
            state,
            (
                steps,
                jnp.where(due, 2 * state.octave, state.octave),
                jnp.where(due, state.residual, state.mark),
                jnp.where(due, fall, state.fall),
                jnp.where(late, verdict, state.verdict),
            ),
        )

    def adjust(self, problem: MatrixSensing, state: DescentState) -> DescentState:
        """What a variant does beyond moving; nothing by default."""
        del problem
        return state

    def done(
        self, problem: AbstractSensingProblem, state: DescentState
    ) -> Bool[Array, ""]:
        reached = ~(state.residual > 0.5 * problem.sensing.rtol)
        return reached | (state.verdict > 0) | jnp.isinf(state.residual)

    def finish(self, problem: AbstractSensingProblem, state: DescentState) -> LowRank:
        del problem
        return LowRank(state.left, state.right)

    def observe(
        self, problem: AbstractSensingProblem, state: DescentState
    ) -> dict[str, Array]:
        gram = state.left.T @ state.left
        seen = {
            "residual": state.residual,
            "gradient_steps": state.steps,
            "path": state.path,
            "stretch": state.length * jnp.sqrt(jnp.sum(gram * gram)),
        }
        if problem.truth is not None:
            truth = problem.truth
            away = state.left @ state.right.T - truth.left @ truth.right.T
            seen["square_error"] = jnp.sum(away * away)
        return seen

    def outcome(self, problem: AbstractSensingProblem, state: DescentState) -> Outcome:
        residual, steps = float(state.residual), int(state.steps)
        if residual <= 0.5 * float(problem.sensing.rtol):
            return CONVERGED
        found = f"residual {residual:.1e} after {steps} steps"
        if int(state.verdict) == _SUBLINEAR:
            slow = f"{found}, falling like a power of the steps"
            return Outcome("sublinear", f"{slow}; {self.advice}")
        if int(state.verdict) == _STALLED:
            return Outcome(
                "stalled",
                f"{found}, and falling no more: raise rtol to the noise of the "
                f"measurements, raise width, or {self.advice}",
            )
        return Outcome(
            "diverged", f"{found}: lower step_size (in units of 1 / sigma_1)."
        )

    def claims(
        self,
        problem: AbstractSensingProblem,
        value: LowRank,
        state: DescentState,
        trace: Mapping[str, np.ndarray],
    ) -> tuple[Claim | Withheld, ...]:
        from ._sensing_run_claims import run_claims

        return run_claims(self, problem, value, state, trace)

    def citations(self) -> tuple[str, ...]:
        return ("xiong2024overparameterization",)
