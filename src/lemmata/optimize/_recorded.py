"""Recorded operations as JAX functions again."""

import json
from collections.abc import Mapping
from typing import Any, Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._program import inputs_of

Part = Literal["objective", "constraint"]


@final
class RecordedFunction(eqx.Module):
    """f or c of a program, as a function of x and of the arrays that it names.

    **Fields:** `program`: canonical JSON; `part`: which of the two.
    """

    program: str = eqx.field(static=True)
    part: Part = eqx.field(static=True)

    def content(self) -> dict[str, Any]:
        """The program as it is packed."""
        return json.loads(self.program)

    def __call__(self, x: Any, data: Mapping[str, Any] | None = None) -> Any:
        content = self.content()
        nodes, last = content["nodes"], content[self.part]
        values: dict[int, Any] = {}
        for place in sorted(_needed(nodes, last)):
            values[place] = _value(nodes[place], values, x, data or {})
        return values[last]


def recorded_functions(content: Any) -> tuple[RecordedFunction, RecordedFunction]:
    """Objective and constraint of a program as it is packed."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return RecordedFunction(text, "objective"), RecordedFunction(text, "constraint")


def _needed(nodes: list[Any], last: int) -> set[int]:
    found, stack = set(), [last]
    while stack:
        place = stack.pop()
        if place not in found:
            found.add(place)
            stack.extend(inputs_of(nodes[place]))
    return found


def _value(node: list[Any], values: Mapping[int, Any], x: Any, data: Any) -> Any:
    operation = node[0]
    if operation == "variable":
        return x
    if operation == "number":
        return jnp.asarray(node[1], dtype=jnp.float64)
    if operation == "array":
        return jnp.asarray(data[node[1]])
    inputs = [values[k] for k in inputs_of(node)]
    if operation == "power":
        return inputs[0] ** node[2]
    if operation == "real_power":
        return jnp.power(inputs[0], node[2])
    if operation == "sum":
        return jnp.sum(inputs[0], axis=tuple(node[2]))
    if operation == "view":
        return inputs[0].reshape(-1)[_places(*node[2:])]
    if operation == "take":
        index = np.asarray(node[2]) if isinstance(node[2], list) else data[node[2]]
        flat = jnp.concatenate([a.reshape(-1) for a in inputs])
        return flat[index].reshape(node[3])
    return FUNCTIONS[operation](*inputs)


def _places(start: int, strides: list[int], shape: list[int]) -> np.ndarray:
    places = np.full(shape, start)
    for axis, stride in enumerate(strides):
        line = [1] * len(shape)
        line[axis] = shape[axis]
        places = places + stride * np.arange(shape[axis]).reshape(line)
    return places


FUNCTIONS: dict[str, Any] = {
    "add": jnp.add,
    "subtract": jnp.subtract,
    "multiply": jnp.multiply,
    "maximum": jnp.maximum,
    "minimum": jnp.minimum,
    "less": jnp.less,
    "less_equal": jnp.less_equal,
    "and": jnp.logical_and,
    "or": jnp.logical_or,
    "not": jnp.logical_not,
    "select": jnp.where,
    "negative": jnp.negative,
    "matmul": jnp.matmul,
    "exp": jnp.exp,
    "log": jnp.log,
    "sqrt": jnp.sqrt,
    "reciprocal": jnp.reciprocal,
    "logistic": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "abs": jnp.abs,
    "sign": jnp.sign,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "asin": jnp.arcsin,
    "acos": jnp.arccos,
    "atan": jnp.arctan,
    "sinh": jnp.sinh,
    "cosh": jnp.cosh,
    "tanh": jnp.tanh,
    "asinh": jnp.arcsinh,
    "acosh": jnp.arccosh,
    "atanh": jnp.arctanh,
    "log1p": jnp.log1p,
    "expm1": jnp.expm1,
    "erf": jax.scipy.special.erf,
    "erfc": jax.scipy.special.erfc,
    "cbrt": jnp.cbrt,
}
