"""Networks that the study of generalization trains, and their data."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..certify import Network
from ..core import float64
from ..data.classification import scaled, two_classes
from ..data.samples import _sklearn


def digits(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits in random order: (1797, 64) in [-1, 1], labels 0 to 9."""
    found: Any = _sklearn("sklearn.datasets", "load_digits")()
    order = np.random.default_rng(seed).permutation(len(found.target))
    return scaled(found.data)[order], found.target[order].astype(np.float64)


def binary(name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of a data set in random order, labels 0 and 1."""
    features, labels = two_classes(name)
    order = np.random.default_rng(seed).permutation(len(labels))
    return features[order], (labels[order] > 0).astype(np.float64)


def binary_digits() -> tuple[np.ndarray, np.ndarray]:
    """Digits 0 and 1: 360 images."""
    return binary("digits")


def trained(
    inputs: np.ndarray,
    labels: np.ndarray,
    width: int,
    *,
    outputs: int = 10,
    steps: int = 300,
    batch: int = 64,
    rate: float = 0.01,
    seed: int = 0,
) -> tuple[Network, Network]:
    """One hidden layer of ReLUs trained by Adam: the networks before and after."""
    with float64():
        key = jax.random.key(seed)
        params = _drawn(key, inputs.shape[1], width, outputs)
        y = jnp.asarray(labels.astype(np.int64))
        after = _fitted(steps, batch, params, jnp.asarray(inputs), y, key, rate)
        return _network(params), _network(after)


def _drawn(key: Any, features: int, width: int, outputs: int) -> list[Any]:
    one, two = jax.random.split(key)
    return [
        jax.random.normal(one, (width, features)) * jnp.sqrt(2 / features),
        jnp.zeros(width),
        jax.random.normal(two, (outputs, width)) * jnp.sqrt(1 / width),
        jnp.zeros(outputs),
    ]


def _loss(params: Any, x: Any, y: Any) -> Any:
    hidden = jax.nn.relu(x @ params[0].T + params[1])
    scores = hidden @ params[2].T + params[3]
    if scores.shape[1] == 1:
        return jnp.mean(jax.nn.softplus(-(2.0 * y - 1.0) * scores[:, 0]))
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, y)
    return jnp.mean(losses)


@partial(jax.jit, static_argnums=(0, 1))
def _fitted(
    steps: int, batch: int, params: Any, x: Any, y: Any, key: Any, rate: Any
) -> Any:
    optimizer = optax.adam(rate)

    def step(carry: Any, key: Any) -> tuple[Any, None]:
        params, state = carry
        rows = jax.random.randint(key, (batch,), 0, len(y))
        gradient = jax.grad(_loss)(params, x[rows], y[rows])
        change, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, change), state), None

    keys = jax.random.split(key, steps)
    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), keys)
    return params


def _network(params: Any) -> Network:
    first, first_bias, second, second_bias = (np.asarray(p) for p in params)
    arrays = {
        "network_0_weight": first,
        "network_0_bias": first_bias,
        "network_2_weight": second,
        "network_2_bias": second_bias,
    }
    nodes = [
        {
            "op": "dense",
            "inputs": [k - 1],
            "weight": f"network_{k}_weight",
            "bias": f"network_{k}_bias",
        }
        for k in (0, 2)
    ]
    nodes.insert(1, {"op": "relu", "inputs": [0]})
    return Network.of({"input_shape": [first.shape[1]], "nodes": nodes}, arrays)
