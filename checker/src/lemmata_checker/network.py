"""Neural networks as layer records, read, checked and bounded before use.

A network is `{"input_shape": [...], "nodes": [...]}` and arrays. Nodes stand in
topological order; the last one is the output. Each is an object with `op`, `inputs`
(positions of earlier nodes, -1 for the network's input) and, by operation:

- `dense`: `weight` (out, in), `bias` (out,) or absent; input of shape (in,).
- `conv`: `weight` (out, in / groups, kh, kw), `bias` (out,) or absent, `stride` and
  `dilation` [h, w], `padding` [[top, bottom], [left, right]], `groups`; input
  of shape (in, h, w).
- `average_pool`: `kernel`, `stride`, `padding` as above, `include_padding`: whether
  the zeros of the padding count; input (c, h, w).
- `reshape`: `shape`, in C order. `affine`: x * `weight` + `bias`, either may be absent,
  both broadcast to the input's shape. `add`: two or more inputs of one shape.
  `concatenate`: along `axis`.
- `relu`; `leaky_relu` with `slope` in [0, 1]; `sigmoid`; `tanh`; `softplus`.
- `group_sort` with `size`: each `size` neighbours along the first axis, largest first.
- `householder`: `weight` v (groups, size): each `size` neighbours y along the first
  axis become y where v'y > 0, else y - 2 v (v'y) / (v'v).

`weight` and `bias` name float64 arrays, `network_<k>_weight`. The meaning is that of
exact real arithmetic on these float64 numbers.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .errors import Malformed
from .network_shapes import LARGEST, RESULTS, need, read_shape, same

MOST_NODES = 4_000
CURVES = ("relu", "leaky_relu", "sigmoid", "tanh", "softplus")
"""Activations that work entry by entry."""
LINEAR = ("dense", "conv", "average_pool", "reshape", "affine", "add", "concatenate")
"""Operations that are linear, but for a constant."""
_OPTIONS: dict[str, tuple[str, ...]] = {
    "conv": ("stride", "padding", "dilation", "groups"),
    "average_pool": ("kernel", "stride", "padding", "include_padding"),
    "reshape": ("shape",),
    "concatenate": ("axis",),
    "leaky_relu": ("slope",),
    "group_sort": ("size",),
    **dict.fromkeys(("dense", "affine", "add", "householder"), ()),
    **dict.fromkeys(("relu", "sigmoid", "tanh", "softplus"), ()),
}
_ARRAYS = {"dense", "conv", "affine", "householder"}
_NEEDS_WEIGHT = {"dense", "conv", "householder"}


class Node(NamedTuple):
    """One operation; `shape` is that of its result, without a batch."""

    op: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    options: Mapping[str, Any]
    weight: np.ndarray | None
    bias: np.ndarray | None

    @property
    def size(self) -> int:
        """Number of entries of the result."""
        return math.prod(self.shape)


class Network(NamedTuple):
    """Checked nodes. `shape(-1)` is the input's."""

    input_shape: tuple[int, ...]
    nodes: tuple[Node, ...]

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of a node's result."""
        return self.input_shape if index < 0 else self.nodes[index].shape

    def size(self, index: int) -> int:
        """Number of entries of a node's result."""
        return math.prod(self.shape(index))

    @property
    def inputs(self) -> int:
        """Number of input entries, d."""
        return math.prod(self.input_shape)

    @property
    def outputs(self) -> int:
        """Number of output entries, K."""
        return self.nodes[-1].size

    def positions(self, ops: tuple[str, ...]) -> tuple[int, ...]:
        """Where nodes with one of these operations stand."""
        return tuple(k for k, node in enumerate(self.nodes) if node.op in ops)


def network_of(content: Any, arrays: Mapping[str, np.ndarray]) -> Network:
    """The network of records and arrays.

    **Raises:** `Malformed`, naming node and operation.
    """
    need(isinstance(content, dict), "network", "an object")
    need(set(content) == {"input_shape", "nodes"}, "network", "input_shape and nodes")
    shape = read_shape(content["input_shape"], "network.input_shape")
    written = content["nodes"]
    fits = isinstance(written, list) and 0 < len(written) <= MOST_NODES
    need(fits, "network.nodes", f"1 to {MOST_NODES} nodes")
    nodes: list[Node] = []
    for position, record in enumerate(written):
        where = f"network.nodes[{position}]"
        need(isinstance(record, dict), where, "an object")
        nodes.append(_node(record, where, shape, nodes, arrays))
    used = {i for node in nodes for i in node.inputs} | {len(nodes) - 1}
    unused = sorted(set(range(len(nodes))) - used)
    need(not unused, "network.nodes", f"every node used, but for {unused[:5]}")
    return Network(shape, tuple(nodes))


def array_names(content: Any) -> list[str]:
    """The names of the arrays that records speak of."""
    return [r[k] for r in content["nodes"] for k in ("weight", "bias") if k in r]


def _node(
    record: dict[str, Any],
    where: str,
    input_shape: tuple[int, ...],
    nodes: list[Node],
    arrays: Mapping[str, np.ndarray],
) -> Node:
    op = record.get("op")
    need(isinstance(op, str) and op in _OPTIONS, where, f"a known op, got {op!r}")
    assert isinstance(op, str)
    where = f"{where} ({op})"
    allowed = {"op", "inputs", *_OPTIONS[op]}
    allowed |= {"weight", "bias"} if op in _ARRAYS - {"householder"} else set()
    allowed |= {"weight"} if op == "householder" else set()
    extra = set(record) - allowed
    need(not extra, where, f"none of {', '.join(sorted(map(str, extra)))}")
    missing = {*_OPTIONS[op], "inputs"} - set(record)
    missing |= {"weight"} - set(record) if op in _NEEDS_WEIGHT else set()
    need(not missing, where, f"{', '.join(sorted(missing))}")
    inputs = record["inputs"]
    many = op in ("add", "concatenate")
    fits = isinstance(inputs, list) and all(
        type(i) is int and -1 <= i < len(nodes) for i in inputs
    )
    need(fits, where, "inputs that are earlier nodes")
    enough = 2 <= len(inputs) <= 64 if many else len(inputs) == 1
    need(enough, where, "two inputs or more" if many else "one input")
    given = [input_shape if i < 0 else nodes[i].shape for i in inputs]
    options = {name: record[name] for name in _OPTIONS[op]}
    parts = [_array(record.get(k), arrays, f"{where}.{k}") for k in ("weight", "bias")]
    shape = RESULTS.get(op, same)(given, options, parts[0], parts[1], where)
    need(0 < math.prod(shape) <= LARGEST, where, f"1 to {LARGEST} entries")
    return Node(op, tuple(inputs), shape, options, parts[0], parts[1])


def _array(
    name: Any, arrays: Mapping[str, np.ndarray], where: str
) -> np.ndarray | None:
    if name is None:
        return None
    array = arrays.get(name) if isinstance(name, str) else None
    if array is None:
        raise Malformed(f"{where}: expected the name of an array, got {name!r}")
    need(array.dtype == np.float64, where, f"float64, got {array.dtype}")
    need(array.size <= LARGEST, where, f"at most {LARGEST} entries")
    bad = int(np.sum(~np.isfinite(array)))
    need(bad == 0, where, f"finite entries, got {bad} not finite")
    return array
