"""Symmetric equilibration: D K D with rows of largest entry near one.

Source: Ruiz, RAL-TR-2001-034; for operators known by products alone, Bradley and
Murray, arXiv 1110.2805.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

SWEEPS = 20
PROBES = 8


def equilibrated(matrix: Array, sweeps: int = SWEEPS) -> Array:
    """The diagonal of D, powers of two, shape (n,), for a symmetric matrix (n, n).

    Each sweep divides row and column i by the square root of max_j |K_ij|. Powers of
    two, so that D K D is exact in floating point; zero rows are left alone.
    """
    size = jnp.abs(matrix)

    def sweep(_: int, scale: Array) -> Array:
        largest = jnp.max(size * scale * scale[:, None], axis=1)
        return scale / jnp.sqrt(jnp.where(largest > 0, largest, 1.0))

    scale = jax.lax.fori_loop(0, sweeps, sweep, jnp.ones(matrix.shape[0]))
    return powers_of_two(scale)


def equilibrated_by_products(
    times: Callable[[Array], Array], size: int, key: Array, sweeps: int = SWEEPS
) -> Array:
    """The same from products: E |(K u)_i|^2 = ||K_i||^2 for random signs u.

    Takes `sweeps * PROBES` products; rows of D K D then have norms near one.
    """

    def sweep(index: int, scale: Array) -> Array:
        probes = jax.random.rademacher(
            jax.random.fold_in(key, index), (size, PROBES), jnp.float64
        )
        image = scale[:, None] * times(scale[:, None] * probes)
        norms = jnp.sqrt(jnp.mean(image**2, axis=1))
        # Damped, since the norms are estimates.
        return scale / jnp.where(norms > 0, norms, 1.0) ** (0.5 / (1 + 0.2 * index))

    scale = jax.lax.fori_loop(0, sweeps, sweep, jnp.ones(size))
    return powers_of_two(scale)


def powers_of_two(values: Array) -> Array:
    """The nearest powers of two, in ratio, of positive numbers."""
    power = jnp.round(jnp.log2(values)).astype(jnp.int32)
    return jnp.ldexp(jnp.ones_like(values), power)
