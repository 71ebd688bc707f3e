"""What the baselines of matrix sensing share: a watch, the normal map."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float64, Int64

from ..core import CONVERGED, Outcome
from ._matrix_sensing import AbstractSensingProblem, MatrixSensing


class Watch(eqx.Module):
    """The residual, and the best one that `patience` steps ago was left behind."""

    residual: Float64[Array, ""]
    mark: Float64[Array, ""]
    steps: Int64[Array, ""]
    stalled: Bool[Array, ""]

    @classmethod
    def fresh(cls) -> "Watch":
        """Before the first step."""
        top, zero = jnp.asarray(jnp.inf), jnp.zeros((), jnp.int64)
        return cls(top, top, zero, jnp.zeros((), bool))

    def look(self, residual: Array, patience: int) -> "Watch":
        """After a step; every `patience` steps must take a tenth off the residual."""
        steps = self.steps + 1
        due = steps % patience == 0
        stuck = due & (residual > 0.9 * self.mark)
        return Watch(residual, jnp.where(due, residual, self.mark), steps, stuck)

    def over(self, problem: MatrixSensing) -> Bool[Array, ""]:
        """Whether the residual is small enough, not finite, or stuck."""
        reached = ~(self.residual > 0.5 * problem.rtol)
        begun = self.steps > 0
        return reached | self.stalled | (begun & ~jnp.isfinite(self.residual))

    def outcome(self, problem: MatrixSensing, advice: str) -> Outcome:
        """On the host, once `over` holds."""
        residual = float(self.residual)
        if residual <= 0.5 * float(problem.rtol):
            return CONVERGED
        found = f"residual {residual:.1e} after {int(self.steps)} steps"
        return Outcome("stalled", f"{found}, and falling no more; {advice}")


def normal_map(problem: MatrixSensing, matrix: Array) -> Array:
    """cA*(A(M)) over the measurements that methods see."""
    nothing = jnp.zeros_like(problem.measurements)
    _, slope = problem.operator.residual_and_gradient(matrix, nothing, problem.used)
    return slope


def seen_error(problem: AbstractSensingProblem, matrix: Array) -> dict[str, Array]:
    if problem.truth is None:
        return {}
    away = matrix - problem.truth.left @ problem.truth.right.T
    return {"square_error": jnp.sum(away * away)}
