"""The protocol-buffer bytes of an ONNX file, as far as networks need them.

Only the fields that are named here are kept; all others are skipped by their length.
Everything is bounded: no length is believed before it is compared with what is left.

Source: the encoding as documented at protobuf.dev; field numbers of onnx.proto, IR 3
to 13.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import Unreadable

MOST_ITEMS = 100_000  # nodes, tensors, attributes in all
MOST_ENTRIES = 2**26  # numbers in all tensors together
_DTYPES = {1: ("<f4", 4), 11: ("<f8", 8), 7: ("<i8", 8), 6: ("<i4", 4)}
_TYPE_NAMES = {
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    8: "string",
    9: "bool",
    10: "float16",
    16: "bfloat16",
}


@dataclass
class Node:
    """One operation."""

    op: str = ""
    name: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Port:
    """A named input or output; sizes, None where symbolic; None for no shape at all."""

    name: str = ""
    sizes: list[int | None] | None = None


@dataclass
class Graph:
    """Operations, constants, inputs and outputs."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)


class _Budget:
    def __init__(self) -> None:
        self.items, self.entries = 0, 0

    def item(self) -> None:
        self.items += 1
        if self.items > MOST_ITEMS:
            raise Unreadable(f"more than {MOST_ITEMS} nodes, tensors and attributes")

    def take(self, entries: int) -> None:
        self.entries += entries
        if self.entries > MOST_ENTRIES:
            raise Unreadable(f"more than {MOST_ENTRIES} numbers")


def read_graph(data: bytes) -> Graph:
    """The graph of an ONNX file's bytes.

    **Raises:** `Unreadable`.
    """
    budget, graph = _Budget(), None
    try:
        for number, value in _fields(memoryview(data)):
            if number == 7:
                graph = _graph(_message(value), budget)
            elif number == 25:
                raise Unreadable("has functions of its own; export without them")
    except (struct.error, UnicodeDecodeError, OverflowError) as error:
        raise Unreadable(f"is no ONNX file ({error})") from error
    if graph is None:
        raise Unreadable("is no ONNX file, or has no graph")
    return graph


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise Unreadable("is no ONNX file, or is cut short")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), place
    raise Unreadable("is no ONNX file: a number does not end")


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an integer, or a view of its bytes."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise Unreadable("is no ONNX file: a field has the number 0")
        if wire == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        size = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            size, place = _varint(data, place)
        if size is None:
            raise Unreadable(f"is no ONNX file: wire type {wire}")
        if size > len(data) - place:
            raise Unreadable("is no ONNX file, or is cut short")
        yield number, data[place : place + size]
        place += size


def _message(value: Any) -> memoryview:
    if not isinstance(value, memoryview):
        raise Unreadable("is no ONNX file: a number where a record should be")
    return value


def _text(value: Any) -> str:
    return bytes(_message(value)).decode("utf-8")


def _signed(value: Any) -> int:
    if not isinstance(value, int):
        raise Unreadable("is no ONNX file: a record where a number should be")
    return value - 2**64 if value >= 2**63 else value


def _integers(value: Any) -> list[int]:
    """One integer, or several packed into one field."""
    if isinstance(value, int):
        return [_signed(value)]
    found, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        found.append(_signed(number))
    return found


def _graph(data: memoryview, budget: _Budget) -> Graph:
    graph = Graph()
    for number, value in _fields(data):
        if number == 1:
            graph.nodes.append(_node(_message(value), budget))
        elif number == 5:
            name, array = _tensor(_message(value), budget)
            graph.constants[name] = array
        elif number == 11:
            graph.inputs.append(_port(_message(value), budget))
        elif number == 12:
            graph.outputs.append(_port(_message(value), budget))
        elif number == 15:
            raise Unreadable("has sparse weights; export them dense")
    return graph


def _node(data: memoryview, budget: _Budget) -> Node:
    budget.item()
    node = Node()
    for number, value in _fields(data):
        if number in (1, 2):
            budget.item()
            (node.inputs if number == 1 else node.outputs).append(_text(value))
        elif number == 3:
            node.name = _text(value)
        elif number == 4:
            node.op = _text(value)
        elif number == 5:
            name, content = _attribute(_message(value), budget)
            node.attributes[name] = content
        elif number == 7:
            node.domain = _text(value)
    return node


def _attribute(data: memoryview, budget: _Budget) -> tuple[str, Any]:
    budget.item()
    name, content, many = "", None, []
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            (content,) = struct.unpack("<f", _message(value))
        elif number == 3:
            content = _signed(value)
        elif number == 4:
            content = bytes(_message(value))
        elif number == 5:
            content = _tensor(_message(value), budget)[1]
        elif number in (6, 11):
            raise Unreadable(f"attribute {name!r} holds a graph; export without it")
        elif number == 7:
            raw = _message(value)
            many += [part[0] for part in struct.iter_unpack("<f", raw)]
        elif number == 8:
            many += _integers(value)
        if len(many) > MOST_ITEMS:
            raise Unreadable(f"attribute {name!r} is too long")
    return name, many if content is None else content


def _tensor(data: memoryview, budget: _Budget) -> tuple[str, np.ndarray]:
    budget.item()
    name, sizes, kind, raw, parts = "", [], 0, None, {}
    for number, value in _fields(data):
        if number == 1:
            sizes += _integers(value)
        elif number == 2:
            kind = _signed(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = _message(value)
        elif number in (4, 10):
            parts.setdefault(number, []).append(bytes(_message(value)))
        elif number in (5, 7):
            parts.setdefault(number, []).extend(_integers(value))
        elif number == 13 or (number == 14 and value):
            raise Unreadable(f"tensor {name!r} is kept in another file; save it inside")
    return name, _numbers(name, sizes, kind, raw, parts, budget)


def _numbers(name, sizes, kind, raw, parts, budget: _Budget) -> np.ndarray:
    if kind not in _DTYPES:
        got = _TYPE_NAMES.get(kind, f"type {kind}")
        raise Unreadable(f"tensor {name!r} holds {got}, expected float32 or float64")
    dtype, width = _DTYPES[kind]
    count = 1
    for size in sizes:
        if not 0 <= size <= MOST_ENTRIES:
            raise Unreadable(f"tensor {name!r} has a size of {size}")
        count *= size
        if count > MOST_ENTRIES:
            raise Unreadable(f"more than {MOST_ENTRIES} numbers")
    budget.take(count)
    where = {1: 4, 11: 10, 7: 7, 6: 5}[kind]
    if raw is None and kind in (7, 6):
        array = np.array(parts.get(where, []), dtype=np.int64)
    else:
        held = bytes(raw) if raw is not None else b"".join(parts.get(where, []))
        if len(held) != count * width:
            raise Unreadable(f"tensor {name!r} holds {len(held)} bytes for {count}")
        array = np.frombuffer(held, dtype=dtype)
    if array.size != count:
        raise Unreadable(f"tensor {name!r} holds {array.size} numbers for {count}")
    wide = np.float64 if kind in (1, 11) else np.int64
    return array.astype(wide).reshape(sizes)


def _port(data: memoryview, budget: _Budget) -> Port:
    budget.item()
    port = Port()
    for number, value in _fields(data):
        if number == 1:
            port.name = _text(value)
        elif number == 2:
            for inner, kind in _fields(_message(value)):
                if inner == 1:
                    port.sizes = _sizes(_message(kind), budget)
    return port


def _sizes(data: memoryview, budget: _Budget) -> list[int | None] | None:
    for number, value in _fields(data):
        if number != 2:
            continue
        sizes: list[int | None] = []
        for inner, dimension in _fields(_message(value)):
            if inner == 1:
                budget.item()
                fixed = [v for n, v in _fields(_message(dimension)) if n == 1]
                sizes.append(_signed(fixed[-1]) if fixed else None)
        return sizes
    return None
