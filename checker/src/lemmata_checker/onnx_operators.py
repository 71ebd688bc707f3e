"""ONNX operators on vectors and shapes, as layer records."""

import math

import numpy as np

from .errors import Unreadable
from .onnx_images import ImageOperators, Value, floats
from .onnx_wire import Node


class Operators(ImageOperators):
    """One method per operator, `_op_<name in lower case>`."""

    def _op_constant(self, node: Node) -> None:
        value = node.attributes.get("value", node.attributes.get("value_float"))
        if value is None:
            value = node.attributes.get("value_int", node.attributes.get("value_ints"))
        if value is None or not node.outputs:
            raise Unreadable("holds no tensor")
        self.constants[node.outputs[0]] = np.asarray(value)

    def _op_identity(self, node: Node) -> None:
        if self._is_constant(node, 0):
            self.constants[node.outputs[0]] = self._constant(node, 0)
        else:
            self.values[node.outputs[0]] = self._value(node, 0)

    def _op_dropout(self, node: Node) -> None:
        if len(node.inputs) > 2 and node.inputs[2]:
            raise Unreadable("training mode; export for inference")
        self._op_identity(node)

    def _op_gemm(self, node: Node) -> None:
        given, b = self._value(node, 0), floats(self._constant(node, 1))
        options = node.attributes
        if options.get("transA", 0) or b.ndim != 2 or not self.batched:
            raise Unreadable("expected rows times a constant matrix")
        weight = b if options.get("transB", 0) else b.T
        bias = self._constant(node, 2, optional=True)
        if bias is not None:
            bias = floats(bias) * float(options.get("beta", 1.0))
            bias = np.broadcast_to(bias, (1, len(weight))).reshape(-1)
        weight = weight * float(options.get("alpha", 1.0))
        self._dense(node, given, weight, bias)

    def _op_matmul(self, node: Node) -> None:
        given, b = self._value(node, 0), floats(self._constant(node, 1))
        if b.ndim != 2:
            raise Unreadable("expected rows times a constant matrix")
        self._dense(node, given, b.T, None)

    def _dense(self, node: Node, given: Value, weight, bias) -> None:
        if given.shape != weight.shape[1:]:
            got = f"{given.shape} for a matrix of {weight.shape[1]} rows"
            raise Unreadable(f"expected a flat input that fits, got {got}")
        self._add(
            node, {"op": "dense"}, [given], weight.shape[:1], weight=weight, bias=bias
        )

    def _op_add(self, node: Node) -> None:
        self._sum(node, 1.0)

    def _op_sub(self, node: Node) -> None:
        self._sum(node, -1.0)

    def _sum(self, node: Node, sign: float) -> None:
        fixed = [self._is_constant(node, i) for i in (0, 1)]
        if fixed[1]:
            given = self._value(node, 0)
            bias = sign * self._fitted(self._constant(node, 1), given)
            self._add(node, {"op": "affine"}, [given], bias=bias)
        elif fixed[0]:
            given = self._value(node, 1)
            bias = self._fitted(self._constant(node, 0), given)
            weight = None if sign > 0 else np.full((), -1.0)
            self._add(node, {"op": "affine"}, [given], weight=weight, bias=bias)
        else:
            first, second = self._value(node, 0), self._value(node, 1)
            if first.shape != second.shape:
                raise Unreadable(f"adds {first.shape} and {second.shape}")
            if sign < 0:
                minus = Node("", node.name, "", [], [f"{node.outputs[0]} minus"])
                self._add(minus, {"op": "affine"}, [second], weight=np.full((), -1.0))
                second = self.values[minus.outputs[0]]
            self._add(node, {"op": "add"}, [first, second])

    def _op_mul(self, node: Node) -> None:
        side = 0 if self._is_constant(node, 0) else 1
        given = self._value(node, 1 - side)
        weight = self._fitted(self._constant(node, side), given)
        self._add(node, {"op": "affine"}, [given], weight=weight)

    def _op_div(self, node: Node) -> None:
        given = self._value(node, 0)
        divisor = self._fitted(self._constant(node, 1), given)
        if np.any(divisor == 0):
            raise Unreadable("divides by zero")
        self._add(node, {"op": "affine"}, [given], weight=1.0 / divisor)

    def _fitted(self, array: np.ndarray, given: Value) -> np.ndarray:
        """A constant without the axis of the batch."""
        array = floats(array)
        if self.batched and array.ndim == len(given.shape) + 1:
            if array.shape[0] != 1:
                raise Unreadable(f"a constant of shape {array.shape} has a batch")
            array = array[0]
        try:
            if np.broadcast_shapes(array.shape, given.shape) == given.shape:
                return array
        except ValueError:
            pass
        raise Unreadable(f"a constant of shape {array.shape} for {given.shape}")

    def _op_leakyrelu(self, node: Node) -> None:
        slope = float(node.attributes.get("alpha", np.float32(0.01)))
        self._add(node, {"op": "leaky_relu", "slope": slope}, [self._value(node, 0)])

    def _op_flatten(self, node: Node) -> None:
        given = self._value(node, 0)
        if node.attributes.get("axis", 1) != 1 or not self.batched:
            raise Unreadable("expected axis 1, behind the batch")
        self._reshaped(node, given, (math.prod(given.shape),))

    def _op_reshape(self, node: Node) -> None:
        given, wanted = self._value(node, 0), self._constant(node, 1)
        sizes = [int(n) for n in np.asarray(wanted).reshape(-1)]
        full = [1, *given.shape] if self.batched else list(given.shape)
        for i, n in enumerate(sizes):
            if n == 0 and not node.attributes.get("allowzero", 0):
                if i >= len(full):
                    raise Unreadable(f"shape {sizes} does not fit {full}")
                sizes[i] = full[i]
        if self.batched and sizes[:1] == [-1] and -1 not in sizes[1:]:
            sizes[0] = 1
        if sizes.count(-1) == 1:
            rest = -math.prod(sizes)
            sizes[sizes.index(-1)] = math.prod(full) // rest if rest > 0 else 0
        if self.batched and sizes[:1] != [1]:
            raise Unreadable(f"shape {sizes} does not keep the batch")
        self._reshaped(node, given, tuple(sizes[1:] if self.batched else sizes))

    def _reshaped(self, node: Node, given: Value, shape: tuple[int, ...]) -> None:
        if math.prod(shape) != math.prod(given.shape):
            raise Unreadable(f"{given.shape} does not fit into {shape}")
        if shape == given.shape:
            self.values[node.outputs[0]] = given
            return
        self._add(node, {"op": "reshape", "shape": list(shape)}, [given], shape)

    def _op_concat(self, node: Node) -> None:
        given = [self._value(node, i) for i in range(len(node.inputs))]
        axis, rank = node.attributes.get("axis", 0), len(given[0].shape)
        axis = axis + rank + self.batched if axis < 0 else axis
        axis -= self.batched
        if not 0 <= axis < rank or any(len(v.shape) != rank for v in given):
            raise Unreadable("expected an axis behind the batch")
        shape = list(given[0].shape)
        shape[axis] = sum(v.shape[axis] for v in given)
        if len(given) == 1:
            self.values[node.outputs[0]] = given[0]
            return
        self._add(node, {"op": "concatenate", "axis": axis}, given, tuple(shape))
