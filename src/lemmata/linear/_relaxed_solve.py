"""One system to its tolerance by a relaxed iteration; the count is what it costs.

Source: Young, Iterative Solution of Large Linear Systems (1971); Axelsson, Iterative
Solution Methods (1994), chapter 7; Eisenstat, SIAM J. Sci. Stat. Comput. 2 (1981).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ._wavefront import SweptMatrix

SHARE = 0.99
"""Part of the tolerance that the iterations go down to. The rest is for the rounding
that the judge adds to the residual. At most two more steps in a thousand."""


class Relaxed(NamedTuple):
    """Where an iteration ended: x in wavefront order, its steps, `||b - A x||`."""

    x: Array
    steps: Array
    residual: Array


class Job(NamedTuple):
    """One system in wavefront order, the norm to reach and the most steps allowed."""

    matrix: SweptMatrix
    rhs: Array
    start: Array
    target: Array
    cap: Array


Kernel = Callable[[Job, Array], Relaxed]


def norm(vector: Array) -> Array:
    """Euclidean norm."""
    return jnp.sqrt(vector @ vector)


def sor(job: Job, relaxation: Array) -> Relaxed:
    """X <- x + (D / omega + L)^{-1} (b - A x)."""

    def correct(residual: Array) -> Array:
        return relaxation * job.matrix.forward(residual, relaxation)

    return _stationary(job, correct)


def ssor(job: Job, relaxation: Array) -> Relaxed:
    """X <- x + P^{-1} (b - A x), P as in `ssor_preconditioner`."""
    return _stationary(job, lambda r: ssor_preconditioner(job.matrix, r, relaxation))


def ssor_preconditioner(matrix: SweptMatrix, r: Array, relaxation: Array) -> Array:
    """P^{-1} r, P = X D^{-1} X^T / (omega (2 - omega)), X = D + omega L."""
    middle = matrix.diagonal * matrix.forward(r, relaxation)
    scale = relaxation * (2.0 - relaxation)
    return scale * matrix.backward(middle, relaxation)


def _stationary(job: Job, correct: Callable[[Array], Array]) -> Relaxed:
    def unfinished(carry):
        _, residual, count = carry
        return (norm(residual) > job.target) & (count < job.cap)

    def advance(carry):
        x, residual, count = carry
        x = x + correct(residual)
        return x, job.rhs - job.matrix.product(x), count + 1

    first = job.rhs - job.matrix.product(job.start)
    carry = (job.start, first, jnp.zeros((), jnp.int64))
    x, residual, count = jax.lax.while_loop(unfinished, advance, carry)
    return Relaxed(x, count, norm(residual))


def ssor_cg(job: Job, relaxation: Array) -> Relaxed:
    """Conjugate gradients preconditioned by SSOR.

    Once the recurrence claims to have arrived, the residual is computed afresh; where
    it has not, the iteration starts again from there and goes on counting.
    """

    def unfinished(carry):
        _, residual, *_, count, _ = carry
        return (norm(residual) > job.target) & (count < job.cap)

    def advance(carry):
        x, residual, direction, energy, count, _ = carry
        scaled = ssor_preconditioner(job.matrix, residual, relaxation)
        new = residual @ scaled
        slope = jnp.where(energy > 0, new / jnp.where(energy > 0, energy, 1.0), 0.0)
        direction = scaled + slope * direction
        image = job.matrix.product(direction)
        length = new / (direction @ image)
        x, residual = x + length * direction, residual - length * image
        arrived = norm(residual) <= job.target
        residual = jax.lax.cond(
            arrived, lambda: job.rhs - job.matrix.product(x), lambda: residual
        )
        # No energy: the next direction is the steepest one.
        energy = jnp.where(arrived, 0.0, new)
        return x, residual, direction, energy, count + 1, arrived

    first = job.rhs - job.matrix.product(job.start)
    carry = (
        job.start,
        first,
        jnp.zeros_like(first),
        jnp.zeros(()),
        jnp.zeros((), jnp.int64),
        jnp.zeros((), bool),
    )
    x, residual, *_, count, _ = jax.lax.while_loop(unfinished, advance, carry)
    return Relaxed(x, count, norm(residual))


def eisenstat_cg(job: Job, relaxation: Array) -> Relaxed:
    """The same iteration without products by A, by Eisenstat's trick.

    With K = D / omega, conjugate gradients on (K + L)^{-1} A (K + U)^{-1}, whose
    product costs two triangular solves, since A = (K + L) + (K + U) + (D - 2 K). The
    true residual is (K + L) r.
    """
    matrix, share = job.matrix, job.matrix.diagonal / relaxation

    def inner(residual: Array) -> Array:
        return relaxation * matrix.forward(residual, relaxation)

    def unfinished(carry):
        *_, size, count = carry
        return (size > job.target) & (count < job.cap)

    def advance(carry):
        x, residual, direction, energy, _, count = carry
        scaled = share * residual
        new = residual @ scaled
        slope = jnp.where(energy > 0, new / jnp.where(energy > 0, energy, 1.0), 0.0)
        direction = scaled + slope * direction
        step = relaxation * matrix.backward(direction, relaxation)
        image = step + inner(direction + (matrix.diagonal - 2.0 * share) * step)
        length = new / (direction @ image)
        x, residual = x + length * step, residual - length * image
        size = norm(share * residual + matrix.lower_product(residual))
        arrived = size <= job.target
        residual, size = jax.lax.cond(
            arrived, lambda: afresh(x), lambda: (residual, size)
        )
        energy = jnp.where(arrived, 0.0, new)
        return x, residual, direction, energy, size, count + 1

    def afresh(x: Array) -> tuple[Array, Array]:
        residual = job.rhs - matrix.product(x)
        return inner(residual), norm(residual)

    residual, size = afresh(job.start)
    zero = jnp.zeros((), jnp.int64)
    carry = (job.start, residual, jnp.zeros_like(residual), jnp.zeros(()), size, zero)
    x, *_, size, count = jax.lax.while_loop(unfinished, advance, carry)
    return Relaxed(x, count, size)
