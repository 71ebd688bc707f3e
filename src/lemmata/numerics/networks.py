"""Networks as layer records: the one form in which networks travel and are bounded.

The records are the judge's (`lemmata_checker.network`); this is the same graph with JAX
arithmetic. Linear operations are actions, never matrices.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lemmata_checker.errors import Malformed
from lemmata_checker.network import CURVES, LINEAR, network_of

from ..core import AnyArray, InvalidArgument

PIECEWISE = ("relu", "leaky_relu")


class NodeSpec(NamedTuple):
    """One operation without its arrays; hashable. `shape`: of the result."""

    op: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    options: tuple[tuple[str, Any], ...] = ()

    def option(self, name: str) -> Any:
        """One option's value."""
        return dict(self.options)[name]

    @property
    def size(self) -> int:
        """Number of entries of the result."""
        return math.prod(self.shape)

    @property
    def low_slope(self) -> float:
        """The slope left of 0 of a piecewise linear activation."""
        return float(self.option("slope")) if self.op == "leaky_relu" else 0.0


class Network(eqx.Module):
    """A network as a list of operations and their arrays.

    Made by `from_equinox`, `from_onnx` or `Network.of`; called on one input of shape
    `input_shape` it gives the output, float64 inside `jax.enable_x64(True)`.

    **Fields:**

    - `input_shape`: shape of one input, without a batch.
    - `nodes`: operations in topological order, the last one is the output.
    - `weights`, `biases`: one array or None per node, float64.
    """

    input_shape: tuple[int, ...] = eqx.field(static=True)
    nodes: tuple[NodeSpec, ...] = eqx.field(static=True)
    weights: tuple[AnyArray | None, ...]
    biases: tuple[AnyArray | None, ...]

    @classmethod
    def of(cls, content: Any, arrays: Mapping[str, Any]) -> Self:
        """The network of records and arrays.

        **Raises:** `InvalidArgument`, naming node and operation.
        """
        try:
            found = network_of(content, arrays)
        except Malformed as error:
            where, _, rest = str(error).partition(": expected ")
            raise InvalidArgument(where, rest, "a network that is not so") from error
        nodes = tuple(
            NodeSpec(n.op, n.inputs, n.shape, _frozen(n.options)) for n in found.nodes
        )
        return cls(
            found.input_shape,
            nodes,
            tuple(n.weight for n in found.nodes),
            tuple(n.bias for n in found.nodes),
        )

    def records(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The packed form: content of `"network"` and arrays by name."""
        written: list[dict[str, Any]] = []
        arrays: dict[str, np.ndarray] = {}
        for k, node in enumerate(self.nodes):
            record = {"op": node.op, "inputs": list(node.inputs)}
            record |= {name: _thawed(value) for name, value in node.options}
            pair = {"weight": self.weights[k], "bias": self.biases[k]}
            for name, part in pair.items():
                if part is not None:
                    record[name] = f"network_{k}_{name}"
                    arrays[f"network_{k}_{name}"] = np.asarray(part, dtype="<f8")
            written.append(record)
        return {"input_shape": list(self.input_shape), "nodes": written}, arrays

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of a node's result; -1 is the input."""
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

    def positions(self, ops: Sequence[str] = CURVES) -> tuple[int, ...]:
        """Where nodes with one of these operations stand."""
        return tuple(k for k, node in enumerate(self.nodes) if node.op in ops)

    def __call__(self, x: Any, *, key: Any = None) -> Any:
        """The output at one input of shape `input_shape` (or flat)."""
        del key
        return self.values(x)[0][-1]

    def values(self, x: Any) -> tuple[list[Any], dict[int, Any]]:
        """Results of all nodes, and inputs of the activations by node."""
        results: list[Any] = []
        before: dict[int, Any] = {}
        x = jnp.asarray(x).reshape(self.input_shape)
        for k, node in enumerate(self.nodes):
            given = [x if i < 0 else results[i] for i in node.inputs]
            if node.op in LINEAR:
                results.append(self.affine(k, given))
                continue
            before[k] = given[0]
            results.append(activation(node, self.weights[k])(given[0]))
        return results, before

    def affine(self, k: int, given: Sequence[Any]) -> Any:
        """W x + b of a linear node."""
        out = self.linear(k, given)
        bias = self.bias(k)
        return out if bias is None else out + bias

    def bias(self, k: int) -> Any:
        """The constant of a linear node, in a form that adds to its result, or None."""
        bias = self.biases[k]
        if bias is not None and self.nodes[k].op == "conv":
            return bias[:, None, None]
        return bias

    def linear(self, k: int, given: Sequence[Any], size: bool = False) -> Any:
        """W x (|W| x where `size`), inputs (..., *shape) with any leading axes."""
        node = self.nodes[k]
        first = given[0]
        lead = first.shape[: first.ndim - len(self.shape(node.inputs[0]))]
        if node.op == "add":
            return sum(given[1:], first)
        if node.op == "concatenate":
            return jnp.concatenate(given, axis=len(lead) + node.option("axis"))
        if node.op == "reshape":
            return first.reshape(*lead, *node.shape)
        weight = self.weights[k]
        if weight is not None and size:
            weight = jnp.abs(weight)
        if node.op == "affine":
            return first if weight is None else first * weight
        if node.op == "dense":
            return first @ jnp.asarray(weight).T
        flat = first.reshape(-1, *self.shape(node.inputs[0]))
        if node.op == "conv":
            out = _convolved(flat, weight, node)
        else:
            out = _pooled(flat, node)
        return out.reshape(*lead, *node.shape)

    def transposed(self, k: int, above: Any, size: bool = False) -> tuple[Any, ...]:
        """W' a for each input of a linear node, a of shape (..., *node.shape)."""
        node = self.nodes[k]
        lead = above.shape[: above.ndim - len(node.shape)]
        like = [
            jax.ShapeDtypeStruct((*lead, *self.shape(i)), above.dtype)
            for i in node.inputs
        ]
        transpose = jax.linear_transpose(lambda *x: self.linear(k, x, size), *like)
        return transpose(above)


def activation(node: NodeSpec, weight: Any = None) -> Any:
    """The function of an activation node."""
    if node.op == "relu":
        return lambda z: jnp.maximum(z, 0.0)
    if node.op == "leaky_relu":
        return lambda z: jnp.where(z > 0, z, node.low_slope * z)
    if node.op == "group_sort":
        return lambda z: group_sort(z, node.option("size"))
    if node.op == "householder":
        return lambda z: householder(z, weight)
    return {
        "sigmoid": jax.nn.sigmoid,
        "tanh": jnp.tanh,
        "softplus": jax.nn.softplus,
    }[node.op]


def group_sort(z: Any, size: int) -> Any:
    """Sorts each `size` neighbours along the first axis, largest first."""
    groups = z.reshape(-1, size, *z.shape[1:])
    if size == 2:  # a comparison compiles faster than a sort
        one, two = groups[:, 0], groups[:, 1]
        groups = jnp.stack([jnp.maximum(one, two), jnp.minimum(one, two)], axis=1)
        return groups.reshape(z.shape)
    return -jnp.sort(-groups, axis=1).reshape(z.shape)


def householder(z: Any, vectors: Any) -> Any:
    """Reflects each group y with v'y <= 0: y - 2 v (v'y) / (v'v)."""
    v = jnp.asarray(vectors).reshape(*np.shape(vectors), *(1,) * (z.ndim - 1))
    groups = z.reshape(*np.shape(vectors), *z.shape[1:])
    along = jnp.sum(v * groups, axis=1, keepdims=True)
    share = along / jnp.sum(v * v, axis=1, keepdims=True)
    return jnp.where(along > 0, groups, groups - 2 * v * share).reshape(z.shape)


def _convolved(x: Any, weight: Any, node: NodeSpec) -> Any:
    """Convolution as one matrix product per offset of the kernel."""
    groups, (dh, dw) = node.option("groups"), node.option("dilation")
    out, width, kh, kw = weight.shape
    kernel = weight.reshape(groups, out // groups, width, kh, kw)
    padded = jnp.pad(x, ((0, 0), (0, 0), *node.option("padding")))
    total = 0.0
    for i, j in np.ndindex(kh, kw):
        part = _window(padded, i * dh, j * dw, node)
        part = part.reshape(len(x), groups, width, -1)
        total = total + jnp.einsum("goc,bgcp->bgop", kernel[..., i, j], part)
    return jnp.asarray(total).reshape(len(x), *node.shape)


def _pooled(x: Any, node: NodeSpec) -> Any:
    """The mean over each window."""
    kernel, pads = node.option("kernel"), node.option("padding")
    padded = jnp.pad(x, ((0, 0), (0, 0), *pads))
    total = sum(_window(padded, i, j, node) for i, j in np.ndindex(*kernel))
    if node.option("include_padding"):
        return total / math.prod(kernel)
    ones = np.pad(np.ones((1, 1, *x.shape[2:])), ((0, 0), (0, 0), *pads))
    counts = sum(_window(ones, i, j, node) for i, j in np.ndindex(*kernel))
    return total / counts


def _window(padded: Any, i: int, j: int, node: NodeSpec) -> Any:
    sh, sw = node.option("stride")
    rows = slice(i, i + sh * (node.shape[1] - 1) + 1, sh)
    return padded[:, :, rows, slice(j, j + sw * (node.shape[2] - 1) + 1, sw)]


def _frozen(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    def freeze(value: Any) -> Any:
        return tuple(map(freeze, value)) if isinstance(value, list | tuple) else value

    return tuple(sorted((name, freeze(value)) for name, value in options.items()))


def _thawed(value: Any) -> Any:
    return [_thawed(v) for v in value] if isinstance(value, tuple) else value
