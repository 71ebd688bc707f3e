"""Digits, and one compiled loop that trains any scores on them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

BATCH = 128
RATE = 3e-3


class Trained(NamedTuple):
    """Parameters after each epoch, along axis 0, and accuracies on held-out digits."""

    history: Any
    accuracies: np.ndarray

    def after(self, epoch: int) -> Any:
        """Parameters after so many epochs; -1 for all."""
        return jax.tree.map(lambda leaf: np.asarray(leaf[epoch]), self.history)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """8 x 8 images of digits, pixels in [0, 1], and labels; needs scikit-learn."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return np.asarray(images) / 16, np.asarray(labels)


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A matrix with orthonormal rows or columns."""
    tall = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))[0]
    return tall if rows >= columns else tall.T


def fit(
    scores: Callable[[Any, Any], Any],
    params: Any,
    epochs: int,
    rng: np.random.Generator,
) -> Trained:
    """Adam on the cross-entropy; a quarter of the digits is held out.

    **Arguments:** `scores(params, x)` of images x (n, 64), shape (n, 10); `params`:
    float32, where it starts.
    """
    images, labels = digits()
    order = rng.permutation(len(images))
    images, labels = jnp.asarray(images[order], jnp.float32), jnp.asarray(labels[order])
    split = len(images) * 3 // 4
    count = split // BATCH * BATCH
    batches = np.stack([rng.permutation(split)[:count] for _ in range(epochs)])
    optimiser = optax.adam(RATE)
    start, restored = ravel_pytree(params)  # one array: fewer kernels to compile

    def loss(params, x, y):
        out = scores(restored(params), x)
        return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()

    def step(carry, chosen):
        params, state = carry
        gradient = jax.grad(loss)(params, images[chosen], labels[chosen])
        change, state = optimiser.update(gradient, state)
        return (optax.apply_updates(params, change), state), None

    def epoch(carry, batches):
        carry, _ = jax.lax.scan(step, carry, batches)
        flat: Any = carry[0]
        params = restored(flat)
        guesses = jnp.argmax(scores(params, images[split:]), axis=1)
        return carry, (params, jnp.mean(guesses == labels[split:]))

    @jax.jit
    def train(start, batches):
        return jax.lax.scan(epoch, (start, optimiser.init(start)), batches)[1]

    history, accuracies = train(start, batches.reshape(epochs, -1, BATCH))
    return Trained(history, np.asarray(accuracies))
