"""Networks with sorted groups, ReLUs or reflections, trained on digits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..certify import ImplicitLipschitz, MaxMin
from ..numerics.networks import Network, group_sort, householder
from ._lipschitz_training import fit, orthogonal

ITERATIONS = 40  # of the equation of an implicit layer, whose map contracts
CONTRACTION = 0.9


def trained(
    sizes: tuple[int, ...], activation: dict[str, Any], epochs: int, seed: int = 0
) -> tuple[Network, float]:
    """A feed-forward network from orthogonal weights.

    **Arguments:** `activation`: a record without inputs; Householder directions of
    pairs are drawn once and kept.

    **Returns:** the network and its accuracy on a quarter of the digits held out.
    """
    networks, accuracies = training(sizes, activation, epochs, seed)
    return networks[-1], accuracies[-1]


def training(
    sizes: tuple[int, ...], activation: dict[str, Any], epochs: int, seed: int = 0
) -> tuple[list[Network], list[float]]:
    """The same after every epoch."""
    rng = np.random.default_rng(seed)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    vectors = [np.float32(rng.normal(size=(n // 2, 2))) for n, _ in shapes[:-1]]
    params = [_layer(rng, *shape) for shape in shapes]

    def scores(params, x):
        for (weight, bias), v in zip(params[:-1], vectors, strict=True):
            x = _activate(activation, x @ weight.T + bias, v)
        return x @ params[-1][0].T + params[-1][1]

    found = fit(scores, params, epochs, rng)
    networks = [_recorded(found.after(i), activation, vectors) for i in range(epochs)]
    return networks, [float(a) for a in found.accuracies]


def trained_residual(
    width: int, blocks: int, epochs: int, seed: int = 0
) -> tuple[Network, float]:
    """h_0 = W x + b, h <- h + MaxMin(W_k h + b_k), and a linear layer."""
    rng = np.random.default_rng(seed)
    inside = [_layer(rng, width, width) for _ in range(blocks)]
    middle = [(0.3 * weight, bias) for weight, bias in inside]
    params = [_layer(rng, width, 64), *middle, _layer(rng, 10, width)]

    def scores(params, x):
        x = x @ params[0][0].T + params[0][1]
        for weight, bias in params[1:-1]:
            x = x + group_sort((x @ weight.T + bias).T, 2).T
        return x @ params[-1][0].T + params[-1][1]

    found = fit(scores, params, epochs, rng)
    nodes, arrays = [], {}

    def dense(pair, given):
        names = {part: f"network_{len(nodes)}_{part}" for part in ("weight", "bias")}
        for name, part in zip(names.values(), pair, strict=True):
            arrays[name] = np.asarray(part, dtype=np.float64)
        nodes.append({"op": "dense", "inputs": [given]} | names)
        return len(nodes) - 1

    first, *inside, final = found.after(-1)
    last = dense(first, -1)
    for pair in inside:
        k = dense(pair, last)
        nodes.append({"op": "group_sort", "inputs": [k], "size": 2})
        nodes.append({"op": "add", "inputs": [last, k + 1]})
        last = k + 2
    dense(final, last)
    network = Network.of({"input_shape": [64], "nodes": nodes}, arrays)
    return network, float(found.accuracies[-1])


def trained_equilibrium(
    width: int, epochs: int, seed: int = 0
) -> tuple[ImplicitLipschitz, float]:
    """Z = MaxMin(W z + U x + b), y = C z, with |W| <= 0.9 by its construction."""
    rng = np.random.default_rng(seed)
    params = {
        "raw": jnp.asarray(rng.normal(size=(width, width)), jnp.float32),
        "inner": _layer(rng, width, 64),
        "outer": _layer(rng, 10, width)[0],
    }

    def weight(raw):
        """|W|_2^2 <= |W|_1 |W|_inf."""
        sizes = jnp.abs(raw).sum(axis=0).max() * jnp.abs(raw).sum(axis=1).max()
        return CONTRACTION * raw / jnp.sqrt(sizes)

    def scores(params, x):
        whole, (inner, bias) = weight(params["raw"]), params["inner"]
        given = x @ inner.T + bias

        def again(z, _):
            return group_sort((z @ whole.T + given).T, 2).T, None

        start = jnp.zeros_like(given)
        return jax.lax.scan(again, start, None, ITERATIONS)[0] @ params["outer"].T

    found = fit(scores, params, epochs, rng)
    last = found.after(-1)
    parts = weight(jnp.asarray(last["raw"])), last["inner"][0], last["outer"]
    parts = tuple(np.asarray(part, dtype=np.float64) for part in parts)
    problem = ImplicitLipschitz(*parts, activation=MaxMin())
    return problem, float(found.accuracies[-1])


def _layer(rng: np.random.Generator, rows: int, columns: int) -> tuple[Any, Any]:
    weight = jnp.asarray(orthogonal(rng, rows, columns), jnp.float32)
    return weight, jnp.zeros(rows, jnp.float32)


def _activate(record: dict[str, Any], z: Any, vectors: Any) -> Any:
    """The activation of each row."""
    if record["op"] == "group_sort":
        return group_sort(z.T, record["size"]).T
    if record["op"] == "householder":
        return householder(z.T, vectors).T
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
