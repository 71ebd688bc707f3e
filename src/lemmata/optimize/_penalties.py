"""Separable penalties g_i(x_i): strength_i |x_i| on an interval [lower_i, upper_i].

Each penalty of the room is one choice of the three; so proximal steps, models and dual
bounds are written once.
"""

import abc
from typing import Any, ClassVar, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..core import array64

Numbers = Any  # one number, or one per coordinate


class AbstractPenalty(eqx.Module):
    """g(x) = sum_i strength_i |x_i|, infinite outside [lower, upper]."""

    name: ClassVar[str] = ""

    @abc.abstractmethod
    def terms(self) -> tuple[Numbers, Numbers, Numbers]:
        """(strength, lower, upper), each one number or (n,)."""

    def at(self, coordinates: Any = None) -> tuple[Array, Array, Array]:
        """The three terms at some coordinates, or at all of them.

        A coordinate n stands for none: no strength, no bounds.
        """
        neutral = (0.0, -jnp.inf, jnp.inf)
        found = []
        for term, fill in zip(self.terms(), neutral, strict=True):
            term = jnp.asarray(term, jnp.float64)
            if term.ndim and coordinates is not None:
                term = jnp.take(term, coordinates, mode="fill", fill_value=fill)
            found.append(term)
        return found[0], found[1], found[2]

    def value(self, x: Any) -> Array:
        """g(x) where x is within the bounds."""
        strength, _, _ = self.at()
        return jnp.sum(strength * jnp.abs(x))

    def prox(self, x: Any, step: Any, coordinates: Any = None) -> Array:
        """argmin_z (z - x)^2 / (2 step) + g_i(z), elementwise; zeros are exact.

        In one dimension the minimiser on an interval is the clipped one without it.
        """
        strength, lower, upper = self.at(coordinates)
        threshold = jnp.asarray(step) * strength
        shrunk = x - jnp.clip(x, -threshold, threshold)
        return jnp.clip(shrunk, lower, upper)

    def decrease(
        self, x: Any, gradient: Any, lipschitz: Any, coordinates: Any = None
    ) -> tuple[Array, Array]:
        """Decrease of the separable model, and the step d that attains it.

        max over d of -(g_i d + (L_i / 2) d^2 + g_i(x_i + d) - g_i(x_i)), >= 0. Where
        L_i = 0 (a column of zeros) 1 takes its place: the model stays an upper bound.
        """
        strength, _, _ = self.at(coordinates)
        x, gradient = jnp.asarray(x), jnp.asarray(gradient)
        length = jnp.where(jnp.asarray(lipschitz) > 0, lipschitz, 1.0)
        moved = self.prox(x - gradient / length, 1.0 / length, coordinates)
        d = moved - x
        change = strength * (jnp.abs(moved) - jnp.abs(x))
        return jnp.maximum(-(gradient * d + 0.5 * length * d * d + change), 0.0), d

    def separable_gap(
        self, x: Any, gradient: Any, convexity: Any, coordinates: Any = None
    ) -> Array:
        """max_z -(g_i (z - x_i) + (c_i/2) (z - x_i)^2 + g_i(z) - g_i(x_i)), >= 0.

        What a function with that gradient and convexity c >= 0 can still lose in each
        coordinate; infinite where nothing bounds it. For c = 0 the maximum lies at the
        kink or at a bound.
        """
        strength, lower, upper = self.at(coordinates)
        x, gradient = jnp.asarray(x), jnp.asarray(gradient)
        convexity = jnp.broadcast_to(jnp.asarray(convexity, jnp.float64), x.shape)
        flat = convexity <= 0
        curved = jnp.where(flat, 1.0, convexity)
        best = self.prox(x - gradient / curved, 1.0 / curved, coordinates)

        def loss(z: Array, c: Any) -> Array:
            d = z - x
            return -(gradient * d + 0.5 * c * d * d + strength * (abs(z) - abs(x)))

        def end(bound: Any, sign: float) -> Array:
            bounded = jnp.isfinite(bound)
            rises = -(sign * gradient + strength) > 0
            beyond = jnp.where(rises, jnp.inf, 0.0)
            return jnp.where(bounded, loss(jnp.where(bounded, bound, 0.0), 0.0), beyond)

        kink = loss(jnp.clip(jnp.zeros_like(x), lower, upper), 0.0)
        linear = jnp.maximum(kink, jnp.maximum(end(lower, -1.0), end(upper, 1.0)))
        return jnp.maximum(jnp.where(flat, linear, loss(best, curved)), 0.0)

    def residual(self, x: Any, gradient: Any, coordinates: Any = None) -> Array:
        """Distance of -gradient from the subdifferential of g, per coordinate."""
        strength, lower, upper = self.at(coordinates)
        x, gradient = jnp.asarray(x), jnp.asarray(gradient)
        right = gradient + jnp.where(x >= 0, strength, -strength)  # one-sided slopes
        left = gradient + jnp.where(x > 0, strength, -strength)
        # At an upper bound nothing moves right, at a lower bound nothing left.
        right = jnp.where(x >= upper, jnp.inf, right)
        left = jnp.where(x <= lower, -jnp.inf, left)
        return jnp.maximum(jnp.maximum(left, -right), 0.0)

    def start(self, n: int) -> Array:
        """The admissible point nearest to zero, (n,)."""
        _, lower, upper = self.at()
        return jnp.clip(jnp.zeros(n), lower, upper)


@final
class Unpenalised(AbstractPenalty):
    """g = 0."""

    name: ClassVar[str] = "unpenalised"

    def terms(self) -> tuple[Numbers, Numbers, Numbers]:
        return 0.0, -np.inf, np.inf


@final
class L1(AbstractPenalty):
    """g(x) = sum_i strength_i |x_i|.

    **Fields:**

    - `strength`: lambda, >= 0, one number or (n,), in units of the loss per x.
    """

    name: ClassVar[str] = "l1"
    strength: Numbers

    def __init__(self, strength: Numbers):
        self.strength = as_numbers(strength)

    def terms(self) -> tuple[Numbers, Numbers, Numbers]:
        return self.strength, -np.inf, np.inf


@final
class NonNegative(AbstractPenalty):
    """x >= 0."""

    name: ClassVar[str] = "non_negative"

    def terms(self) -> tuple[Numbers, Numbers, Numbers]:
        return 0.0, 0.0, np.inf


@final
class NonNegativeL1(AbstractPenalty):
    """g(x) = sum_i strength_i x_i on x >= 0.

    **Fields:**

    - `strength`: lambda, >= 0, one number or (n,), in units of the loss per x.
    """

    name: ClassVar[str] = "non_negative_l1"
    strength: Numbers

    def __init__(self, strength: Numbers):
        self.strength = as_numbers(strength)

    def terms(self) -> tuple[Numbers, Numbers, Numbers]:
        return self.strength, 0.0, np.inf


@final
class Box(AbstractPenalty):
    """lower <= x <= upper.

    **Fields:**

    - `lower`, `upper`: one number or (n,), lower <= upper, infinite where there is no
      bound.
    """

    name: ClassVar[str] = "box"
    lower: Numbers
    upper: Numbers

    def __init__(self, lower: Numbers, upper: Numbers):
        self.lower, self.upper = as_numbers(lower), as_numbers(upper)

    def terms(self) -> tuple[Numbers, Numbers, Numbers]:
        return 0.0, self.lower, self.upper


def as_numbers(value: Any) -> Any:
    """One number as it is, so that it stays a scalar leaf; arrays as float64."""
    if isinstance(value, bool):
        return value
    return float(value) if isinstance(value, int | float) else array64(value)


PENALTIES: dict[str, type[AbstractPenalty]] = {
    kind.name: kind for kind in (Unpenalised, L1, NonNegative, NonNegativeL1, Box)
}
