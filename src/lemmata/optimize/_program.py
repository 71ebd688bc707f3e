"""A JAX function as recorded operations: traced, flattened, simplified.

The judge redoes what is recorded (`lemmata_checker.program` has the form and meaning of
each operation). Calls, static loops and constant branches are unrolled; what does not
depend on x is computed now, unless it comes from the problem's named data; and every
rearrangement of entries (slices, indexing, transposes, padding, concatenation) becomes
one `view` or `take`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

MOST_NODES = 20_000
INLINE = 32  # entries of an index that is written out rather than stored


class Untraceable(Exception):
    """Why a function cannot be recorded: a primitive, a dtype, a size."""


class Ref(NamedTuple):
    """A value that depends on x or on data: a node's position and shape."""

    node: int
    shape: tuple[int, ...]
    boolean: bool = False


Value = Ref | np.ndarray


class Recording(NamedTuple):
    """Nodes of f and c together, and the constants that they name."""

    content: dict[str, Any]
    arrays: dict[str, np.ndarray]


def record(
    builder: "Builder",
    function: Callable[..., Any],
    x: np.ndarray,
    data: Mapping[str, np.ndarray],
) -> Value:
    """A function of x, or of x and data, added to the builder. Inside `enable_x64`.

    **Raises:** `Untraceable`; whatever the function raises when JAX traces it.
    """
    from ._program_rules import interpret

    leaves = [builder.emit(["variable"], x.shape)]
    for name in sorted(data):
        leaves.append(builder.emit(["array", name], data[name].shape))
    arguments = (x, dict(data)) if data else (x,)
    closed = jax.make_jaxpr(function)(*arguments)
    found = interpret(builder, closed.jaxpr, closed.consts, [*leaves])
    if len(found) != 1:
        raise Untraceable(f"{len(found)} outputs instead of one array")
    return found[0]


def finish(builder: "Builder", objective: Value, constraint: Value) -> Recording:
    """The nodes that f and c need, renumbered, with the arrays that they name."""
    outputs = [
        builder.lift(value, value.shape).node for value in (objective, constraint)
    ]
    needed, stack = {0}, list(outputs)
    while stack:
        index = stack.pop()
        if index not in needed:
            needed.add(index)
            stack.extend(inputs_of(builder.nodes[index]))
    order = {old: new for new, old in enumerate(sorted(needed))}
    nodes = [renumbered(builder.nodes[old], order) for old in sorted(needed)]
    arrays: dict[str, np.ndarray] = {}
    for node in nodes:
        builder.name_arrays(node, arrays)
    content = {
        "nodes": nodes,
        "objective": order[outputs[0]],
        "constraint": order[outputs[1]],
    }
    return Recording(content, arrays)


LEAVES = ("variable", "number", "array", "constant")
ONE_INPUT = ("power", "real_power", "sum", "view")


def inputs_of(node: list[Any]) -> list[int]:
    """Positions that a node is applied to."""
    if node[0] in LEAVES:
        return []
    if node[0] == "take":
        return list(node[1])
    return [node[1]] if node[0] in ONE_INPUT else list(node[1:])


def renumbered(node: list[Any], order: Mapping[int, int]) -> list[Any]:
    """The node with its inputs at their new positions."""
    if node[0] in LEAVES:
        return list(node)
    if node[0] == "take":
        return ["take", [order[k] for k in node[1]], *node[2:]]
    if node[0] in ONE_INPUT:
        return [node[0], order[node[1]], *node[2:]]
    return [node[0], *(order[k] for k in node[1:])]


class Builder:
    """Nodes so far; the same node twice is one."""

    def __init__(self) -> None:
        self.nodes: list[list[Any]] = []
        self.known: dict[str, int] = {}
        self.constants: list[np.ndarray] = []
        self.indices: list[np.ndarray] = []
        self.places: dict[int, tuple[list[Ref], np.ndarray]] = {}
        self.varying: set[int] = set()

    def emit(
        self, node: list[Any], shape: tuple[int, ...], boolean: bool = False
    ) -> Ref:
        """The node's reference, an earlier one if it is the same."""
        text = json.dumps(node)
        if text not in self.known:
            place = len(self.nodes)
            if place >= MOST_NODES:
                raise Untraceable(f"more than {MOST_NODES} operations")
            self.known[text] = place
            self.nodes.append(node)
            varies = any(k in self.varying for k in inputs_of(node))
            if varies or node[0] == "variable":
                self.varying.add(place)
        return Ref(self.known[text], tuple(shape), boolean)

    def fixed(self, ref: Ref) -> bool:
        """Whether a node depends on data and constants only."""
        return ref.node not in self.varying

    def lift(self, value: Value, shape: tuple[int, ...] | None = None) -> Ref:
        """A constant as a node: a number where all entries agree.

        With `shape`, the node has that shape; else () will do for a number.
        """
        if isinstance(value, np.ndarray):
            value = self._constant(value)
        if shape is not None and value.shape != shape:
            places = np.zeros(shape, dtype=np.int64)
            return self.take([value], places)
        return value

    def _constant(self, value: np.ndarray) -> Ref:
        if value.dtype.kind not in "biuf":
            raise Untraceable(f"a constant of {value.dtype}")
        array = np.asarray(value, dtype=np.float64)
        if not np.all(np.isfinite(array)):
            raise Untraceable("a constant that is not finite")
        if array.size and np.all(array == array.flat[0]):
            number = float(array.flat[0]) + 0.0
            return self.emit(["number", number], ())
        for place, known in enumerate(self.constants):
            if known.shape == array.shape and np.array_equal(known, array):
                return self.emit(["constant", place], array.shape)
        self.constants.append(np.ascontiguousarray(array))
        return self.emit(["constant", len(self.constants) - 1], array.shape)

    def take(self, sources: list[Ref], places: np.ndarray) -> Ref:
        """Entries of the sources, flattened and joined, in the shape of `places`."""
        sources, places = self._composed(sources, places)
        sources, places = _pruned(sources, places)
        if len(sources) == 1:
            (source,) = sources
            size = int(np.prod(source.shape, dtype=np.int64))
            if places.shape == source.shape and np.array_equal(
                places.reshape(-1), np.arange(size)
            ):
                return source
        node = _view(sources, places) or self._table(sources, places)
        found = self.emit(node, places.shape)
        self.places[found.node] = (sources, places.reshape(-1))
        return found

    def _table(self, sources: list[Ref], places: np.ndarray) -> list[Any]:
        flat = places.reshape(-1).astype(np.int64)
        index: Any = flat.tolist()
        if flat.size > INLINE:
            same = [
                k for k, known in enumerate(self.indices) if np.array_equal(known, flat)
            ]
            if not same:
                self.indices.append(flat)
            index = f"?{same[0] if same else len(self.indices) - 1}"
        return ["take", [s.node for s in sources], index, list(places.shape)]

    def _composed(
        self, sources: list[Ref], places: np.ndarray
    ) -> tuple[list[Ref], np.ndarray]:
        """Rearrangements of rearrangements, straight from what they rearrange."""
        if not any(source.node in self.places for source in sources):
            return sources, places
        bases: list[Ref] = []
        table: list[np.ndarray] = []
        offset = 0
        for source in sources:
            size = int(np.prod(source.shape, dtype=np.int64))
            inner, index = self.places.get(
                source.node, ([source], np.arange(size, dtype=np.int64))
            )
            table.append(index + offset)
            bases.extend(inner)
            offset += sum(int(np.prod(s.shape, dtype=np.int64)) for s in inner)
        return bases, np.concatenate(table)[places]

    def name_arrays(self, node: list[Any], arrays: dict[str, np.ndarray]) -> None:
        """Gives constants and indices of the node their names, in place."""
        if node[0] == "constant":
            name = self._name("constant", self.constants[node[1]], arrays)
            node[:] = ["array", name]
        elif node[0] == "take" and isinstance(node[2], str):
            node[2] = self._name("index", self.indices[int(node[2][1:])], arrays)

    @staticmethod
    def _name(prefix: str, array: np.ndarray, arrays: dict[str, np.ndarray]) -> str:
        for name, known in arrays.items():
            if known is array:
                return name
        name = f"{prefix}_{sum(key.startswith(prefix) for key in arrays)}"
        arrays[name] = array
        return name


def _pruned(sources: list[Ref], places: np.ndarray) -> tuple[list[Ref], np.ndarray]:
    """Each source once, and only those that are used."""
    sizes = [int(np.prod(source.shape, dtype=np.int64)) for source in sources]
    starts = np.cumsum([0, *sizes])
    kept: list[Ref] = []
    table = np.zeros(int(starts[-1]), dtype=np.int64)
    base: dict[int, int] = {}
    end = 0
    for source, start, size in zip(sources, starts[:-1], sizes, strict=True):
        if not np.any((places >= start) & (places < start + size)):
            continue
        if source.node not in base:
            base[source.node] = end
            kept.append(source)
            end += size
        table[start : start + size] = base[source.node] + np.arange(size)
    if not kept:  # an empty result
        return sources[:1], places
    return kept, table[places]


def _view(sources: list[Ref], places: np.ndarray) -> list[Any] | None:
    """The node of an affine rearrangement of one array, if it is one."""
    if len(sources) != 1 or places.size == 0:
        return None
    start = int(places.reshape(-1)[0])
    strides, rebuilt = [], np.full(places.shape, start, dtype=np.int64)
    for axis, size in enumerate(places.shape):
        second = tuple(1 if a == axis else 0 for a in range(places.ndim))
        stride = int(places[second]) - start if size > 1 else 0
        strides.append(stride)
        line = [1] * places.ndim
        line[axis] = size
        rebuilt = rebuilt + stride * np.arange(size).reshape(line)
    if not np.array_equal(rebuilt, places):
        return None
    return ["view", sources[0].node, start, strides, list(places.shape)]
