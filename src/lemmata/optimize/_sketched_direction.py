"""Inexact Newton directions by sketching, just accurate enough to descend.

Steps 3 to 5 of the method: the accuracy rule, the sketching solver, and the test of
descent for the exact augmented Lagrangian with its updates of eta1, eta2 and delta.
"""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float64, Int64

from ..numerics.sketch import AbstractSketch, GaussianVector, sketch_step
from ._kkt import KKTSystem
from ._lagrangian import FirstOrder, MeritParts, merit_gradient

RECORDED = 4  # sketch steps of every solve that are kept for the claims
LARGEST_ETA1, LEAST_ETA2, LEAST_DELTA = 1e8, 1e-8, 1e-6
_ROUNDING = 16 * 2.0**-53


class AbstractAccuracy(eqx.Module):
    """How small the residual of the Newton system must be, as a share of ||grad L||."""

    @abc.abstractmethod
    def factor(self, system: KKTSystem, xi: Array) -> Array:
        """What the residual is multiplied with before it is compared."""

    @abc.abstractmethod
    def cap(self, system: KKTSystem, xi: Array, beta: Array, eta: Any) -> Array:
        """An upper bound on delta at these penalties."""


@final
class TheoryAccuracy(AbstractAccuracy):
    """||K||_F Psi ||r|| <= theta delta ||grad L||, delta below the theory's bound.

    Psi = 20 max(||B||_F^2, 1) / (min(xi_G, 1) min(xi_B, 1)). So conservative that inner
    solves end at their cap.
    """

    def factor(self, system: KKTSystem, xi: Array) -> Array:
        return system.norms[3] * _psi(system, xi)

    def cap(self, system: KKTSystem, xi: Array, beta: Array, eta: Any) -> Array:
        eta1, eta2 = eta
        upsilon = jnp.max(jnp.append(system.norms[1:3], 1.0))
        bottom = (1 + eta1 + eta2) * upsilon**2 * _psi(system, xi) ** 2
        return (0.5 - beta) * eta2 / bottom


@final
class DescentAccuracy(AbstractAccuracy):
    """||r|| <= theta delta ||grad L||, delta shrinking where the descent test fails.

    Global convergence rests on the inequalities that are tested, not on delta.
    """

    def factor(self, system: KKTSystem, xi: Array) -> Array:
        del system, xi
        return jnp.ones(())

    def cap(self, system: KKTSystem, xi: Array, beta: Array, eta: Any) -> Array:
        del system, xi, beta, eta
        return jnp.asarray(jnp.inf)


def _psi(system: KKTSystem, xi: Array) -> Array:
    most = jnp.maximum(system.norms[0] ** 2, 1.0)
    return 20 * most / (jnp.minimum(system.rank, 1.0) * jnp.minimum(xi, 1.0))


class Sample(eqx.Module):
    """The first sketch steps of a solve, in the scaled unknowns, from zero.

    **Fields:** `points` (RECORDED + 1, N); `sketches` (RECORDED, N, width); `rhs` (N,)
    before scaling; `norms` (N,), the row norms that were drawn by.
    """

    points: Float64[Array, "R N"]
    sketches: Float64[Array, "Q N w"]
    rhs: Float64[Array, " N"]
    norms: Float64[Array, " N"]

    @classmethod
    def empty(cls, sketch: AbstractSketch, size: int) -> "Sample":
        """Before the first solve."""
        sketches = jnp.zeros((RECORDED, size, sketch.width(size)))
        points = jnp.zeros((RECORDED + 1, size))
        return cls(points, sketches, jnp.zeros(size), jnp.ones(size))


class Direction(eqx.Module):
    """What the inner solver ended with.

    **Fields:**

    - `step`: d, shape (n + m,); `slope`: <grad L_eta, d>.
    - `descends`: whether d passes the descent test.
    - `frozen`: eta1 or eta2 reached the end of its range; `saturated`: a solve reached
      the cap on sketch steps.
    - `sketch_steps`, `sketched`, `checked`: steps; columns of K S; products K d that
      measured the residual.
    """

    step: Float64[Array, " N"]
    slope: Float64[Array, ""]
    eta1: Float64[Array, ""]
    eta2: Float64[Array, ""]
    delta: Float64[Array, ""]
    descends: Bool[Array, ""]
    frozen: Bool[Array, ""]
    saturated: Bool[Array, ""]
    sketch_steps: Int64[Array, ""]
    sketched: Int64[Array, ""]
    checked: Int64[Array, ""]
    accuracy: Float64[Array, ""]
    sample: Sample


class _Carry(eqx.Module):
    point: Array  # scaled
    key: Array
    residual: Array  # norm, unscaled
    eta1: Array
    eta2: Array
    delta: Array
    here: Array  # sketch steps at this accuracy
    steps: Array
    checked: Array
    saturated: Array
    over: Array
    descends: Array


class Solver(eqx.Module):
    """The options of an inner solve, and what it works on."""

    sketch: AbstractSketch
    accuracy: AbstractAccuracy
    system: KKTSystem
    at: FirstOrder
    parts: MeritParts
    theta: Array
    xi: Array
    beta: Array
    nu: Array
    max_inner: int

    @property
    def batch(self) -> int:
        """Sketch steps between two looks at the residual: about one pass over K."""
        size = self.system.scale.shape[0]
        return max(RECORDED, -(-size // self.sketch.width(size)))

    def rhs(self) -> Array:
        return -jnp.concatenate([self.at.gradient, self.at.constraint])

    def norm(self, point: Array) -> Array:
        """||K d - b||, unscaled, by one product."""
        product = self.system.times(self.system.scale * point)
        return jnp.linalg.norm(product - self.rhs())

    def solve(self, key: Array, eta1: Array, eta2: Array, delta: Array) -> Direction:
        """From zero until the direction descends, or nothing is left to try."""
        scaled_rhs = self.system.scale * self.rhs()
        norms = self.system.operator.row_norms()
        size = scaled_rhs.shape[0]
        key, first = jax.random.split(key)

        def project(point: Array, drawn: Any) -> tuple[Array, Array]:
            operator = self.system.operator
            moved = sketch_step(self.sketch, operator, scaled_rhs, point, drawn)
            return moved, moved

        drawn = self.sketch.draw(first, size, RECORDED, norms)
        zero = jnp.zeros(size)
        point, path = jax.lax.scan(project, zero, drawn)
        sketches = jax.vmap(lambda s: self.sketch.dense(s, size))(drawn)
        points = jnp.concatenate([zero[None], path])
        sample = Sample(points, sketches, self.rhs(), norms)

        def advance(carry: _Carry) -> _Carry:
            key, here = jax.random.split(carry.key)
            drawn = self.sketch.draw(here, size, self.batch, norms)
            point, _ = jax.lax.scan(
                lambda p, s: (project(p, s)[0], None), carry.point, drawn
            )
            return eqx.tree_at(
                lambda c: (c.point, c.key, c.residual, c.here, c.steps, c.checked),
                carry,
                (
                    point,
                    key,
                    self.norm(point),
                    carry.here + self.batch,
                    carry.steps + self.batch,
                    carry.checked + 1,
                ),
            )

        def move(carry: _Carry) -> _Carry:
            ready = self._ready(carry)
            return jax.lax.cond(ready, lambda c: self._judge(c), advance, carry)

        count = jnp.asarray(RECORDED, jnp.int64)
        false, one = jnp.asarray(False), jnp.ones((), jnp.int64)
        delta = jnp.minimum(delta, self._cap(eta1, eta2))
        start = _Carry(
            point,
            key,
            self.norm(point),
            eta1,
            eta2,
            jnp.maximum(delta, LEAST_DELTA),
            count,
            count,
            one,
            false,
            false,
            false,
        )
        found = jax.lax.while_loop(lambda c: ~c.over, move, start)
        step = self.system.scale * found.point
        return Direction(
            step,
            self._slope(step, found.eta1, found.eta2),
            found.eta1,
            found.eta2,
            found.delta,
            found.descends,
            _frozen(found.eta1, found.eta2),
            found.saturated,
            found.steps,
            found.steps * self.sketch.width(size),
            found.checked,
            found.residual,
            sample,
        )

    def _cap(self, eta1: Array, eta2: Array) -> Array:
        return self.accuracy.cap(self.system, self.xi, self.beta, (eta1, eta2))

    def _slope(self, step: Array, eta1: Array, eta2: Array) -> Array:
        return merit_gradient(self.at, self.parts, eta1, eta2) @ step

    def _ready(self, carry: _Carry) -> Array:
        """Accurate enough, out of steps, or no longer a number."""
        goal = self.theta * carry.delta * self.at.residual
        goal = goal / self.accuracy.factor(self.system, self.xi)
        step = self.system.scale * carry.point
        floor = _ROUNDING * self.system.norms[3] * jnp.linalg.norm(step)
        accurate = ~(carry.residual > jnp.maximum(goal, floor))
        return accurate | (carry.here >= self.max_inner)

    def _judge(self, carry: _Carry) -> _Carry:
        """The descent test; where it fails, penalties and accuracy are tightened."""
        step = self.system.scale * carry.point
        slope = self._slope(step, carry.eta1, carry.eta2)
        # The margin is the rounding of the judge's own evaluation.
        least = -0.5 * carry.eta2 * self.at.residual**2 * (1 + 1e-6)
        descends = slope <= least
        frozen = _frozen(carry.eta1, carry.eta2)
        capped = carry.here >= self.max_inner
        last = frozen & ((carry.delta <= LEAST_DELTA) | capped)
        eta1 = jnp.where(frozen, carry.eta1, carry.eta1 * self.nu**2)
        eta2 = jnp.where(frozen, carry.eta2, carry.eta2 / self.nu)
        delta = jnp.minimum(carry.delta / self.nu**4, self._cap(eta1, eta2))
        delta = jnp.maximum(delta, LEAST_DELTA)
        over = descends | last | ~jnp.isfinite(carry.residual) | ~jnp.isfinite(slope)
        tightened = eqx.tree_at(
            lambda c: (c.eta1, c.eta2, c.delta, c.here),
            carry,
            (eta1, eta2, delta, jnp.zeros_like(carry.here)),
        )
        kept = jax.tree.map(
            lambda a, b: (
                a
                if jnp.issubdtype(a.dtype, jax.dtypes.prng_key)
                else jnp.where(over, a, b)
            ),
            carry,
            tightened,
        )
        return eqx.tree_at(
            lambda c: (c.over, c.descends, c.saturated),
            kept,
            (over, descends, carry.saturated | capped),
        )


def _frozen(eta1: Array, eta2: Array) -> Array:
    return (eta1 > LARGEST_ETA1) | (eta2 < LEAST_ETA2)


def default_cap(sketch: AbstractSketch) -> int:
    """As in the reference: a million steps for Gaussian vectors, else 100,000."""
    return 1_000_000 if isinstance(sketch, GaussianVector) else 100_000
