"""Alternating least squares for matrix sensing, to be compared with."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float64

from ..core import AbstractMethod, InvalidMethod, Outcome, require
from ._low_rank import LowRank
from ._matrix_sensing import AbstractSensingProblem
from ._residual_watch import Watch, normal_map, seen_error


class AlternatingState(eqx.Module):
    """Factors, the back-projected measurements, the residual."""

    left: Float64[Array, "n1 k"]
    right: Float64[Array, "n2 k"]
    target: Float64[Array, "n1 n2"]
    watch: Watch


@final
class AlternatingLeastSquares(AbstractMethod):
    """Each factor in turn solves its least-squares problem, from the spectral start.

    The other factor is orthonormalised first; the normal equations are solved by
    conjugate gradients without forming them. Source: Jain, Netrapalli and Sanghavi,
    STOC 2013.

    **Options:**

    - `width`: columns k of the factors.
    - `inner_steps`: conjugate gradient steps for each factor.
    - `patience`: steps in which the residual must fall by a tenth.
    """

    width: int
    inner_steps: int = 20
    patience: int = 50

    def validate(self) -> None:
        for field in ("width", "inner_steps", "patience"):
            count = getattr(self, field)
            require(self, field, count >= 1, expected=">= 1", got=count)

    def init(self, problem: AbstractSensingProblem, key: Any) -> AlternatingState:
        del key  # deterministic
        sensing = problem.sensing
        largest = min(sensing.operator.shape)
        if self.width > largest:
            where = "AlternatingLeastSquares.width"
            raise InvalidMethod(where, f"at most {largest}", self.width)
        target = sensing.backprojection()
        left, values, rows = jnp.linalg.svd(target, full_matrices=False)
        right = rows[: self.width].T * values[: self.width]
        return AlternatingState(left[:, : self.width], right, target, Watch.fresh())

    def step(
        self, problem: AbstractSensingProblem, state: AlternatingState
    ) -> AlternatingState:
        sensing = problem.sensing
        basis, carried = jnp.linalg.qr(state.right)

        def left_normal(left: Array) -> Array:
            return normal_map(sensing, left @ basis.T) @ basis

        left = self._solved(left_normal, state.left @ carried.T, state.target @ basis)
        frame, carried = jnp.linalg.qr(left)

        def right_normal(right: Array) -> Array:
            return normal_map(sensing, frame @ right.T).T @ frame

        right = self._solved(right_normal, basis @ carried.T, state.target.T @ frame)
        square, _ = sensing.gradient(frame @ right.T)
        residual = jnp.sqrt(square) / sensing.size()
        watch = state.watch.look(residual, self.patience)
        return AlternatingState(frame, right, state.target, watch)

    def _solved(self, normal: Any, start: Array, rhs: Array) -> Array:
        """Conjugate gradients on normal(X) = rhs; a zero direction ends them."""

        def again(_: Any, carry: Any) -> Any:
            x, r, p, square = carry
            image = normal(p)
            curve = jnp.sum(p * image)
            step = jnp.where(curve > 0, square / jnp.where(curve > 0, curve, 1.0), 0.0)
            x, r = x + step * p, r - step * image
            fresh = jnp.sum(r * r)
            ratio = jnp.where(square > 0, fresh / jnp.where(square > 0, square, 1), 0.0)
            return x, r, r + ratio * p, fresh

        r = rhs - normal(start)
        carry = (start, r, r, jnp.sum(r * r))
        return jax.lax.fori_loop(0, self.inner_steps, again, carry)[0]

    def done(
        self, problem: AbstractSensingProblem, state: AlternatingState
    ) -> Bool[Array, ""]:
        return state.watch.over(problem.sensing)

    def finish(
        self, problem: AbstractSensingProblem, state: AlternatingState
    ) -> LowRank:
        del problem
        return LowRank(state.left, state.right)

    def observe(
        self, problem: AbstractSensingProblem, state: AlternatingState
    ) -> dict[str, Array]:
        seen = {"residual": state.watch.residual}
        return seen | seen_error(problem, state.left @ state.right.T)

    def outcome(
        self, problem: AbstractSensingProblem, state: AlternatingState
    ) -> Outcome:
        return state.watch.outcome(
            problem.sensing, "raise width, inner_steps, patience or rtol."
        )

    def citations(self) -> tuple[str, ...]:
        return ("jain2013alternating",)
