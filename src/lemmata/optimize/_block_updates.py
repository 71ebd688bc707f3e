"""How a block is moved, once it is chosen.

Source: Nutini, Laradji and Schmidt, JMLR 23(131), 2022, section 3.4 and appendix; the
two-metric projection of Bertsekas (1982), as Gafni and Bertsekas (1984).
"""

import abc
from typing import ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..core import require
from ._block_quadratic import face, minimise_quadratic, newton_direction
from ._block_search import (
    NOISE,
    Block,
    halving_search,
    interpolated_search,
    is_quadratic,
    largest_eigenvalue,
    penalty_rise,
    rise,
    solve_or_pseudo,
)
from ._block_view import View
from ._forests import solve_forest

REMEMBERED = 1.0  # where the backtracking constants start


class AbstractUpdate(eqx.Module):
    """A step for one block."""

    composite: ClassVar[bool] = False
    """Whether penalties are allowed."""
    quadratic: ClassVar[bool] = False
    """Whether the loss must be quadratic."""
    forests: ClassVar[bool] = False
    """Whether blocks may be forests, whose H_b is never stored densely."""
    constants: ClassVar[bool] = False
    """Whether L_b is needed."""
    inverses: ClassVar[bool] = False
    """Whether H_b^{-1} is needed."""
    dense: ClassVar[bool] = False
    """Whether H_b is needed, whole."""

    @abc.abstractmethod
    def change(self, view: View, block: Block) -> tuple[Array, Array]:
        """The step d, shape (tau,), and the constants remembered, shape (n,)."""


@final
class GradientUpdate(AbstractUpdate):
    """d = -g_b / L_b."""

    forests: ClassVar[bool] = True
    constants: ClassVar[bool] = True

    def change(self, view: View, block: Block) -> tuple[Array, Array]:
        return -block.gradient / block_constant(view, block), block.memory


@final
class BacktrackingUpdate(AbstractUpdate):
    """d = -g_b / L, with L doubled until the step descends enough (`L_A`).

    L starts from the largest constant remembered by the block's coordinates.
    """

    forests: ClassVar[bool] = True

    def change(self, view: View, block: Block) -> tuple[Array, Array]:
        g, memory = block.gradient, block.memory
        start = jnp.max(
            memory.at[block.coordinates].get(mode="fill", fill_value=REMEMBERED)
        )
        square = jnp.sum(jnp.square(g))

        def short(carry: tuple[Array, Array]) -> Array:
            length, count = carry
            least = -square / (2 * length) + NOISE * jnp.abs(view.objective)
            return (rise(view, block, -g / length) > least) & (count < 200)

        def double(carry: tuple[Array, Array]) -> tuple[Array, Array]:
            return 2 * carry[0], carry[1] + 1

        length, _ = jax.lax.while_loop(short, double, (start, jnp.asarray(0)))
        return -g / length, memory.at[block.coordinates].set(length, mode="drop")


@final
class MatrixUpdate(AbstractUpdate):
    """d = -H_b^{-1} g_b; the pseudo-inverse where H_b is singular.

    Forests are solved by passing messages, in time proportional to their size.
    """

    forests: ClassVar[bool] = True
    inverses: ClassVar[bool] = True
    dense: ClassVar[bool] = True

    def change(self, view: View, block: Block) -> tuple[Array, Array]:
        return _matrix_step(view, block), block.memory


@final
class ExactUpdate(AbstractUpdate):
    """The minimiser over the block; quadratic losses only, where H_b is exact."""

    quadratic: ClassVar[bool] = True
    forests: ClassVar[bool] = True
    inverses: ClassVar[bool] = True
    dense: ClassVar[bool] = True

    def change(self, view: View, block: Block) -> tuple[Array, Array]:
        return _matrix_step(view, block), block.memory


@final
class NewtonUpdate(AbstractUpdate):
    """d = -t (Hessian of the block)^{-1} g_b, t by an Armijo search.

    Step lengths come from cubic interpolation, kept within [0.1, 0.5] of the last.
    """

    def change(self, view: View, block: Block) -> tuple[Array, Array]:
        hessian = view.problem.loss.block_hessian(view.x, view.image, block.coordinates)
        direction = -solve_or_pseudo(hessian, block.gradient)
        slope = jnp.sum(direction * block.gradient)
        direction = jnp.where(slope < 0, direction, -block.gradient)
        slope = jnp.minimum(slope, -jnp.sum(block.gradient * -direction))
        length = interpolated_search(view, block, direction, slope)
        return length * direction, block.memory


@final
class ProximalGradientUpdate(AbstractUpdate):
    """The minimiser of the model with L_b in place of H_b; any penalty (`PG`)."""

    composite: ClassVar[bool] = True
    forests: ClassVar[bool] = True
    constants: ClassVar[bool] = True

    def change(self, view: View, block: Block) -> tuple[Array, Array]:
        length = block_constant(view, block)
        target = block.x - block.gradient / length
        moved = view.problem.penalty.prox(target, 1.0 / length, block.coordinates)
        return moved - block.x, block.memory


@final
class ProximalNewtonUpdate(AbstractUpdate):
    """The exact minimiser of the model with the block's Hessian; any penalty.

    The step is accepted where the model is exact, otherwise searched along.

    **Options:**

    - `rtol`: to which the block's quadratic is minimised, relative to its slopes.
    """

    composite: ClassVar[bool] = True
    dense: ClassVar[bool] = True
    rtol: float = eqx.field(static=True, default=1e-12)

    def __check_init__(self) -> None:
        good = 0 < self.rtol < 1
        require(self, "rtol", good, expected="in (0, 1)", got=self.rtol)

    def change(self, view: View, block: Block) -> tuple[Array, Array]:
        loss = view.problem.loss
        hessian = block_hessian(view, block)
        moved = minimise_quadratic(
            hessian, block.gradient, block.x, block.terms, rtol=self.rtol
        )
        direction = moved - block.x
        if is_quadratic(loss):
            return direction, block.memory
        model = jnp.sum(block.gradient * direction) + penalty_rise(block, direction)

        def point(length: Array) -> Array:
            return length * direction

        return halving_search(view, block, point, lambda t, _: t * model), block.memory


@final
class TwoMetricUpdate(AbstractUpdate):
    """Two-metric projection: Newton on the free coordinates, then projection (`TMP`).

    Coordinates that stand at a bound or at zero and are pressed against it stay; the
    others take a Newton step, cut off where their sign or bound would be crossed.
    """

    composite: ClassVar[bool] = True
    dense: ClassVar[bool] = True

    def change(self, view: View, block: Block) -> tuple[Array, Array]:
        hessian = block_hessian(view, block)
        at = face(block.x, block.gradient, block.terms)
        direction = newton_direction(hessian, at)

        def point(length: Array) -> Array:
            moved = jnp.clip(block.x + length * direction, at.lower, at.upper)
            return jnp.where(at.free, moved - block.x, 0.0)

        def model(_: Array, change: Array) -> Array:
            return jnp.sum(at.slope * change)

        return halving_search(view, block, point, model), block.memory


def block_hessian(view: View, block: Block) -> Array:
    """The Hessian's block at x, kept or made."""
    if block.gram is not None:
        return block.gram
    return view.problem.loss.block_hessian(view.x, view.image, block.coordinates)


def block_constant(view: View, block: Block) -> Array:
    """L_b >= lambda_max(H_b), from the tables or from H_b itself."""
    if view.tables.constants.shape[0]:
        return jnp.maximum(view.tables.constants[block.place], 1e-300)
    return largest_eigenvalue(
        view.problem.loss.block_bound(block.coordinates), block.coordinates
    )


def _matrix_step(view: View, block: Block) -> Array:
    tables = view.tables
    if block.forest is not None:
        d = solve_forest(block.forest, -view.gradient)
        return d.at[block.coordinates].get(mode="fill", fill_value=0.0)
    if tables.inverses.shape[0]:
        return -(tables.inverses[block.place] @ block.gradient)
    kept, loss = block.gram, view.problem.loss
    bound = loss.block_bound(block.coordinates) if kept is None else kept
    return -solve_or_pseudo(bound, block.gradient)
