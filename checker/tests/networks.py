"""Random networks and exact evaluation in fractions, for the tests of their rules."""

from fractions import Fraction as F

import numpy as np


def dense_network(sizes, rng, op="relu", **options):
    """Records and arrays of dense layers with activations between them."""
    nodes, arrays = [], {}
    for i, (size, following) in enumerate(zip(sizes, sizes[1:], strict=False)):
        k = len(nodes)
        arrays[f"network_{k}_weight"] = rng.normal(size=(following, size)) / size**0.5
        arrays[f"network_{k}_bias"] = 0.3 * rng.normal(size=following)
        parts = {p: f"network_{k}_{p}" for p in ("weight", "bias")}
        nodes.append({"op": "dense", "inputs": [k - 1], **parts})
        if i < len(sizes) - 2:
            nodes.append({"op": op, "inputs": [k], **options})
    return {"input_shape": [sizes[0]], "nodes": nodes}, arrays


def image_network(rng, op="relu"):
    """Everything at once: convolution, pool, residual sum, concatenation, scale."""
    arrays = {
        "network_0_weight": rng.normal(size=(4, 1, 3, 3)) / 3,
        "network_0_bias": 0.3 * rng.normal(size=4),
        "network_2_weight": rng.normal(size=(4, 2, 3, 1)) / 3,
        "network_4_weight": rng.uniform(0.5, 2, size=(4, 1, 1)),
        "network_4_bias": rng.normal(size=(4, 1, 1)),
        "network_9_weight": rng.normal(size=(3, 32)) / 6,
    }
    first = {
        "op": "conv",
        "inputs": [-1],
        "weight": "network_0_weight",
        "bias": "network_0_bias",
        "stride": [2, 1],
        "padding": [[1, 1], [1, 0]],
        "dilation": [1, 1],
        "groups": 2,
    }
    second = {
        "op": "conv",
        "inputs": [1],
        "weight": "network_2_weight",
        "stride": [1, 1],
        "padding": [[2, 0], [0, 0]],
        "dilation": [1, 2],
        "groups": 2,
    }
    pool = {
        "op": "average_pool",
        "inputs": [6],
        "kernel": [2, 2],
        "stride": [1, 2],
        "padding": [[1, 0], [0, 1]],
        "include_padding": False,
    }
    nodes = [
        first,
        {"op": op, "inputs": [0]},
        second,
        {"op": "add", "inputs": [1, 2]},
        {
            "op": "affine",
            "inputs": [3],
            "weight": "network_4_weight",
            "bias": "network_4_bias",
        },
        {"op": op, "inputs": [4]},
        {"op": "concatenate", "inputs": [5, 1], "axis": 0},
        pool,
        {"op": "reshape", "inputs": [7], "shape": [32]},
        {"op": "dense", "inputs": [8], "weight": "network_9_weight"},
    ]
    return {"input_shape": [2, 4, 4], "nodes": nodes}, arrays


def exact_rows(content, arrays, point):
    """Value and Jacobian of dense ReLU layers at a point, exactly; None at a kink."""
    h = [F(x) for x in point.tolist()]
    rows = [[F(int(i == j)) for j in range(len(h))] for i in range(len(h))]
    for record in content["nodes"]:
        if record["op"] == "dense":
            w = [[F(x) for x in row] for row in arrays[record["weight"]].tolist()]
            b = [F(x) for x in arrays[record["bias"]].tolist()]
            columns = list(zip(*rows, strict=True))
            rows = [[dot(row, column) for column in columns] for row in w]
            h = [dot(row, h) + c for row, c in zip(w, b, strict=True)]
            continue
        a = F(record.get("slope", 0))
        if any(z == 0 for z in h):
            return None
        rows = [
            row if z > 0 else [a * g for g in row]
            for row, z in zip(rows, h, strict=True)
        ]
        h = [z if z > 0 else a * z for z in h]
    return h, rows


def dot(a, b):
    return sum((p * q for p, q in zip(a, b, strict=True)), F(0))


def problem(
    content, arrays, lower, upper, output="all", kind="local_lipschitz", **json
):
    """A packed problem."""
    from lemmata_checker.packed import Packed

    fields = {"network": content, "output": output, **json}
    parts = {
        **arrays,
        "lower": np.asarray(lower, float),
        "upper": np.asarray(upper, float),
    }
    return Packed(f"certify.{kind}/1", fields, parts)
