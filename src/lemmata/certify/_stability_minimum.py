"""Training of any model to a minimum of the square loss by SGD.

`StabilitySweep` does it for many runs of a named network, with a certificate.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..core import InvalidArgument, float64, to_jax
from ._stability_tests import batch_weights


class Minimum(NamedTuple):
    """Where SGD ended.

    - `params`: as handed in, NumPy.
    - `relative_loss`: mean squared residual over mean squared target.
    - `updates`: how many were made.
    - `converged`: whether the loss tolerance was met.
    """

    params: Any
    relative_loss: float
    updates: int
    converged: bool


def reach_minimum(
    model: Callable[..., Any],
    params: Any,
    inputs: Any,
    targets: Any,
    learning_rate: float,
    batch_size: int = 1,
    *,
    replacement: bool = False,
    loss_tol: float = 1e-8,
    max_updates: int = 100_000,
    key: int = 0,
) -> Minimum:
    """Runs SGD until the relative loss is at most `loss_tol`, or `max_updates`.

    **Arguments:** as for `SGDStability`. The loss of all samples is looked at after
    every 200 updates.

    **Raises:** `InvalidArgument` for a batch that cannot be drawn.
    """
    n = len(inputs)
    if batch_size < 1 or (batch_size > n and not replacement):
        expected = f"an integer in [1, {n}]"
        raise InvalidArgument("reach_minimum.batch_size", expected, batch_size)
    with float64():
        x, w = jnp.asarray(np.asarray(inputs, dtype=np.float64)), to_jax(params)
        y = jnp.asarray(np.asarray(targets, dtype=np.float64)).reshape(n, -1)
        keys = jax.random.key(key)

        def outputs(w, x):
            return jax.vmap(model, (None, 0))(w, x).reshape(len(x), -1)

        def batch_loss(w, x, y, share):
            return jnp.sum(share[:, None] * (outputs(w, x) - y) ** 2) / 2

        def update(_, carry):
            w, key = carry
            key, draw = jax.random.split(key)
            share = batch_weights(draw, n, batch_size, replacement, 1)[0]
            if replacement:
                chosen, weight = slice(None), share
            else:
                chosen = jnp.nonzero(share, size=batch_size)[0]
                weight = share[chosen]
            gradient = jax.grad(batch_loss)(w, x[chosen], y[chosen], weight)
            return jax.tree.map(lambda p, g: p - learning_rate * g, w, gradient), key

        @jax.jit
        def advance(w, key):
            w, key = jax.lax.fori_loop(0, 200, update, (w, key))
            return w, key, jnp.mean((outputs(w, x) - y) ** 2) / jnp.mean(y**2)

        updates, loss = 0, np.inf
        while updates < max_updates:
            w, keys, found = advance(w, keys)
            updates, loss = updates + 200, float(found)
            if not loss > loss_tol:
                break
        return Minimum(jax.tree.map(np.asarray, w), loss, updates, loss <= loss_tol)
