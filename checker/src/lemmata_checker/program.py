"""Functions as recorded operations, read, checked and bounded before use.

A program is `{"nodes": [...], "objective": i, "constraint": j}`. Each node is a list:
an operation's name and what it is applied to; nodes are referred to by position:

- `["variable"]`, first and once: x, shape (n,). `["number", 0.5]`: shape ().
  `["array", "name"]`: one of the problem's arrays, float64.
- `["add", a, b]`, also `subtract`, `multiply`, `maximum`, `minimum`, `less`,
  `less_equal`: entry by entry; shapes are equal, or one of them is ().
- `["negative", a]`, and the functions of `curves.CURVES`: entry by entry.
  `["power", a, k]`: integer k. `["real_power", a, p]`: a > 0.
- `["and", p, q]`, `["or", p, q]`, `["not", p]`, `["select", p, a, b]`: a where p.
- `["sum", a, [axes]]`. `["matmul", a, b]`: (r, k) by (k, s), a independent of x.
- `["view", a, start, [strides], [shape]]`: entry (i, j, ..) of the result is entry
  `start + i strides[0] + j strides[1] + ..` of a in C order.
- `["take", [a, b, ..], index, [shape]]`: entries `index` of the flattened a, b, .. one
  after the other; `index` is a list or the name of an int64 array.

Their meaning is that of exact real arithmetic; JAX's is theirs up to rounding.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .curves import CURVES
from .errors import Malformed

LARGEST = 20_000_000  # entries of one node
MOST_NODES = 20_000
MOST_WORK = 200_000_000  # entries of all nodes together
DEEPEST_POWER = 1000
NOT_POLYNOMIAL = 3  # a degree: 0, 1, 2, or this for anything more

PAIRS = ("add", "subtract", "multiply", "maximum", "minimum", "less", "less_equal")
LOGIC = ("and", "or", "not")
TESTS = ("less", "less_equal", *LOGIC)


class Node(NamedTuple):
    """One operation.

    **Fields:**

    - `operation`, `inputs`, `options`: as read, arrays and indices resolved.
    - `shape`: of the result. `boolean`: whether it is one of truth values.
    - `degree`: as a polynomial in x; 0 is independent of x.
    """

    operation: str
    inputs: tuple[int, ...]
    options: tuple[Any, ...]
    shape: tuple[int, ...]
    degree: int
    boolean: bool = False

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def varies(self) -> bool:
        """Whether the result depends on x."""
        return self.degree > 0


class Program(NamedTuple):
    """Checked nodes, and which of them are f, shape (), and c, shape (m,)."""

    nodes: tuple[Node, ...]
    objective: int
    constraint: int

    @property
    def variables(self) -> int:
        """N, the length of x."""
        return self.nodes[0].size

    @property
    def constraints(self) -> int:
        """M, the length of c."""
        return self.nodes[self.constraint].size


def read_program(content: Any, arrays: Mapping[str, np.ndarray], n: int) -> Program:
    """The program of a problem with `n` variables. Raises `Malformed`."""
    if not isinstance(content, dict) or set(content) != FIELDS:
        raise Malformed(f"program: expected an object of {', '.join(sorted(FIELDS))}")
    written = content["nodes"]
    if not isinstance(written, list) or not 0 < len(written) <= MOST_NODES:
        raise Malformed(f"program.nodes: expected 1 to {MOST_NODES} operations")
    reader, work = _Reader(arrays, n, []), 0
    for place, record in enumerate(written):
        try:
            node = reader.node(record)
        except _Wrong as error:
            raise Malformed(f"program.nodes[{place}]: {error}") from None
        work += node.size
        if node.size > LARGEST or work > MOST_WORK:
            raise Malformed(f"program.nodes[{place}]: too large to be judged")
        reader.nodes.append(node)
    last = len(written)
    for name, dimensions in (("objective", 0), ("constraint", 1)):
        index = content[name]
        if type(index) is not int or not 0 <= index < last:
            raise Malformed(f"program.{name}: expected the position of a node")
        found = reader.nodes[index]
        if len(found.shape) != dimensions or found.boolean:
            kind = "shape ()" if dimensions == 0 else "shape (m,)"
            raise Malformed(f"program.{name}: expected {kind}, got {found.shape}")
    if not 1 <= reader.nodes[content["constraint"]].size <= n:
        raise Malformed("program.constraint: expected 1 to n entries")
    return Program(tuple(reader.nodes), content["objective"], content["constraint"])


FIELDS = {"nodes", "objective", "constraint"}


class _Wrong(Exception):
    """A node that cannot be read; the reader adds its position."""


def _require(condition: bool, expected: str) -> None:
    if not condition:
        raise _Wrong(f"expected {expected}")


class _Reader(NamedTuple):
    arrays: Mapping[str, np.ndarray]
    n: int
    nodes: list[Node]

    def node(self, record: Any) -> Node:
        named = isinstance(record, list) and record and isinstance(record[0], str)
        _require(bool(named), "a list that begins with an operation's name")
        operation, *rest = record
        if operation in PAIRS or operation in LOGIC or operation == "select":
            return self._entrywise(operation, rest)
        if operation in CURVES or operation == "negative":
            return self._unary(operation, rest)
        special = getattr(self, f"_read_{operation}", None)
        _require(special is not None and operation in SPECIAL, "a known operation")
        arity = SPECIAL[operation]
        _require(len(rest) == arity, f"{arity} entries after {operation!r}")
        return special(*rest)  # pyright: ignore[reportOptionalCall]

    def _input(self, index: Any, boolean: bool = False) -> Node:
        inside = type(index) is int and 0 <= index < len(self.nodes)
        _require(inside, "the position of an earlier node")
        found = self.nodes[index]
        kind = "truth values" if boolean else "numbers"
        _require(found.boolean == boolean, f"{kind} in node {index}")
        return found

    def _entrywise(self, operation: str, rest: list[Any]) -> Node:
        arity = {"not": 1, "select": 3}.get(operation, 2)
        _require(len(rest) == arity, f"{arity} positions")
        logic = operation in LOGIC
        found = [
            self._input(index, logic or (operation == "select" and place == 0))
            for place, index in enumerate(rest)
        ]
        shapes = {node.shape for node in found} - {()}
        _require(len(shapes) <= 1, "equal shapes, or () beside one")
        degrees = [node.degree for node in found]
        degree = max(degrees)
        if operation == "multiply":
            degree = min(sum(degrees), NOT_POLYNOMIAL)
        elif operation == "select":
            degree = NOT_POLYNOMIAL if degrees[0] else max(degrees[1:])
        elif operation not in ("add", "subtract"):
            degree = NOT_POLYNOMIAL if degree else 0
        shape = shapes.pop() if shapes else ()
        return Node(operation, tuple(rest), (), shape, degree, operation in TESTS)

    def _unary(self, operation: str, rest: list[Any]) -> Node:
        _require(len(rest) == 1, "one position")
        found = self._input(rest[0])
        degree = found.degree
        if operation != "negative":
            degree = NOT_POLYNOMIAL if degree else 0
        return Node(operation, (rest[0],), (), found.shape, degree)

    def _read_number(self, value: Any) -> Node:
        good = type(value) in (int, float) and abs(value) < 1e300
        _require(good, "a finite number")
        return Node("number", (), (float(value),), (), 0)

    def _read_array(self, name: Any) -> Node:
        _require(isinstance(name, str) and name in self.arrays, "an array's name")
        array = self.arrays[name]
        good = array.dtype == np.float64 and bool(np.all(np.isfinite(array)))
        _require(good, f"finite float64 numbers in {name}")
        return Node("array", (), (array,), array.shape, 0)

    def _read_power(self, index: Any, exponent: Any) -> Node:
        found = self._input(index)
        small = type(exponent) is int and abs(exponent) <= DEEPEST_POWER
        _require(small, f"an integer exponent up to {DEEPEST_POWER}")
        degree = min(found.degree * exponent, NOT_POLYNOMIAL)
        if exponent < 0:
            degree = NOT_POLYNOMIAL if found.degree else 0
        return Node("power", (index,), (exponent,), found.shape, degree)

    def _read_real_power(self, index: Any, exponent: Any) -> Node:
        found = self._input(index)
        good = type(exponent) in (int, float) and abs(exponent) <= DEEPEST_POWER
        _require(good, f"a real exponent up to {DEEPEST_POWER}")
        degree = NOT_POLYNOMIAL if found.degree else 0
        return Node("real_power", (index,), (float(exponent),), found.shape, degree)

    def _read_sum(self, index: Any, axes: Any) -> Node:
        found = self._input(index)
        _sizes(axes, "axes")
        good = len(set(axes)) == len(axes) and all(a < len(found.shape) for a in axes)
        _require(good, "axes of the array, none twice")
        shape = tuple(s for a, s in enumerate(found.shape) if a not in axes)
        return Node("sum", (index,), (tuple(axes),), shape, found.degree)

    def _read_matmul(self, left: Any, right: Any) -> Node:
        a, b = self._input(left), self._input(right)
        _require(not a.varies, "a left factor that does not depend on x")
        matrices = len(a.shape) == len(b.shape) == 2 and a.shape[1] == b.shape[0]
        _require(matrices, f"(r, k) and (k, s), got {a.shape} and {b.shape}")
        shape = (a.shape[0], b.shape[1])
        return Node("matmul", (left, right), (), shape, b.degree)

    def _read_view(self, index: Any, start: Any, strides: Any, shape: Any) -> Node:
        found = self._input(index)
        _sizes(shape, "a shape")
        good = isinstance(strides, list) and all(type(s) is int for s in strides)
        good = good and type(start) is int and len(strides) == len(shape)
        _require(good, "one integer stride for each axis")
        _require(math.prod(shape) <= LARGEST, f"at most {LARGEST} entries")
        steps = [
            stride * (size - 1) for stride, size in zip(strides, shape, strict=True)
        ]
        least = start + sum(step for step in steps if step < 0)
        most = start + sum(step for step in steps if step > 0)
        inside = 0 <= least and most < found.size or 0 in shape
        _require(inside, "entries that the array has")
        places = np.full(tuple(shape), start, dtype=np.int64)
        for axis, stride in enumerate(strides):
            line = [1] * len(shape)
            line[axis] = shape[axis]
            places = places + stride * np.arange(shape[axis]).reshape(line)
        return Node("view", (index,), (places,), tuple(shape), found.degree)

    def _read_take(self, inputs: Any, index: Any, shape: Any) -> Node:
        _require(isinstance(inputs, list) and len(inputs) > 0, "a list of positions")
        found = [self._input(k) for k in inputs]
        _sizes(shape, "a shape")
        if isinstance(index, str):
            _require(index in self.arrays, "an array's name")
            places = self.arrays[index]
            _require(places.dtype == np.int64, f"int64 numbers in {index}")
        else:
            _sizes(index, "a list of places")
            places = np.asarray(index, dtype=np.int64)
        _require(places.size == math.prod(shape), "as many places as entries")
        size = sum(node.size for node in found)
        inside = places.size == 0 or 0 <= places.min() and places.max() < size
        _require(bool(inside), "places that the arrays have")
        degree = max(node.degree for node in found)
        places = places.reshape(shape)
        return Node("take", tuple(inputs), (places,), tuple(shape), degree)

    def _read_variable(self) -> Node:
        _require(not self.nodes, "the variable to come first, and once")
        return Node("variable", (), (), (self.n,), 1)


SPECIAL = {
    "variable": 0,
    "number": 1,
    "array": 1,
    "power": 2,
    "real_power": 2,
    "sum": 2,
    "matmul": 2,
    "view": 4,
    "take": 3,
}


def _sizes(value: Any, what: str) -> None:
    good = isinstance(value, list) and all(
        type(size) is int and 0 <= size <= LARGEST for size in value
    )
    _require(good, f"{what}: a list of integers from 0")
