"""Networks to bound, trained on digits, synthetic points and a medical table."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..certify import Network, from_equinox
from ..data.classification import scaled
from ..data.samples import _sklearn

BATCH, RATE = 256, 1e-3  # the authors' own, as is Adam
TRAIN = 1_400


def digits() -> tuple[np.ndarray, np.ndarray]:
    """All 1797 digits, 8 x 8 flat, in [0, 1], and labels; the last are of new hands."""
    found = _sklearn("sklearn.datasets", "load_digits")()
    return found.data / 16.0, found.target


def leaders(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of a cube, labelled as the nearest of 5 size leaders; ten labels."""
    rng = np.random.default_rng(seed)
    points, heads = rng.uniform(size=(count, size)), rng.uniform(size=(5 * size, size))
    labels = rng.integers(10, size=len(heads))
    away = ((points[:, None] - heads) ** 2).sum(axis=2)
    return points, labels[away.argmin(axis=1)]


def diabetes() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """442 patients, ten features in [-1, 1], progression in standard deviations."""
    found = _sklearn("sklearn.datasets", "load_diabetes")(scaled=False)
    target = (found.target - found.target.mean()) / found.target.std()
    return scaled(found.data), target, list(found.feature_names)


def perceptron(
    sizes: tuple[int, ...], seed: int = 0, start: str = "uniform"
) -> eqx.Module:
    """Dense ReLU layers, inputs first.

    **Arguments:** `start`: "uniform", entries within 1 / sqrt(inputs) as Equinox and
    PyTorch draw them, or "he", normal with variance 2 / inputs and no biases, which
    makes larger weights.
    """
    rng, layers = np.random.default_rng(seed), list[Any]()
    for size, following in zip(sizes, sizes[1:], strict=False):
        layer = _drawn(eqx.nn.Linear, rng, size, following)
        if start == "he":
            weight = rng.normal(size=(following, size)) * (2 / size) ** 0.5
            parts = np.float32(weight), np.zeros(following, np.float32)
            layer = eqx.tree_at(lambda part: (part.weight, part.bias), layer, parts)
        layers += [layer, eqx.nn.Lambda(jax.nn.relu)]
    return eqx.nn.Sequential(layers[:-1])


def _drawn(kind: Any, rng: np.random.Generator, *sizes: int, **options: Any) -> Any:
    """A layer as its class draws it, but by NumPy: nothing to compile."""
    key = jax.ShapeDtypeStruct((2,), np.uint32)
    made = eqx.filter_eval_shape(lambda key: kind(*sizes, key=key, **options), key)
    reach = np.prod(made.weight.shape[1:]) ** -0.5

    def draw(leaf: Any) -> Any:
        drawn = isinstance(leaf, jax.ShapeDtypeStruct)
        return np.float32(rng.uniform(-reach, reach, leaf.shape)) if drawn else leaf

    return jax.tree.map(draw, made)


def small_images(width: int, seed: int = 0) -> eqx.Module:
    """Two 3 x 3 convolutions on 8 x 8 images, then one dense layer."""
    rng, conv = np.random.default_rng(seed), eqx.nn.Conv2d
    return eqx.nn.Sequential(
        [
            eqx.nn.Lambda(lambda x: x.reshape(1, 8, 8)),
            _drawn(conv, rng, 1, width, 3, padding=1),
            eqx.nn.Lambda(jax.nn.relu),
            _drawn(conv, rng, width, width, 3, stride=2, padding=1),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.Lambda(jnp.ravel),
            _drawn(eqx.nn.Linear, rng, 16 * width, 10),
        ]
    )


def trained(
    module: Any, features: np.ndarray, labels: np.ndarray, epochs: int
) -> tuple[Network, float]:
    """The network after Adam on cross-entropy (or squares), and its last loss."""
    classes = labels.dtype.kind == "i"

    def loss(model: Any, x: Any, y: Any) -> Any:
        scores = jax.vmap(model)(x)
        if classes:
            found = optax.softmax_cross_entropy_with_integer_labels(scores, y)
        else:
            found = (scores[:, 0] - y) ** 2
        return jnp.mean(found)

    targets = labels if classes else labels.astype(np.float32)
    data = jnp.asarray(features.astype(np.float32)), jnp.asarray(targets)
    model, last = _fit(module, loss, data, epochs)
    return from_equinox(model, features.shape[1:]), float(last)


def _fit(module: Any, loss: Callable[..., Any], data: Any, epochs: int) -> Any:
    dynamic, static = eqx.partition(module, eqx.is_inexact_array)
    adam, count = optax.adam(RATE), len(data[0])
    batches = max(1, count // BATCH)

    def step(carry, rows):
        model, state = carry
        x, y = data[0][rows], data[1][rows]
        value, slope = jax.value_and_grad(lambda m: loss(eqx.combine(m, static), x, y))(
            model
        )
        change, state = adam.update(slope, state)
        return (optax.apply_updates(model, change), state), value

    def epoch(carry, rows):
        carry, values = jax.lax.scan(step, carry, rows)
        return carry, values[-1]

    rng, size = np.random.default_rng(1), min(BATCH, count)
    orders = [rng.permutation(count)[: batches * size] for _ in range(epochs)]
    rows = np.stack(orders).reshape(epochs, batches, size)

    @jax.jit
    def run(model, rows):
        (model, _), values = jax.lax.scan(epoch, (model, adam.init(model)), rows)
        return model, values[-1]

    model, last = run(dynamic, rows)
    return eqx.combine(model, static), last
