"""A tiny network with a box, for the gauntlet."""

from typing import Any

import numpy as np

from ..numerics.networks import Network
from ._bound_methods import BoundPropagation
from ._branch_and_bound import BranchAndBound, SignPrograms
from ._local_lipschitz import LocalLipschitz
from ._point_search import PointSearch


def small_network(sizes: tuple[int, ...], seed: int) -> Network:
    """Dense ReLU layers with normal weights."""
    rng = np.random.default_rng(seed)
    nodes, arrays = [], {}
    for size, following in zip(sizes, sizes[1:], strict=False):
        k = len(nodes)
        arrays[f"network_{k}_weight"] = rng.normal(size=(following, size)) / size**0.5
        arrays[f"network_{k}_bias"] = 0.3 * rng.normal(size=following)
        record = {"op": "dense", "inputs": [k - 1]}
        record |= {part: f"network_{k}_{part}" for part in ("weight", "bias")}
        nodes += [record, {"op": "relu", "inputs": [k]}]
    return Network.of({"input_shape": [sizes[0]], "nodes": nodes[:-1]}, arrays)


def local_lipschitz() -> tuple[Any, Any]:
    """2-4-3-2, by branch and bound to the exact constants."""
    problem = LocalLipschitz.around(small_network((2, 4, 3, 2), 8), [0.1, -0.2], 0.8)
    inner = BoundPropagation(search=PointSearch(candidates=2, steps=2))
    method = BranchAndBound(inner, prune=SignPrograms(), batch_size=8, rtol=1e-8)
    return problem, method
