"""A chosen block, how far F changes along a step, and line searches.

Source: Nocedal and Wright, Numerical Optimization (2006), chapter 3.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array

from ._block_quadratic import Terms
from ._block_view import View
from ._forests import Forest
from ._losses import LeastSquares, Quadratic

_ARMIJO = 1e-4
_SEARCHES = 40  # step lengths that a line search tries
NOISE = 4e-16  # of the objective: differences below are rounding
_SINGULAR = 1e-7  # of the largest pivot's root, below which H_b is called singular


class Block(NamedTuple):
    """The chosen `coordinates`, (tau,), n where there is none.

    `place` is the row of the tables, where blocks are fixed; `forest` is the block's
    order of elimination, where it is a forest. `memory` are the constants found so far.
    `gram` is H_b where it is kept.
    """

    coordinates: Array
    x: Array
    gradient: Array
    terms: Terms
    place: Array
    memory: Array
    forest: Forest | None
    gram: Array | None


def is_quadratic(loss: Any) -> bool:
    """Whether second differences of the loss are exact."""
    return isinstance(loss, LeastSquares | Quadratic)


def largest_eigenvalue(matrix: Array, index: Array) -> Array:
    """Upper bound on lambda_max, where rows of no coordinate are the identity's."""
    del index
    size = matrix.shape[0]
    top = jnp.linalg.eigvalsh(matrix)[-1]
    return jnp.maximum(top * (1 + 1e-14 * size), 1e-300)


def penalty_rise(block: Block, change: Array) -> Array:
    """The penalty's change; exact zeros and bounds are kept by the updates."""
    rise = jnp.abs(block.x + change) - jnp.abs(block.x)
    return jnp.sum(block.terms.strength * rise)


def rise(view: View, block: Block, change: Array) -> Array:
    """F(x + U_b d) - F(x); free of cancellation where the loss is quadratic."""
    loss = view.problem.loss
    if block.gram is not None:
        curve = jnp.sum(change * (block.gram @ change))
        smooth = jnp.sum(block.gradient * change) + 0.5 * curve
        return smooth + penalty_rise(block, change)
    if is_quadratic(loss):
        moved = loss.update_image(jnp.zeros_like(view.image), block.coordinates, change)
        if isinstance(loss, LeastSquares):
            curve = jnp.sum(jnp.square(moved))
        else:
            along = moved.at[block.coordinates].get(mode="fill", fill_value=0.0)
            curve = jnp.sum(change * along)
        smooth = jnp.sum(block.gradient * change) + 0.5 * curve
        return smooth + penalty_rise(block, change)
    image = loss.update_image(view.image, block.coordinates, change)
    x = view.x.at[block.coordinates].add(change, mode="drop")
    value = loss.value(x, image) + view.problem.penalty.value(x)
    return value - view.objective


def solve_or_pseudo(matrix: Array, rhs: Array) -> Array:
    """H^{-1} r by Cholesky; the pseudo-inverse's where H is singular."""
    diagonal = jnp.diagonal(matrix)
    factor = jnp.linalg.cholesky(matrix)
    pivots = jnp.diagonal(factor)
    # "not above", so that NaN from a failed factorisation counts as singular
    low = ~(jnp.min(pivots) > _SINGULAR * jnp.sqrt(jnp.max(diagonal)))
    return jax.lax.cond(
        low,
        lambda: pseudo_inverse(matrix) @ rhs,
        lambda: cho_solve((factor, True), rhs),
    )


def pseudo_inverse(matrix: Array) -> Array:
    """By eigenvalues; those below size * eps of the largest count as zero."""
    values, vectors = jnp.linalg.eigh(matrix)
    least = matrix.shape[0] * 2.3e-16 * jnp.max(jnp.abs(values))
    inverse = jnp.where(values > least, 1.0 / jnp.where(values > least, values, 1.0), 0)
    return (vectors * inverse) @ vectors.T


def halving_search(view: View, block: Block, point: Any, model: Any) -> Array:
    """The first of point(1), point(1/2), ... with F falling by a share of the model."""
    slack = 0.0 if is_quadratic(view.problem.loss) else NOISE * jnp.abs(view.objective)

    def short(carry: tuple[Array, Array]) -> Array:
        length, count = carry
        change = point(length)
        enough = _ARMIJO * model(length, change) + slack
        return ~(rise(view, block, change) <= enough) & (count < _SEARCHES)

    def halve(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        return 0.5 * carry[0], carry[1] + 1

    start = (jnp.ones(()), jnp.asarray(0))
    length, count = jax.lax.while_loop(short, halve, start)
    return jnp.where(count < _SEARCHES, point(length), jnp.zeros_like(block.x))


def interpolated_search(
    view: View, block: Block, direction: Array, slope: Array
) -> Array:
    """Armijo, step lengths by quadratic, then cubic interpolation, safeguarded."""
    slack = 0.0 if is_quadratic(view.problem.loss) else NOISE * jnp.abs(view.objective)

    def at(length: Array) -> Array:
        return rise(view, block, length * direction)

    def short(carry: Any) -> Array:
        length, value, _, _, count = carry
        enough = _ARMIJO * length * slope + slack
        return ~(value <= enough) & (count < _SEARCHES)

    def shorten(carry: Any) -> Any:
        length, value, before, old, count = carry
        quadratic = -slope * length**2 / (2 * (value - slope * length))
        cubic = _cubic_minimum(slope, (length, value), (before, old))
        guess = jnp.where(count == 0, quadratic, cubic)
        guess = jnp.where(jnp.isfinite(guess), guess, 0.5 * length)
        new = jnp.clip(guess, 0.1 * length, 0.5 * length)
        return new, at(new), length, value, count + 1

    one = jnp.ones(())
    first = at(one)
    length, _, _, _, count = jax.lax.while_loop(
        short, shorten, (one, first, one, first, jnp.asarray(0))
    )
    return jnp.where(count < _SEARCHES, length, 0.0)


def _cubic_minimum(
    slope: Array, last: tuple[Array, Array], before: tuple[Array, Array]
) -> Array:
    """Minimum of the cubic through (0, 0) with `slope` there and two more values.

    phi(t) = a t^3 + b t^2 + slope t (Nocedal and Wright 2006, section 3.5).
    """
    (t1, v1), (t0, v0) = last, before
    e1, e0 = v1 - slope * t1, v0 - slope * t0
    scale = 1.0 / (t0**2 * t1**2 * (t1 - t0))
    a = scale * (t0**2 * e1 - t1**2 * e0)
    b = scale * (-(t0**3) * e1 + t1**3 * e0)
    return (-b + jnp.sqrt(b**2 - 3 * a * slope)) / (3 * a)
