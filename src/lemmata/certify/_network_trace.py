"""A traced function, walked operation by operation into layer records."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..core import InvalidArgument

_ADVICE = {
    "reduce_window_max": "max-pooling; use average pooling, or strides",
    "reduce_max": "a maximum; ask about the scores before a softmax or argmax",
    "exp": "an exponential; ask about the scores before a softmax",
    "argmax": "an argmax; ask about the scores before it",
}
_NAMED = {"relu": "relu", "softplus": "softplus", "sigmoid": "sigmoid", "tanh": "tanh"}
_CALLS = ("jit", "pjit", "closed_call", "core_call", "remat", "checkpoint")
_CUSTOM = ("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")
_SORT = "lemmata_group_sort_"


class View(NamedTuple):
    """A node's result with its axes in another order; axis None has length one.

    `shape`: as the traced function sees it. Axes of the node that are not listed have
    length one.
    """

    node: int
    axes: tuple[int | None, ...]
    shape: tuple[int, ...]


def refuse(operation: str) -> InvalidArgument:
    """The error for what cannot be recorded."""
    expected = "operations that can be recorded (see from_equinox)"
    return InvalidArgument(
        "from_equinox.module", expected, _ADVICE.get(operation, operation)
    )


class Recorder:
    """Nodes written so far."""

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        self.input_shape = input_shape
        self.records: list[dict[str, Any]] = []
        self.parts: list[dict[str, np.ndarray]] = []
        self.shapes: list[tuple[int, ...]] = []

    def shape(self, node: int) -> tuple[int, ...]:
        """Shape of a node's result."""
        return self.input_shape if node < 0 else self.shapes[node]

    def add(
        self,
        record: dict[str, Any],
        inputs: list[int],
        shape: tuple[int, ...],
        **parts: Any,
    ) -> View:
        """One more node, and its plain view."""
        self.records.append(record | {"inputs": inputs})
        self.parts.append(
            {k: np.asarray(a, np.float64) for k, a in parts.items() if a is not None}
        )
        self.shapes.append(tuple(shape))
        return View(len(self.records) - 1, tuple(range(len(shape))), tuple(shape))

    def plain(self, view: View) -> View:
        """The same entries as a node of the view's own shape, in C order."""
        kept = [a for a in view.axes if a is not None]
        if kept != sorted(kept):
            raise refuse("a transposition that reaches other operations")
        shape = view.shape or (1,)
        if self.shape(view.node) == shape:
            return View(view.node, tuple(range(len(shape))), shape)
        record = {"op": "reshape", "shape": list(shape)}
        return self.add(record, [view.node], shape)

    def like(self, array: Any, view: View) -> np.ndarray:
        """A constant of the view's shape with the axes of its node."""
        full = np.broadcast_to(np.asarray(array, np.float64), view.shape)
        kept = [i for i, a in enumerate(view.axes) if a is not None]
        sliced = full.reshape([view.shape[i] for i in kept])
        order = np.argsort([a for a in view.axes if a is not None])
        shape = self.shape(view.node)
        return np.ascontiguousarray(np.transpose(sliced, order)).reshape(shape)

    def scaled(self, view: View, weight: Any, bias: Any) -> View:
        """Weight * view + bias, both constants of the view's shape or None."""
        shape = self.shape(view.node)
        weight = None if weight is None else self.like(weight, view)
        bias = None if bias is None else self.like(bias, view)
        made = self.add({"op": "affine"}, [view.node], shape, weight=weight, bias=bias)
        return View(made.node, view.axes, view.shape)

    def finished(self, result: View) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Records and arrays of what the result needs, exact simplifications made."""
        last = self.plain(result).node
        used, pending, consumers = set(), [last], {last: 1}
        while pending:
            k = pending.pop()
            if k >= 0 and k not in used:
                used.add(k)
                for i in self.records[k]["inputs"]:
                    consumers[i] = consumers.get(i, 0) + 1
                    pending.append(i)
        moved = {k: k for k in (-1, *used)}
        for k in sorted(used):
            inputs = self.records[k]["inputs"] = [
                moved[i] for i in self.records[k]["inputs"]
            ]
            if self.records[k]["op"] == "affine":
                if inputs[0] >= 0 and consumers[inputs[0]] == 1 and self._fuse(k):
                    moved[k] = inputs[0]
                    consumers[inputs[0]] = consumers[k]
                if self._is_identity(moved[k]) and (k != last or inputs[0] >= 0):
                    moved[k] = self.records[moved[k]]["inputs"][0]
        kept, pending = set(), [moved[last]]
        while pending:
            k = pending.pop()
            if k >= 0 and k not in kept:
                kept.add(k)
                pending += self.records[k]["inputs"]
        return self._written(sorted(kept))

    def _written(self, kept: list[int]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        place = {k: i for i, k in enumerate(kept)} | {-1: -1}
        written, arrays = [], {}
        for k in kept:
            record = dict(self.records[k])
            record["inputs"] = [place[i] for i in record["inputs"]]
            for name, array in self.parts[k].items():
                record[name] = f"network_{place[k]}_{name}"
                arrays[record[name]] = array
            written.append(record)
        return {"input_shape": list(self.input_shape), "nodes": written}, arrays

    def _fuse(self, k: int) -> bool:
        """Puts an affine node into the one before, where that rounds nothing."""
        before = self.records[k]["inputs"][0]
        held, own, op = self.parts[before], self.parts[k], self.records[before]["op"]
        if "bias" in held:
            return False
        if "weight" not in own:
            bias = own["bias"]
            if op == "dense":
                held["bias"] = bias.reshape(-1)
            elif op == "conv" and np.all(bias == bias[:, :1, :1]):
                held["bias"] = bias[:, 0, 0]
            elif op == "affine":
                held["bias"] = bias
            else:
                return False
            return True
        inverse = op == "affine" and "bias" not in own
        if inverse and np.all(held["weight"] * own["weight"] == 1.0):
            held["weight"] = np.ones_like(held["weight"])
            return True
        return False

    def _is_identity(self, k: int) -> bool:
        parts = self.parts[k]
        affine = self.records[k]["op"] == "affine" and "bias" not in parts
        return bool(affine and np.all(parts["weight"] == 1.0))


class Trace:
    """One (nested) function: values are NumPy constants or `View`s."""

    def __init__(self, recorder: Recorder, jaxpr: Any, constants: Any) -> None:
        self.recorder, self.jaxpr, self.constants = recorder, jaxpr, constants

    def run(self, given: list[Any]) -> list[Any]:
        """Results of the function."""
        known: dict[Any, Any] = {}
        known |= dict(zip(self.jaxpr.constvars, self.constants, strict=True))
        known |= dict(zip(self.jaxpr.invars, given, strict=True))

        def read(atom: Any) -> Any:
            return atom.val if hasattr(atom, "val") else known[atom]

        for equation in self.jaxpr.eqns:
            values = [read(atom) for atom in equation.invars]
            if not any(isinstance(v, View) for v in values):
                results = self._evaluated(equation, values)
            else:
                results = self._recorded(equation, values)
            known |= dict(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in self.jaxpr.outvars]

    def _recorded(self, equation: Any, values: list[Any]) -> list[Any]:
        from ._network_operations import OPERATIONS

        name, options = equation.primitive.name, equation.params
        if name in _CALLS or name in _CUSTOM:
            inner = options.get("jaxpr", options.get("call_jaxpr"))
            return self._call(options.get("name", ""), inner, values)
        if name not in OPERATIONS:
            raise refuse(name)
        shape = tuple(equation.outvars[0].aval.shape)
        return [OPERATIONS[name](self.recorder, values, options, shape)]

    def _evaluated(self, equation: Any, values: list[Any]) -> list[Any]:
        """An operation on constants alone."""
        options, primitive = equation.params, equation.primitive
        if primitive.name in _CALLS or primitive.name in _CUSTOM:
            inner = options.get("jaxpr", options.get("call_jaxpr"))
            jaxpr = getattr(inner, "jaxpr", inner)
            return Trace(self.recorder, jaxpr, getattr(inner, "consts", ())).run(values)
        result = primitive.bind(*map(jnp.asarray, values), **options)
        return list(result) if primitive.multiple_results else [result]

    def _call(self, name: str, inner: Any, values: list[Any]) -> list[Any]:
        recorder, first = self.recorder, values[0]
        entrywise = len(values) == 1 or not isinstance(values[1], View)
        if name in _NAMED and isinstance(first, View) and entrywise:
            return [_curve(recorder, first, {"op": _NAMED[name]})]
        if name == "leaky_relu" and isinstance(first, View):
            slope = _left_slope(inner, values)
            return [_curve(recorder, first, {"op": "leaky_relu", "slope": slope})]
        if name.startswith(_SORT):
            plain = recorder.plain(first)
            record = {"op": "group_sort", "size": int(name.removeprefix(_SORT))}
            return [recorder.add(record, [plain.node], plain.shape)]
        if name == "lemmata_householder":
            plain = recorder.plain(first)
            vectors = np.asarray(values[1])
            record = {"op": "householder"}
            return [recorder.add(record, [plain.node], plain.shape, weight=vectors)]
        jaxpr = getattr(inner, "jaxpr", inner)
        return Trace(recorder, jaxpr, getattr(inner, "consts", ())).run(values)


def _curve(recorder: Recorder, view: View, record: dict[str, Any]) -> View:
    made = recorder.add(record, [view.node], recorder.shape(view.node))
    return View(made.node, view.axes, view.shape)


def _left_slope(inner: Any, values: list[Any]) -> float:
    """-f(-1) of a traced leaky ReLU."""
    first = -np.ones(values[0].shape)
    trace = Trace(Recorder((1,)), inner.jaxpr, inner.consts)
    (result,) = trace.run([first, *values[1:]])
    return float(-np.asarray(result).reshape(-1)[0])
