"""ONNX operators on images, and those that read more than one constant."""

from typing import Any, NamedTuple

import numpy as np

from .errors import Unreadable
from .onnx_wire import Node


class Value(NamedTuple):
    """A result: `node` is its position (-1: input), `shape` without the batch."""

    node: int
    shape: tuple[int, ...]


class Builder:
    """What operators need: results so far, constants, and a place for records."""

    def __init__(self, constants: dict[str, np.ndarray], batched: bool) -> None:
        self.constants, self.batched = constants, batched
        self.nodes: list[dict[str, Any]] = []
        self.parts: list[dict[str, np.ndarray]] = []
        self.values: dict[str, Value] = {}

    def _add(
        self,
        node: Node,
        record: dict[str, Any],
        given: list[Value],
        shape: tuple[int, ...] | None = None,
        **parts: np.ndarray | None,
    ) -> None:
        shape = given[0].shape if shape is None else shape
        self.nodes.append(record | {"inputs": [v.node for v in given]})
        self.parts.append({k: a for k, a in parts.items() if a is not None})
        if not node.outputs:
            raise Unreadable("has no output")
        self.values[node.outputs[0]] = Value(len(self.nodes) - 1, shape)

    def _value(self, node: Node, i: int) -> Value:
        name = node.inputs[i] if i < len(node.inputs) else ""
        if name not in self.values:
            raise Unreadable(f"input {name!r} is no layer's result")
        return self.values[name]

    def _constant(self, node: Node, i: int, optional: bool = False) -> Any:
        name = node.inputs[i] if i < len(node.inputs) else ""
        if name in self.constants:
            return self.constants[name]
        if optional and not name:
            return None
        raise Unreadable(f"input {name!r} is not a constant")

    def _is_constant(self, node: Node, i: int) -> bool:
        return i < len(node.inputs) and node.inputs[i] in self.constants


class ImageOperators(Builder):
    """`Conv`, pooling and normalisation."""

    def _op_batchnormalization(self, node: Node) -> None:
        given = self._value(node, 0)
        scale, shift, mean, variance = (
            floats(self._constant(node, i)) for i in (1, 2, 3, 4)
        )
        if node.attributes.get("training_mode", 0):
            raise Unreadable("training mode; export for inference")
        gain = scale / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))
        shape = (-1, *(1,) * (len(given.shape) - 1))
        offset = (shift - gain * mean).reshape(shape)
        self._add(
            node, {"op": "affine"}, [given], weight=gain.reshape(shape), bias=offset
        )

    def _op_conv(self, node: Node) -> None:
        given, weight = self._value(node, 0), floats(self._constant(node, 1))
        bias = self._constant(node, 2, optional=True)
        if weight.ndim != 4 or len(given.shape) != 3 or not self.batched:
            raise Unreadable("expected two-dimensional images")
        options = _windows(node) | {
            "dilation": _pair(node, "dilations"),
            "groups": int(node.attributes.get("group", 1)),
        }
        kernel, dilation = weight.shape[2:], options["dilation"]
        shape = (len(weight), *_counts(given, kernel, options, dilation))
        bias = None if bias is None else floats(bias)
        self._add(
            node, {"op": "conv"} | options, [given], shape, weight=weight, bias=bias
        )

    def _op_averagepool(self, node: Node) -> None:
        given = self._value(node, 0)
        kernel = _pair(node, "kernel_shape")
        if len(given.shape) != 3 or node.attributes.get("ceil_mode", 0):
            raise Unreadable("expected two-dimensional images, ceil_mode 0")
        if _pair(node, "dilations") != [1, 1]:
            raise Unreadable("expected no dilation")
        counted = bool(node.attributes.get("count_include_pad", 0))
        options = _windows(node) | {"kernel": kernel, "include_padding": counted}
        shape = (given.shape[0], *_counts(given, kernel, options, [1, 1]))
        self._add(node, {"op": "average_pool"} | options, [given], shape)

    def _op_globalaveragepool(self, node: Node) -> None:
        given = self._value(node, 0)
        if len(given.shape) != 3:
            raise Unreadable("expected two-dimensional images")
        record = {
            "op": "average_pool",
            "kernel": list(given.shape[1:]),
            "stride": [1, 1],
            "padding": [[0, 0], [0, 0]],
            "include_padding": True,
        }
        self._add(node, record, [given], (given.shape[0], 1, 1))


def floats(array: Any) -> np.ndarray:
    """A constant as float64."""
    array = np.asarray(array)
    if array.dtype.kind != "f":
        raise Unreadable(f"holds {array.dtype} weights, expected real numbers")
    return array.astype(np.float64)


def _pair(node: Node, name: str, default: int = 1) -> list[int]:
    value = node.attributes.get(name, [default, default])
    fits = isinstance(value, list) and len(value) == 2
    if not fits or not all(type(n) is int and 0 < n < 2**16 for n in value):
        raise Unreadable(f"{name}: expected two positive integers, got {value!r}")
    return value


def _windows(node: Node) -> dict[str, Any]:
    """Stride and padding."""
    if node.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise Unreadable("auto_pad: export with explicit pads")
    pads = node.attributes.get("pads", [0, 0, 0, 0])
    fits = isinstance(pads, list) and len(pads) == 4
    if not fits or not all(type(n) is int and 0 <= n < 2**16 for n in pads):
        raise Unreadable(f"pads: expected four integers >= 0, got {pads!r}")
    top, left, bottom, right = pads
    padding = [[top, bottom], [left, right]]
    return {"stride": _pair(node, "strides"), "padding": padding}


def _counts(given: Value, kernel: Any, options: Any, dilation: Any) -> list[int]:
    counts = []
    for axis in (0, 1):
        room = given.shape[1 + axis] + sum(options["padding"][axis])
        room -= dilation[axis] * (kernel[axis] - 1)
        if room < 1:
            raise Unreadable("the window does not fit into its input")
        counts.append((room - 1) // options["stride"][axis] + 1)
    return counts
