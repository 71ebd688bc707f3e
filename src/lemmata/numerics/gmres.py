"""Restarted GMRES, one cycle at a time, so that a caller's own test ends it.

Source: Saad and Schultz, SIAM J. Sci. Stat. Comput. 7 (1986); Saad, Iterative Methods
for Sparse Linear Systems (2003), algorithm 6.9.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def gmres_cycle(
    times: Callable[[Array], Array], rhs: Array, point: Array, length: int
) -> Array:
    """The point of least residual in `point` + Krylov space of `length` dimensions.

    `times`: v -> A v, shape (n,) to (n,). Takes `length` + 1 products.
    """
    residual = rhs - times(point)
    size = jnp.linalg.norm(residual)
    first = residual / jnp.where(size > 0, size, 1.0)
    basis = jnp.zeros((length + 1, rhs.shape[0])).at[0].set(first)
    upper = jnp.zeros((length + 1, length))

    def extend(j: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        basis, upper = carry
        new = times(basis[j])
        one = basis @ new  # rows beyond j are zero
        new = new - one @ basis
        two = basis @ new  # once more, against the loss of orthogonality
        new = new - two @ basis
        height = jnp.linalg.norm(new)
        # The space is exhausted: its residual is already zero.
        alive = height > 1e-14 * jnp.linalg.norm(one + two)
        column = (one + two).at[j + 1].set(jnp.where(alive, height, 0.0))
        unit = jnp.where(alive, new / jnp.where(alive, height, 1.0), 0.0)
        return basis.at[j + 1].set(unit), upper.at[:, j].set(column)

    basis, upper = jax.lax.fori_loop(0, length, extend, (basis, upper))
    target = jnp.zeros(length + 1).at[0].set(size)
    weights = jnp.linalg.lstsq(upper, target, rcond=1e-14)[0]
    return point + weights @ basis[:-1]
