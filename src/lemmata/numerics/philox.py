"""Philox 4x64-10 in JAX, bit for bit NumPy's, and normal numbers made of it.

Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011; the order
of words and counters is that of NumPy's `Philox`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, UInt64

from lemmata_checker import gaussian

_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10
_LOW = 0xFFFFFFFF


def words(key: int, start: Any, count: int) -> UInt64[Array, "count 4"]:
    """The words of counters start + 1, ..., start + count, inside float64 mode.

    **Arguments:** `key` in [0, 2**64), static; `start` an integer, may be traced.
    """
    counter = jnp.arange(1, count + 1, dtype=jnp.uint64) + jnp.asarray(
        start, jnp.uint64
    )
    schedule = [
        [(key + turn * _WEYL[0]) % 2**64, turn * _WEYL[1] % 2**64]
        for turn in range(_ROUNDS)
    ]

    # A loop, so that the compiler does not make each word's own copy of all rounds.
    def round_of(block: Any, keys: Array) -> tuple[Any, None]:
        high0, low0 = _product(_MULTIPLIERS[0], block[0])
        high1, low1 = _product(_MULTIPLIERS[1], block[2])
        mixed = (high1 ^ block[1] ^ keys[0], low1, high0 ^ block[3] ^ keys[1], low0)
        return mixed, None

    zero = jnp.zeros_like(counter)
    keys = jnp.asarray(np.array(schedule, dtype=np.uint64))
    block, _ = jax.lax.scan(round_of, (counter, zero, zero, zero), keys)
    return jnp.stack(block, axis=-1)


def _product(factor: int, b: Array) -> tuple[Array, Array]:
    """High and low word of the 128-bit product, from four products of halves."""
    low_mask, half = jnp.uint64(_LOW), jnp.uint64(32)
    a0, a1 = jnp.uint64(factor & _LOW), jnp.uint64(factor >> 32)
    b0, b1 = b & low_mask, b >> half
    first = a1 * b0 + ((a0 * b0) >> half)
    second = a0 * b1 + (first & low_mask)
    high = a1 * b1 + (first >> half) + (second >> half)
    return high, jnp.uint64(factor) * b


def normal_rows(
    key: int, start: Any, count: int, entries: int
) -> Float64[Array, "count entries"]:
    """Rows `start`, `start + 1`, ... of the judge's `gaussian.rows`, the same bits."""
    each = gaussian.counters_per_row(entries)
    first = jnp.asarray(start, jnp.uint64) * jnp.uint64(each)
    drawn = words(key, first, count * each)
    shifts = jnp.arange(0, 64, gaussian.BITS, dtype=jnp.uint64)
    digits = (drawn[..., None] >> shifts) & jnp.uint64(0xFFFF)
    digits = digits.reshape(count, -1)[:, :entries].astype(jnp.int32)
    table = jnp.asarray(gaussian.table())
    return jax.lax.gather(
        table,
        digits[..., None],
        jax.lax.GatherDimensionNumbers((), (0,), (0,)),
        (1,),
        mode="promise_in_bounds",
    )
