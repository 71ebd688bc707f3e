"""The inverse of the binary relative entropy, and confidence bounds on a frequency."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64
from scipy.special import betaincinv

from ..core import InvalidArgument

_NEAR, _TERMS = 0.02, 12  # the series of u - log(1 + u): 0.02^11 is below 1e-18
_STEPS = 160  # halvings of [q, 1]: enough for p of 1e-30


def _excess(u: Any) -> Any:
    """The number u - log(1 + u) >= 0, u > -1, without cancellation near 0."""
    near = jnp.abs(u) < _NEAR
    small = jnp.where(near, u, 0.0)
    series = sum((-1) ** k * small**k / k for k in range(_TERMS, 1, -1))
    large = jnp.where(near, 1.0, u)
    return jnp.where(near, series, large - jnp.log1p(large))


def shifted_entropy(first: Any, shift: Any) -> Any:
    """kl(q || q + t) of two Bernoulli laws, 0 <= q < 1, 0 <= t < 1 - q, in JAX.

    q f(t/q) + (1 - q) f(-t/(1 - q)) with f(u) = u - log(1 + u): terms >= 0.
    """
    q, t = first, shift
    inside, rest = jnp.where(q > 0, q, 1.0), 1.0 - q
    one = jnp.where(q > 0, q * _excess(t / inside), t)
    return one + rest * _excess(-t / rest)


@jax.custom_jvp
def kl_inverse(first: Any, bound: Any) -> Float64[Array, "..."]:
    """The largest p with kl(q || p) <= bound, elementwise.

    **Arguments:** `first`: q in [0, 1]; `bound`: >= 0. Call it inside
    `jax.enable_x64(True)`; differentiable for 0 < q < 1 and bound > 0.
    """
    q, c = jnp.broadcast_arrays(*map(jnp.asarray, (first, bound)))
    inner = jnp.minimum(q, 1 - 2**-53)
    low, high = jnp.zeros_like(q), 1 - inner

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = low + (high - low) / 2
        inside = middle < 1 - inner
        entropy = shifted_entropy(inner, jnp.where(inside, middle, 0.0))
        beyond = ~inside | (entropy > c)
        return jnp.where(beyond, low, middle), jnp.where(beyond, middle, high)

    low, high = jax.lax.fori_loop(0, _STEPS, halve, (low, high))
    return jnp.where(q >= 1, 1.0, jnp.minimum(inner + high, 1.0))


@kl_inverse.defjvp
def _derivative(primals: Any, tangents: Any) -> Any:
    q, c = primals
    p = kl_inverse(q, c)
    by_first = jnp.log(q / p) - jnp.log1p(-q) + jnp.log1p(-p)
    by_second = (p - q) / (p * (1 - p))
    return p, (tangents[1] - by_first * tangents[0]) / by_second


def clopper_pearson(
    successes: int, trials: int, confidence: float = 0.95
) -> tuple[float, float]:
    """The exact two-sided interval for a probability (Clopper and Pearson 1934).

    **Raises:** `InvalidArgument`.
    """
    if not 0 <= successes <= trials or trials < 1:
        got = f"{successes} of {trials}"
        raise InvalidArgument("clopper_pearson", "0 <= successes <= trials", got)
    if not 0 < confidence < 1:
        raise InvalidArgument("clopper_pearson.confidence", "in (0, 1)", confidence)
    alpha = (1 - confidence) / 2
    return (
        one_sided_lower(successes, trials, alpha),
        one_sided_upper(successes, trials, alpha),
    )


def one_sided_lower(successes: int, trials: int, alpha: float) -> float:
    """Below the true probability, but for a chance of alpha."""
    if successes == 0:
        return 0.0
    return float(betaincinv(successes, trials - successes + 1, alpha))


def one_sided_upper(successes: int, trials: int, alpha: float) -> float:
    """Above the true probability, but for a chance of alpha."""
    if successes == trials:
        return 1.0
    return float(betaincinv(successes + 1, trials - successes, 1 - alpha))


def kl_inverse_number(first: float, bound: float) -> float:
    """`kl_inverse` of two numbers, in NumPy floats, by the same halving."""
    rest = 1 - first
    if rest <= 0 or bound == np.inf:
        return 1.0

    def excess(u: float) -> float:
        if abs(u) < _NEAR:
            return sum((-1) ** k * u**k / k for k in range(_TERMS, 1, -1))
        return u - float(np.log1p(u))

    low, high = 0.0, rest
    while True:
        t = low + (high - low) / 2
        if not low < t < high or high - low <= 1e-17 * (first + high):
            return min(first + high, 1.0)
        one = first * excess(t / first) if first > 0 else t
        beyond = t >= rest or one + rest * excess(-t / rest) > bound
        low, high = (low, t) if beyond else (t, high)
