"""SemiDual() and Dual(): the two functions that are climbed.

Source: Liu, Puigcerver, Blondel (2023), equations of the semi-dual and of the dual in
both potentials; what surrounds the climb is in `_ascent`.
"""

from typing import final

import jax.numpy as jnp
from jax import Array

from ..numerics.lbfgs import Function
from ._ascent import AbstractAscent
from ._topk import Oriented, joint_dual, semi_dual


@final
class SemiDual(AbstractAscent):
    """Maximises the semi-dual D(alpha), then recovers a plan.

    **Options:**

    - `optimizer`: `LBFGS()` or `Adam()`.
    - `path`: `Halving()` climbs at caps m, m/2, ..., cap in turn; `Direct()` at cap.
    - `recovery`: `Polish()` looks for a plan within the cap whose rows are right;
      `Selection()` returns T(alpha), as the paper does.
    """

    def function(self, data: Oriented, limit: Array) -> Function:
        def descend(x: Array) -> tuple[Array, Array]:
            found = semi_dual(data, x, limit)
            return -found.value, -found.gradient

        return descend

    def start(self, data: Oriented, alpha: Array) -> Array:
        del data
        return alpha

    def potential(self, data: Oriented, x: Array) -> Array:
        del data
        return x


@final
class Dual(AbstractAscent):
    """Maximises the dual in both potentials, then recovers a plan.

    Options as in `SemiDual`. Its steps need no threshold, but there are more of them.
    """

    def function(self, data: Oriented, limit: Array) -> Function:
        f = data.free.shape[0]

        def descend(x: Array) -> tuple[Array, Array]:
            value, *gradients = joint_dual(data, x[:f], x[f:], limit)
            return -value, -jnp.concatenate(gradients)

        return descend

    def start(self, data: Oriented, alpha: Array) -> Array:
        return jnp.concatenate([alpha, -semi_dual(data, alpha).topk.threshold])

    def potential(self, data: Oriented, x: Array) -> Array:
        return x[: data.free.shape[0]]
