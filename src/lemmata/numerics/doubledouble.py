"""Sums and products to about twice float64's precision, as pairs (high, low).

XLA may contract a product and a sum into one fused operation, which breaks Dekker's
product. Here every product that meets a sum is exact in float64 (its factors carry 26
or 27 bits), so that contraction changes nothing.

Source: Dekker, Numerische Mathematik 18 (1971); Knuth, TAOCP 2, section 4.2.2.
"""

import jax
import jax.numpy as jnp
from jax import Array

Pair = tuple[Array, Array]

_TOP = 0xFFFFFFFFF8000000  # sign, exponent and the leading 26 bits of the significand


def two_sum(a: Array, b: Array) -> Pair:
    """`a + b` exactly, as rounded sum and rounding error. Float64, any shapes."""
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)


def quick_two_sum(a: Array, b: Array) -> Pair:
    """`a + b` exactly where `|a| >= |b|`."""
    total = a + b
    return total, b - (total - a)


def split(a: Array) -> Pair:
    """`a` exactly, as 26 leading bits and the rest (27 bits)."""
    bits = jax.lax.bitcast_convert_type(a, jnp.uint64) & jnp.uint64(_TOP)
    high = jax.lax.bitcast_convert_type(bits, jnp.float64)
    return high, a - high


def two_product(a: Array, b: Array) -> Pair:
    """`a * b` to a relative 2^-78, as a normalised pair. Float64, finite."""
    a1, a2 = split(a)
    b1, b2 = split(b)
    high, low = two_sum(a1 * b1, a1 * b2 + a2 * b1)
    return quick_two_sum(high, low + a2 * b2)


def add(a: Pair, b: Pair) -> Pair:
    """Sum of two pairs."""
    high, low = two_sum(a[0], b[0])
    return quick_two_sum(high, low + (a[1] + b[1]))


def multiply(a: Pair, b: Pair) -> Pair:
    """Product of two pairs."""
    high, low = two_product(a[0], b[0])
    return quick_two_sum(high, low + (a[0] * b[1] + a[1] * b[0]))


def reciprocal(a: Array) -> Pair:
    """`1 / a` as a pair, for finite float64 `a`, not zero."""
    first = 1.0 / a
    high, low = two_product(first, a)
    return quick_two_sum(first, first * ((1.0 - high) - low))


def square_root(a: Pair) -> Pair:
    """Square root of a non-negative pair."""
    root = jnp.sqrt(a[0])
    high, low = two_product(root, root)
    safe = jnp.where(root > 0, root, 1.0)
    correction = ((a[0] - high) - low + a[1]) / (2.0 * safe)
    return quick_two_sum(root, jnp.where(root > 0, correction, 0.0))


def accurate_sum(values: Array) -> Pair:
    """Sum over the last axis as a pair; error about log2(n) 2^-105 sum|values|."""
    size = values.shape[-1]
    pair = (values, jnp.zeros_like(values))
    while size > 1:
        half, odd = divmod(size, 2)
        head = tuple(p[..., :half] for p in pair)
        tail = tuple(p[..., half : 2 * half] for p in pair)
        folded = add(head, tail)  # type: ignore[arg-type]
        if odd:
            rest = tuple(p[..., -1:] for p in pair)
            folded = tuple(
                jnp.concatenate(both, -1) for both in zip(folded, rest, strict=True)
            )
        pair, size = folded, half + odd
    return pair[0][..., 0], pair[1][..., 0]
