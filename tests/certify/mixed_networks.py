"""Small networks that mix activations, and residual ones."""

import numpy as np

from lemmata.certify import Network

RELU, PAIRS = {"op": "relu"}, {"op": "group_sort", "size": 2}


def graph(records, arrays, inputs):
    return Network.of({"input_shape": [inputs], "nodes": records}, arrays)


def dense(name, given):
    return {"op": "dense", "inputs": [given], "weight": name}


def mixed(seed, orthogonal=False):
    """3-4-4-4-2: ReLUs, sorted pairs, reflections of pairs.

    `orthogonal`: square, with orthogonal weights, and sorted pairs in place of ReLUs.
    """
    rng = np.random.default_rng(seed)
    sizes = (4, 4, 4, 4, 4) if orthogonal else (3, 4, 4, 4, 2)
    arrays = {
        f"w{i}": rng.normal(size=(sizes[i + 1], sizes[i])) / sizes[i] ** 0.5
        for i in range(4)
    }
    if orthogonal:
        arrays = {name: np.linalg.qr(w)[0] for name, w in arrays.items()}
    arrays["v"] = rng.normal(size=(2, 2))
    records = [
        dense("w0", -1),
        (PAIRS if orthogonal else RELU) | {"inputs": [0]},
        dense("w1", 1),
        PAIRS | {"inputs": [2]},
        dense("w2", 3),
        {"op": "householder", "inputs": [4], "weight": "v"},
        dense("w3", 5),
    ]
    return graph(records, arrays, sizes[0])


def mixed_residual(seed):
    """h = x + MaxMin(W_0 x), then h + V relu(W_1 h)."""
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(size=(4, 4)) / 2 for name in ("w0", "w1", "w2")}
    records = [
        dense("w0", -1),
        PAIRS | {"inputs": [0]},
        {"op": "add", "inputs": [-1, 1]},
        dense("w1", 2),
        RELU | {"inputs": [3]},
        dense("w2", 4),
        {"op": "add", "inputs": [2, 5]},
    ]
    return graph(records, arrays, 4)


def beside(seed):
    """ReLUs beside sorted pairs, joined, and a dense layer."""
    rng = np.random.default_rng(seed)
    arrays = {"a": rng.normal(size=(2, 3)), "b": rng.normal(size=(4, 3))}
    arrays["c"] = rng.normal(size=(2, 6))
    records = [
        dense("a", -1),
        RELU | {"inputs": [0]},
        dense("b", -1),
        PAIRS | {"inputs": [2]},
        {"op": "concatenate", "inputs": [1, 3], "axis": 0},
        dense("c", 4),
    ]
    return graph(records, arrays, 3)
