"""Which entries of the plan a Newton step keeps, and how they are stored.

Source: Tang et al., ICLR 2024 (arXiv 2401.12253), section 3 (a fixed share). A fixed
share leaves a constant error in the Hessian, hence linear convergence; `TailMass` lets
the error go to zero with the marginal error.
"""

import abc
from typing import NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int32

from ._cost import Real

_WORD = 32


class AbstractSparsity(eqx.Module):
    """A rule for the smallest entry of the plan that is kept."""

    @abc.abstractmethod
    def threshold(self, plan: Array, error: Array, slow: Array) -> Array:
        """Keep P_ij >= this.

        **Arguments:** P (n, m); its L1 marginal error; `slow`, Newton steps in a row in
        which that error did not halve.
        """


@final
class FixedSparsity(AbstractSparsity):
    """The largest `ceil(density * n * m)` entries of P (all of them where tied).

    **Options:** `density`, a share of P in (0, 1]. The paper's 2/n counts entries of
    the whole Hessian; on P it drops 7 % of the mass of a random assignment, and
    convergence is then linear with a ratio near 0.7.
    """

    density: Real

    def threshold(self, plan: Array, error: Array, slow: Array) -> Array:
        del error, slow
        wanted = jnp.ceil(self.density * plan.size)

        def enough(level: Array) -> Array:
            return jnp.sum(plan >= jnp.exp2(level)) >= wanted

        return jnp.exp2(_bisect(enough, jnp.asarray(-1000.0), jnp.asarray(1.0), 60))


@final
class TailMass(AbstractSparsity):
    """Drops at most the mass `min(cap, factor * error)`, error the L1 marginal error.

    A tenth of that for every Newton step in a row that did not halve the error: entries
    that join clusters of atoms may matter however small they are.

    **Options:** `cap`, mass in (0, 1); `factor`, > 0.
    """

    cap: Real = 1e-2
    factor: Real = 0.1

    def threshold(self, plan: Array, error: Array, slow: Array) -> Array:
        allowed = jnp.minimum(self.cap, self.factor * error) * 10.0**-slow

        def dropped(level: Array) -> Array:
            rho = jnp.exp2(level)
            return jnp.sum(jnp.where(plan < rho, plan, 0.0)) <= allowed

        # Entries below allowed / (n m) may always go, entries above allowed never.
        top = jnp.log2(jnp.maximum(allowed, 1e-290))
        size = np.log2(plan.size) + 1e-9
        halvings = int(np.ceil(np.log2(2 * size + 2)))  # to half a factor of two
        return jnp.exp2(_bisect(dropped, top - size, top, halvings))


def _bisect(keeps, low: Array, high: Array, steps: int) -> Array:
    """The largest level, to `(high - low) / 2^steps`, at which `keeps` holds."""

    def halve(_, bounds):
        low, high = bounds
        middle = 0.5 * (low + high)
        good = keeps(middle)
        return jnp.where(good, middle, low), jnp.where(good, high, middle)

    return jax.lax.fori_loop(0, steps, halve, (low, high))[0]


class Padded(NamedTuple):
    """A sparse matrix by rows of one length: column numbers and values, padded by 0."""

    place: Int32[Array, "n width"]
    value: Float64[Array, "n width"]

    def __matmul__(self, vector: Array) -> Array:
        return jnp.sum(self.value * vector[self.place], axis=1)


def longest(keep: Array) -> Array:
    """Most entries that one row or column of the mask holds."""
    rows = jnp.max(jnp.sum(keep, axis=1, dtype=jnp.int32))
    return jnp.maximum(rows, jnp.max(jnp.sum(keep, axis=0, dtype=jnp.int32)))


def padded_rows(matrix: Array, rho: Array, width: int) -> Padded:
    """The entries >= rho of each row, at most `width` of them, in no particular order.

    A row's mask is packed into words; the k-th set bit is then found by counting bits.
    That is twenty times faster on a CPU than `nonzero`, which sums over all entries.
    """
    m = matrix.shape[1]
    words = _pack(matrix, rho)
    counts = jax.lax.population_count(words).astype(jnp.int32)
    until = jnp.cumsum(counts, axis=1)
    rank = jnp.arange(width, dtype=jnp.int32)
    word = jnp.sum(until[:, None, :] <= rank[:, None], axis=-1, dtype=jnp.int32)
    word = jnp.minimum(word, words.shape[1] - 1)
    before = jnp.take_along_axis(until - counts, word, axis=1)
    bit = _nth_bit(jnp.take_along_axis(words, word, axis=1), rank - before)
    index = jnp.minimum(bit * words.shape[1] + word, m - 1)
    found = rank < until[:, -1:]
    value = jnp.where(found, jnp.take_along_axis(matrix, index, axis=1), 0.0)
    return Padded(jnp.where(found, index, 0), value)


def _pack(matrix: Array, rho: Array) -> Array:
    """Bit b of word w is column b * words + w: strided, so that all lanes work."""
    n, m = matrix.shape
    count = -(-m // _WORD)
    padded = jnp.pad(matrix, ((0, 0), (0, count * _WORD - m)), constant_values=-1.0)
    words = jnp.zeros((n, count), jnp.uint32)
    for bit in range(_WORD):
        chosen = padded[:, bit * count : (bit + 1) * count] >= rho
        words = words | (chosen.astype(jnp.uint32) << bit)
    return words


def _nth_bit(words: Array, rank: Array) -> Array:
    """Position of the set bit of that rank (from 0), by halving."""
    position = jnp.zeros_like(rank)
    for step in (16, 8, 4, 2, 1):
        mask = jnp.uint32((1 << step) - 1)
        low = jax.lax.population_count(words & mask).astype(jnp.int32)
        up = rank >= low
        rank = jnp.where(up, rank - low, rank)
        words = jnp.where(up, words >> step, words)
        position = position + jnp.where(up, step, 0)
    return position
