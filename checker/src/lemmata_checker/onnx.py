"""ONNX files as networks: a bounded subset, without the `onnx` package.

`Gemm`, `MatMul`, `Conv`, `AveragePool`, `GlobalAveragePool`, `BatchNormalization`,
`Add`, `Sub`, `Mul`, `Div`, `Concat`, `Flatten`, `Reshape`, `Relu`, `LeakyRelu`,
`Sigmoid`, `Tanh`, `Softplus`, `Identity`, `Dropout` and `Constant`. Weights in float32
are lifted to float64 exactly; a normalisation is folded into a scale and a shift,
computed in float64, and the network means these.

The first axis of input and output is a batch of one (or symbolic); no other axis may be
symbolic. Source: the operator list at onnx.ai, opsets 7 to 23.
"""

from pathlib import Path
from typing import Any

import numpy as np

from .errors import Malformed, Unreadable
from .network import network_of
from .onnx_images import Value
from .onnx_operators import Operators
from .onnx_wire import Graph, Node, read_graph

_ADVICE = {
    "MaxPool": "use AveragePool, or a Conv with a stride",
    "GlobalMaxPool": "use GlobalAveragePool",
    "Softmax": "ask about the scores before it",
    "LogSoftmax": "ask about the scores before it",
    "ArgMax": "ask about the scores before it",
}
_CURVES = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus"}


def parse_onnx(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Records and arrays of the network in an ONNX file's bytes.

    **Raises:** `Unreadable`, naming the node.
    """
    builder = _Builder(read_graph(data))
    content, arrays = builder.build()
    try:
        network_of(content, arrays)
    except Malformed as error:
        raise Unreadable(f"not a network that can be judged: {error}") from error
    return content, arrays


def read_onnx(path: str | Path, max_bytes: int = 2**30) -> Any:
    """As `parse_onnx`, from a file."""
    from .readers import read_bytes

    try:
        return parse_onnx(read_bytes(path, max_bytes))
    except Unreadable as error:
        raise Unreadable(f"{path}: {error}") from error


class _Builder(Operators):
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        inputs = [p for p in graph.inputs if p.name not in graph.constants]
        if len(inputs) != 1 or len(graph.outputs) != 1:
            counts = f"{len(inputs)} inputs and {len(graph.outputs)} outputs"
            raise Unreadable(f"has {counts}, expected one of each")
        batched, self.shape = _input_shape(inputs[0].sizes)
        super().__init__(dict(graph.constants), batched)
        self.values[inputs[0].name] = Value(-1, self.shape)

    def build(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        for position, node in enumerate(self.graph.nodes):
            where = f"node {node.name or position!r} ({node.op})"
            try:
                self._node(node)
            except Unreadable as error:
                raise Unreadable(f"{where}: {error}") from error
        found = self.values.get(self.graph.outputs[0].name)
        if found is None or found.node < 0:
            raise Unreadable("the output is no layer's result: there is no network")
        return self._pruned(found.node)

    def _pruned(self, last: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What the output needs, numbered anew."""
        used, pending = set(), [last]
        while pending:
            k = pending.pop()
            if k >= 0 and k not in used:
                used.add(k)
                pending += self.nodes[k]["inputs"]
        place = {k: i for i, k in enumerate(sorted(used))} | {-1: -1}
        written, arrays = [], {}
        for k in sorted(used):
            record = dict(self.nodes[k])
            record["inputs"] = [place[i] for i in record["inputs"]]
            for name, array in self.parts[k].items():
                record[name] = f"network_{place[k]}_{name}"
                arrays[record[name]] = np.array(array, dtype="<f8")
            written.append(record)
        return {"input_shape": list(self.shape), "nodes": written}, arrays

    def _node(self, node: Node) -> None:
        if node.domain not in ("", "ai.onnx"):
            raise Unreadable(f"operators of {node.domain!r} are not known")
        handler = getattr(self, f"_op_{node.op.lower()}", None)
        if node.op in _CURVES:
            self._add(node, {"op": _CURVES[node.op]}, [self._value(node, 0)])
        elif handler is None or not node.op.isalnum():
            advice = _ADVICE.get(node.op, "it is not among those that can be bounded")
            raise Unreadable(f"operator {node.op} is not supported; {advice}")
        else:
            handler(node)


def _input_shape(sizes: list[int | None] | None) -> tuple[bool, tuple[int, ...]]:
    if not sizes:
        raise Unreadable("the input has no shape; export with a fixed one")
    batched = len(sizes) > 1
    rest = sizes[1:] if batched else sizes
    if batched and sizes[0] not in (None, 1):
        raise Unreadable(f"the input is a batch of {sizes[0]}; export with one of 1")
    if any(n is None or not 0 < n < 2**24 for n in rest):
        raise Unreadable(f"the input's shape is dynamic ({sizes}); export a fixed one")
    return batched, tuple(int(n) for n in rest if n is not None)
