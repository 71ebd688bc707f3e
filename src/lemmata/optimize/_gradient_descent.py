"""Symmetric, asymmetric and accelerated gradient descent on the factors.

Source: Xiong, Ding and Du, ICLR 2024 (arXiv 2310.01769), sections 3 to 5.
"""

from typing import Any, ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..core import require
from ._factored_descent import AbstractFactoredDescent, DescentState
from ._matrix_sensing import MatrixSensing, Real
from ._sensing_operators import IdentityOperator
from ._sensing_starts import AbstractStart, SmallRandomStart

_USE_ASYMMETRIC = (
    "use AcceleratedAsymmetricGradientDescent, whose rate is linear beyond the true "
    "rank, or a width equal to the rank."
)
_USE_ACCELERATED = (
    "use AcceleratedAsymmetricGradientDescent, or a start with imbalance < 1 and a "
    "larger scale."
)


def usual_step(problem: MatrixSensing) -> float:
    """0.2 for the population, 0.15 for sensing."""
    return 0.2 if isinstance(problem.operator, IdentityOperator) else 0.15


def symmetric_part(problem: MatrixSensing, slope: Any) -> Any:
    """(E + E') / 2, or E where it is symmetric by itself."""
    if isinstance(problem.operator, IdentityOperator):
        return slope
    return (slope + slope.T) / 2


def asymmetric_move(
    length: Any, factors: tuple[Any, Any], slope: Any
) -> tuple[Any, Any]:
    """L <- L - eta E R and R <- R - eta E' L, both from the old factors."""
    left, right = factors
    return left - length * (slope @ right), right - length * (slope.T @ left)


@final
class SymmetricGradientDescent(AbstractFactoredDescent):
    """X <- X - eta cA*(A(X X') - y) X, for positive semidefinite M*.

    Linear if the width is the true rank. Beyond it, the error cannot fall faster than
    1/t (its square, than 1/t^2), from any start: the paper's lower bound, claimed on
    planted population problems.

    **Options:**

    - `width`: columns k of X, 1 <= k <= n.
    - `step_size`: eta in units of 1 / sigma_1(cA*(y)), in (0, 1]; None is 0.2 for the
      identity and 0.15 otherwise.
    - `start`: `SmallRandomStart()` or `SpectralStart()`.
    - `check_every`: gradient steps between two looks at the residual.
    - `patience`: gradient steps before the run may be called sublinear or stalled.
    """

    advice: ClassVar[str] = _USE_ASYMMETRIC
    width: int
    step_size: Real | None = None
    start: AbstractStart = SmallRandomStart()
    check_every: int = 10
    patience: int = 1024

    def is_symmetric(self) -> bool:
        return True

    def default_step(self, problem: MatrixSensing) -> float:
        return usual_step(problem)

    def move(
        self, problem: MatrixSensing, length: Any, factors: tuple[Any, Any], slope: Any
    ) -> tuple[Any, Any]:
        left = factors[0] - length * (symmetric_part(problem, slope) @ factors[0])
        return left, left


@final
class AsymmetricGradientDescent(AbstractFactoredDescent):
    """Gradient descent on L and R at once, from an imbalanced small start.

    L'L - R'R hardly changes, and where it is not zero the error falls linearly beyond
    the true rank, at a rate proportional to the square of the start's scale. Also for
    positive semidefinite M*: that is the paper's remedy.

    **Options:** as for `SymmetricGradientDescent`.
    """

    advice: ClassVar[str] = _USE_ACCELERATED
    width: int
    step_size: Real | None = None
    start: AbstractStart = SmallRandomStart()
    check_every: int = 10
    patience: int = 1024

    def is_symmetric(self) -> bool:
        return False

    def default_step(self, problem: MatrixSensing) -> float:
        return usual_step(problem)

    def move(
        self, problem: MatrixSensing, length: Any, factors: tuple[Any, Any], slope: Any
    ) -> tuple[Any, Any]:
        del problem
        return asymmetric_move(length, factors, slope)


@final
class AcceleratedAsymmetricGradientDescent(AbstractFactoredDescent):
    """Asymmetric descent with one change of factors: a rate free of the start's scale.

    At the first look that finds the relative residual at most `switch_residual`, with
    L = A S B' (thin SVD): L <- b A and R <- R B S / b, b = switch_scale *
    sqrt(sigma_1(L R')). The product does not change, and L'L = b^2 I.

    **Options:** as for `SymmetricGradientDescent`, and

    - `switch_residual`: in (0, 1).
    - `switch_scale`: > 0.
    """

    switching: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "use ScaledGradientDescent, whose rate does not depend on the condition of "
        "M*, or raise patience."
    )
    width: int
    step_size: Real | None = None
    start: AbstractStart = SmallRandomStart()
    switch_residual: Real = 0.2
    switch_scale: Real = 1.2
    check_every: int = 10
    patience: int = 1024

    def validate(self) -> None:
        super().validate()
        share = self.switch_residual
        good = (share > 0) & (share < 1)
        require(self, "switch_residual", good, expected="in (0, 1)", got=share)
        scale = self.switch_scale
        require(self, "switch_scale", scale > 0, expected="> 0", got=scale)

    def is_symmetric(self) -> bool:
        return False

    def default_step(self, problem: MatrixSensing) -> float:
        return usual_step(problem)

    def move(
        self, problem: MatrixSensing, length: Any, factors: tuple[Any, Any], slope: Any
    ) -> tuple[Any, Any]:
        del problem
        return asymmetric_move(length, factors, slope)

    def adjust(self, problem: MatrixSensing, state: DescentState) -> DescentState:
        del problem
        due = (state.switched < 0) & (state.residual <= self.switch_residual)
        return jax.lax.cond(due, lambda s: self._switch(s), lambda s: s, state)

    def _switch(self, state: DescentState) -> DescentState:
        left, right = rebalanced(state.left, state.right, self.switch_scale)
        before = jnp.concatenate([state.left, state.right])
        after = jnp.concatenate([left, right])
        return eqx.tree_at(
            lambda s: (s.left, s.right, s.switched, s.switch, s.start, s.path),
            state,
            (
                left,
                right,
                state.steps,
                jnp.stack([before, after]),
                after,
                jnp.zeros(()),
            ),
        )


def rebalanced(left: Array, right: Array, scale: Any) -> tuple[Array, Array]:
    """(b A, R B S / b) for L = A S B', b = scale * sqrt(sigma_1(L R')).

    The thin SVD's A is orthonormal even where L has lost rank, so nothing is divided
    by a singular value. The paper takes the SVD of L alone: that of the product would
    have to know the rank.
    """
    basis, values, rows = jnp.linalg.svd(left, full_matrices=False)
    carried = (right @ rows.T) * values  # R B S
    b = scale * jnp.sqrt(jnp.linalg.norm(carried, 2))  # ||A S B' R'|| = ||R B S||
    return b * basis, carried / b
