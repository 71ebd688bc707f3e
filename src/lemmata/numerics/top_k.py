"""The k largest of many float64 numbers, without sorting them all."""

import math

import jax
import jax.numpy as jnp
from jax import Array

_FEW = 4  # numbers for each one wanted, below which one sort is as fast


def top_k(values: Array, k: int) -> tuple[Array, Array]:
    """As `jax.lax.top_k` of a vector, ties included; XLA on a CPU sorts float64 whole.

    The k largest lie in the k groups whose maxima are the largest, since at most k - 1
    numbers, hence groups, are above any of them.

    **Arguments:** `values` (n,); 1 <= k <= n.

    **Returns:** values and places, (k,) each, descending, lower places first.
    """
    n = values.shape[0]
    size = max(int(math.sqrt(n / k)), 1)
    if n < _FEW * k * size:
        return jax.lax.top_k(values, k)
    padded = jnp.pad(values, (0, -n % size), constant_values=-jnp.inf)
    groups = padded.reshape(-1, size)
    _, chosen = jax.lax.top_k(jnp.max(groups, axis=1), k)
    chosen = jnp.sort(chosen)  # lower places first among equals
    best, place = jax.lax.top_k(groups[chosen].reshape(-1), k)
    return best, chosen[place // size] * size + place % size
