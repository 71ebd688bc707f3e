"""Networks with sorted groups, ReLUs or reflections, trained on digits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..numerics.networks import Network, group_sort, householder

BATCH = 128
RATE = 3e-3


def digits() -> tuple[np.ndarray, np.ndarray]:
    """8 x 8 images of digits, pixels in [0, 1], and labels; needs scikit-learn."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return np.asarray(images) / 16, np.asarray(labels)


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A matrix with orthonormal rows or columns."""
    tall = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))[0]
    return tall if rows >= columns else tall.T


def trained(
    sizes: tuple[int, ...], activation: dict[str, Any], epochs: int, seed: int = 0
) -> tuple[Network, float]:
    """A network from orthogonal weights by Adam on the cross-entropy.

    **Arguments:** `activation`: a record without inputs; Householder directions of
    pairs are drawn once and kept.

    **Returns:** the network and its accuracy on a quarter of the digits held out.
    """
    images, labels = digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    images, labels = images[order], labels[order]
    split = len(images) * 3 // 4
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    vectors = [np.float32(rng.normal(size=(n // 2, 2))) for n, _ in shapes[:-1]]
    params = [
        (jnp.asarray(orthogonal(rng, *shape), jnp.float32), jnp.zeros(shape[0]))
        for shape in shapes
    ]

    def scores(params, x):
        for (weight, bias), v in zip(params[:-1], vectors, strict=True):
            x = _activate(activation, weight @ x + bias, v)
        return params[-1][0] @ x + params[-1][1]

    def loss(params, x, y):
        out = jax.vmap(lambda one: scores(params, one))(x)
        return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()

    optimiser = optax.adam(RATE)

    @jax.jit
    def epoch(params, state, x, y):
        def step(carry, batch):
            params, state = carry
            gradient = jax.grad(loss)(params, *batch)
            change, state = optimiser.update(gradient, state)
            return (optax.apply_updates(params, change), state), None

        return jax.lax.scan(step, (params, state), (x, y))[0]

    state, count = optimiser.init(params), split // BATCH * BATCH
    for _ in range(epochs):
        chosen = rng.permutation(split)[:count].reshape(-1, BATCH)
        x = jnp.asarray(images[chosen], jnp.float32)
        params, state = epoch(params, state, x, jnp.asarray(labels[chosen]))
    held = jnp.asarray(images[split:], jnp.float32)
    guesses = jnp.argmax(jax.vmap(lambda x: scores(params, x))(held), axis=1)
    accuracy = float(np.mean(np.asarray(guesses) == labels[split:]))
    return _recorded(params, activation, vectors), accuracy


def _activate(record: dict[str, Any], z: Any, vectors: Any) -> Any:
    if record["op"] == "group_sort":
        return group_sort(z, record["size"])
    if record["op"] == "householder":
        return householder(z, vectors)
    return jax.nn.relu(z)


def _recorded(params: Any, activation: dict[str, Any], vectors: Any) -> Network:
    nodes, arrays = [], {}
    for i, pair in enumerate(params):
        k = len(nodes)
        names = {part: f"network_{k}_{part}" for part in ("weight", "bias")}
        for name, part in zip(names.values(), pair, strict=True):
            arrays[name] = np.asarray(part, dtype=np.float64)
        nodes.append({"op": "dense", "inputs": [k - 1]} | names)
        record = {"inputs": [k]} | activation
        if activation["op"] == "householder" and i < len(vectors):
            record["weight"] = f"network_{k + 1}_weight"
            arrays[record["weight"]] = np.asarray(vectors[i], dtype=np.float64)
        nodes.append(record)
    shape = [int(params[0][0].shape[1])]
    return Network.of({"input_shape": shape, "nodes": nodes[:-1]}, arrays)


def residual(weights: list[np.ndarray]) -> Network:
    """X + MaxMin(W x), repeated."""
    nodes, arrays, last = [], {}, -1
    for weight in weights:
        k = len(nodes)
        arrays[f"network_{k}_weight"] = weight
        nodes += [
            {"op": "dense", "inputs": [last], "weight": f"network_{k}_weight"},
            {"op": "group_sort", "inputs": [k], "size": 2},
            {"op": "add", "inputs": [last, k + 1]},
        ]
        last = k + 2
    shape = [int(weights[0].shape[1])]
    return Network.of({"input_shape": shape, "nodes": nodes}, arrays)
