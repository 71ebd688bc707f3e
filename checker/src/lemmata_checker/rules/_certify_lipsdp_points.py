"""What a network of dense layers gives at two points, in ball arithmetic.

Differences of outputs at near points cancel, and float64 intervals widen with every
layer; at 256 bits neither matters.
"""

from typing import Any

import flint
import numpy as np

from ..network import Network, Node
from ._certify_lipsdp_question import GROUPED, Array, group_shape

BITS = 256
MOST_PRODUCTS = 2_000_000
_KNOWN = ("dense", "affine", "reshape", "add", "relu", "leaky_relu", *GROUPED)


def exact_change(network: Network, pair: Array, picked: Array) -> Array | None:
    """Lower bounds on |f_i(x) - f_i(y)| of some outputs; None for other networks."""
    work = sum(n.weight.size for n in network.nodes if n.weight is not None)
    flat = all(len(n.shape) == 1 for n in network.nodes if n.op in GROUPED)
    known = all(n.op in _KNOWN for n in network.nodes)
    if not (known and flat) or 2 * work > MOST_PRODUCTS:
        return None
    before = flint.ctx.prec
    flint.ctx.prec = BITS
    try:
        one, two = (_output(network, x.tolist()) for x in pair)
        change = [abs(one[i] - two[i]) for i in picked.tolist()]
        lows = [float(c.lower()) if c > 0 else 0.0 for c in change]
    finally:
        flint.ctx.prec = before
    return np.maximum(np.nextafter(lows, 0.0), 0.0)


def _output(network: Network, x: list[float]) -> list[Any]:
    values: list[list[Any]] = [[flint.arb(v) for v in x]]
    for node in network.nodes:
        values.append(_node(node, [values[i + 1] for i in node.inputs]))
    return values[-1]


def _node(node: Node, given: list[list[Any]]) -> list[Any]:
    first = given[0]
    if node.op == "add":
        return [sum(parts[1:], parts[0]) for parts in zip(*given, strict=True)]
    if node.op == "reshape":
        return first
    if node.op in ("dense", "affine"):
        return _linear(node, first)
    if node.op in ("relu", "leaky_relu"):
        slope = flint.arb(float(node.options.get("slope", 0.0)))
        # max(z, slope z) = z - (1 - slope) min(z, 0)
        return [z - (1 - slope) * (z - abs(z)) / 2 for z in first]
    _, size, _ = group_shape(node)
    groups = [first[i : i + size] for i in range(0, len(first), size)]
    if node.op == "group_sort":
        return [z for group in groups for z in _sorted(group)]
    assert node.weight is not None
    out = []
    for group, vector in zip(groups, node.weight.tolist(), strict=True):
        v = [flint.arb(a) for a in vector]
        along = sum((a * z for a, z in zip(v, group, strict=True)), flint.arb(0))
        share = (along - abs(along)) / sum((a * a for a in v), flint.arb(0))
        out += [z - a * share for a, z in zip(v, group, strict=True)]
    return out


def _linear(node: Node, first: list[Any]) -> list[Any]:
    if node.op == "dense":
        assert node.weight is not None
        entries = [flint.arb(w) for w in node.weight.reshape(-1).tolist()]
        rows, columns = node.weight.shape
        matrix = flint.arb_mat(rows, columns, entries)
        out = (matrix * flint.arb_mat(len(first), 1, first)).entries()
    else:
        factor = np.ones(()) if node.weight is None else node.weight
        factor = np.broadcast_to(factor, node.shape).reshape(-1).tolist()
        out = [flint.arb(w) * z for w, z in zip(factor, first, strict=True)]
    if node.bias is not None:
        bias = np.broadcast_to(node.bias, node.shape).reshape(-1).tolist()
        out = [z + flint.arb(b) for z, b in zip(out, bias, strict=True)]
    return out


def _sorted(group: list[Any]) -> list[Any]:
    """Largest first, by exchanges: max and min of balls enclose those of the reals."""
    group = list(group)
    for i in range(len(group)):
        for j in range(len(group) - 1 - i):
            a, b = group[j], group[j + 1]
            group[j], group[j + 1] = a.max(b), a.min(b)
    return group
