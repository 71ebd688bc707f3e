"""Nuclear-norm minimisation, to be compared with."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float64

from ..core import AbstractMethod, Outcome, require
from ._low_rank import LowRank
from ._matrix_sensing import AbstractSensingProblem, MatrixSensing, Real
from ._residual_watch import Watch, normal_map, seen_error


class ShrinkageState(eqx.Module):
    """Iterate, extrapolated point, their images under A, momentum, penalty."""

    matrix: Float64[Array, "n1 n2"]
    ahead: Float64[Array, "n1 n2"]
    image: Float64[Array, " m"]
    image_ahead: Float64[Array, " m"]
    momentum: Float64[Array, ""]
    penalty: Float64[Array, ""]
    lipschitz: Float64[Array, ""]
    watch: Watch


@final
class NuclearNormFISTA(AbstractMethod):
    """min (1/2) ||cA(M) - y||^2 + mu ||M||_*, mu falling to a negligible value.

    Convex, needs no width, and pays a full singular value decomposition a step. Source:
    Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009); Toh and Yun, Pacific J. Optim. 6
    (2010), for lowering mu; O'Donoghue and Candes, Found. Comput. Math. 15 (2015), for
    restarts.

    **Options:**

    - `strength`: last mu in units of sigma_1(cA*(y)), > 0.
    - `decay`: factor on mu after each step, in (0, 1).
    - `patience`: steps in which the residual must fall by a tenth.
    """

    strength: Real = 1e-12
    decay: Real = 0.97
    patience: int = 200

    def validate(self) -> None:
        good = self.strength > 0
        require(self, "strength", good, expected="> 0", got=self.strength)
        good = (self.decay > 0) & (self.decay < 1)
        require(self, "decay", good, expected="in (0, 1)", got=self.decay)
        good, got = self.patience >= 1, self.patience
        require(self, "patience", good, expected=">= 1", got=got)

    def init(self, problem: AbstractSensingProblem, key: Any) -> ShrinkageState:
        del key  # deterministic
        sensing = problem.sensing
        zero = jnp.zeros(sensing.operator.shape)
        nothing = jnp.zeros(sensing.operator.count)
        target = sensing.backprojection()
        return ShrinkageState(
            zero,
            zero,
            nothing,
            nothing,
            jnp.ones(()),
            jnp.linalg.norm(target, 2),
            1.02 * _largest_gain(sensing, target),
            Watch.fresh(),
        )

    def step(
        self, problem: AbstractSensingProblem, state: ShrinkageState
    ) -> ShrinkageState:
        sensing = problem.sensing
        operator, used = sensing.operator, sensing.used
        seen = jnp.arange(operator.count) < used
        r = jnp.where(seen, state.image_ahead - sensing.measurements, 0.0)
        slope = operator.scale(used) * operator.adjoint(r)
        matrix = _shrunk(
            state.ahead - slope / state.lipschitz,
            state.penalty / state.lipschitz,
            sensing.psd,
        )
        image = operator.apply(matrix)
        # Restart where the step points against the momentum.
        against = jnp.sum((state.ahead - matrix) * (matrix - state.matrix)) > 0
        momentum = jnp.where(against, 1.0, state.momentum)
        following = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
        beta = (momentum - 1) / following
        away = jnp.where(seen, image - sensing.measurements, 0.0)
        residual = jnp.sqrt(jnp.sum(away * away)) / sensing.size()
        floor = self.strength * jnp.linalg.norm(matrix)
        return ShrinkageState(
            matrix,
            matrix + beta * (matrix - state.matrix),
            image,
            image + beta * (image - state.image),
            following,
            jnp.maximum(self.decay * state.penalty, floor),
            state.lipschitz,
            state.watch.look(residual, self.patience),
        )

    def done(
        self, problem: AbstractSensingProblem, state: ShrinkageState
    ) -> Bool[Array, ""]:
        return state.watch.over(problem.sensing)

    def finish(self, problem: AbstractSensingProblem, state: ShrinkageState) -> LowRank:
        if problem.sensing.psd:
            values, vectors = jnp.linalg.eigh((state.matrix + state.matrix.T) / 2)
            factor = vectors * jnp.sqrt(jnp.maximum(values, 0.0))
            return LowRank(factor, factor)
        left, values, rows = jnp.linalg.svd(state.matrix, full_matrices=False)
        root = jnp.sqrt(values)
        return LowRank(left * root, rows.T * root)

    def observe(
        self, problem: AbstractSensingProblem, state: ShrinkageState
    ) -> dict[str, Array]:
        seen = {"residual": state.watch.residual, "penalty": state.penalty}
        return seen | seen_error(problem, state.matrix)

    def outcome(
        self, problem: AbstractSensingProblem, state: ShrinkageState
    ) -> Outcome:
        return state.watch.outcome(
            problem.sensing, "raise decay towards 1, or patience, or rtol."
        )

    def citations(self) -> tuple[str, ...]:
        return ("beck2009fista", "toh2010accelerated", "odonoghue2015restart")


def _shrunk(matrix: Array, threshold: Array, psd: bool) -> Array:
    """The proximal point of threshold * ||.||_*, among psd matrices if so."""
    if psd:
        values, vectors = jnp.linalg.eigh((matrix + matrix.T) / 2)
        return (vectors * jnp.maximum(values - threshold, 0.0)) @ vectors.T
    left, values, rows = jnp.linalg.svd(matrix, full_matrices=False)
    return (left * jnp.maximum(values - threshold, 0.0)) @ rows


def _largest_gain(problem: MatrixSensing, start: Array) -> Array:
    """||cA*A|| by 40 steps of the power method."""

    def again(_: Any, carry: Any) -> Any:
        vector = carry[0] / jnp.sqrt(jnp.sum(carry[0] ** 2))
        image = normal_map(problem, vector)
        return image, jnp.sqrt(jnp.sum(image**2))

    # Every direction takes part: A*(y) alone may lie in a small eigenspace.
    noise = jax.random.normal(jax.random.key(0), start.shape, jnp.float64)
    start = start / jnp.sqrt(jnp.sum(start**2)) + noise / jnp.sqrt(start.size)
    return jax.lax.fori_loop(0, 40, again, (start, jnp.ones(())))[1]
