"""A tiny network with sorted pairs, for the gauntlet."""

from typing import Any

import numpy as np

from ..numerics.networks import Network
from ._eigenvalue import Eigenvalue
from ._global_lipschitz import GlobalLipschitz


def dense_network(
    sizes: tuple[int, ...], activation: dict[str, Any], seed: int, vectors: Any = None
) -> Network:
    """Dense layers with normal weights and one activation between them.

    **Arguments:** `activation`: a record without inputs; `vectors`: of Householder
    activations, one array per hidden layer.
    """
    rng = np.random.default_rng(seed)
    nodes, arrays = [], {}
    for i, (size, following) in enumerate(zip(sizes, sizes[1:], strict=False)):
        k = len(nodes)
        arrays[f"network_{k}_weight"] = rng.normal(size=(following, size)) / size**0.5
        name = f"network_{k}_weight"
        nodes.append({"op": "dense", "inputs": [k - 1], "weight": name})
        record = {"inputs": [k]} | activation
        if vectors is not None and i + 2 < len(sizes):
            record["weight"] = f"network_{k + 1}_weight"
            arrays[record["weight"]] = np.asarray(vectors[i], dtype=np.float64)
        nodes.append(record)
    return Network.of({"input_shape": [sizes[0]], "nodes": nodes[:-1]}, arrays)


def global_lipschitz() -> tuple[Any, Any]:
    """3-4-4-2 with sorted pairs, by the interior-point method."""
    network = dense_network((3, 4, 4, 2), {"op": "group_sort", "size": 2}, 0)
    return GlobalLipschitz(network), Eigenvalue()
