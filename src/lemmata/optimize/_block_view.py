"""What a run knows when it chooses a block: tables, the point, and model decreases."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float64, Int64

from ._forests import Forest


class Tables(eqx.Module):
    """What is known of the blocks before the first step.

    **Fields:**

    - `blocks`: shape (p, size), padded with n; p = 0 for variable blocks.
    - `lipschitz`: L_i, shape (n,).
    - `diagonal`: D_i of the rule GSD, shape (n,).
    - `constants`: L_b, shape (p,).
    - `inverses`: pseudo-inverses of H_b, (p, size, size), or none.
    - `curvature`: about lambda_max of L^{-1/2} H L^{-1/2}, for IHT.
    - `forest`: one row for each block that is a forest, or none.
    - `pattern`: (indptr, indices, data) of H, for greedy forests, or nothing.
    """

    blocks: Int64[Array, "p size"]
    lipschitz: Float64[Array, " n"]
    diagonal: Float64[Array, " n"]
    constants: Float64[Array, " p"]
    inverses: Float64[Array, "k size size"]
    curvature: Float64[Array, ""]
    forest: Forest
    pattern: tuple[Array, Array, Array]


class View(NamedTuple):
    """Where a run stands when a block is chosen and moved."""

    problem: Any
    x: Array
    image: Array
    gradient: Array
    objective: Array
    tables: Tables
    step: Array
    key: Array


def hessian_product(loss: Any, x: Array, direction: Array) -> Array:
    """The Hessian at x times a direction, by differentiating the gradient."""

    def gradient(z: Array) -> Array:
        return loss.gradient(z, loss.image(z))

    return jax.jvp(gradient, (x,), (direction,))[1]


def scaled_curvature(loss: Any, lipschitz: Array, steps: int = 30) -> Array:
    """About lambda_max(L^{-1/2} H L^{-1/2}), by the power method, a tenth above."""
    scale = 1.0 / jnp.sqrt(positive(lipschitz))
    n = lipschitz.shape[0]

    def again(_: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        z, _ = carry
        z = scale * hessian_product(loss, jnp.zeros(n), scale * z)
        size = jnp.linalg.norm(z)
        return z / jnp.maximum(size, 1e-300), size

    start = jnp.cos(jnp.arange(n, dtype=jnp.float64))
    start = start / jnp.linalg.norm(start)
    return 1.1 * jax.lax.fori_loop(0, steps, again, (start, jnp.ones(())))[1]


def decrease(view: View, lengths: Array) -> Array:
    """Decrease of the separable model; zero columns (L_i = 0) have none to give."""
    gain = view.problem.penalty.decrease(view.x, view.gradient, lengths)[0]
    return jnp.where(jnp.isnan(gain), 0.0, gain)


def positive(values: Array) -> Array:
    return jnp.where(values > 0, values, 1.0)
