"""Reading a question about a global Lipschitz constant, and an answer to it."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..network import CURVES, LINEAR, Network, Node, network_of

Array = np.ndarray
GLOBAL, IMPLICIT = "certify.global_lipschitz/1", "certify.implicit_lipschitz/1"
ELIMINATED, FULL, COMPOSITE, PRODUCT, PATTERNS = range(5)
GROUPED = ("group_sort", "householder")
SLOPES = {
    "relu": (0.0, 1.0),
    "tanh": (0.0, 1.0),
    "softplus": (0.0, 1.0),
    "sigmoid": (0.0, 0.25),
}
"""Least and greatest derivative; that of the logistic function is at most 1/4."""


class Question(NamedTuple):
    """The network, whether inputs are measured in l_inf, and the outputs that count."""

    network: Network
    linf: bool
    selected: Array  # (r, K), rows of the identity

    @property
    def plain(self) -> bool:
        """Whether every output counts."""
        return len(self.selected) == self.network.outputs


class Proof(NamedTuple):
    """What a value shows its bound with; checked for signs and shapes.

    **Fields:** `pieces`: (start, stop) nodes, `multipliers` and `coupling` one array
    per piece; `weights`: (d + r,) for l_inf, else None.
    """

    form: int
    pieces: tuple[tuple[int, int], ...]
    multipliers: tuple[Array, ...]
    coupling: tuple[Array, ...]
    weights: Array | None


def question(case: Case) -> Question:
    """The problem, read once."""
    return case.shared("certify.lipsdp.question", lambda: _question(case))


def _question(case: Case) -> Question:
    kind, content, arrays = case.problem
    if kind != GLOBAL:
        raise Malformed(f"a problem of kind {kind}, expected {GLOBAL}")
    network = network_of(content.get("network"), arrays)
    norm, output = content.get("norm"), content.get("output")
    if norm not in ("l2", "linf"):
        raise Malformed(f"norm: expected l2 or linf, got {norm!r}")
    count = network.outputs
    if type(output) is int and 0 <= output < count:
        return Question(network, norm == "linf", np.eye(count)[[output]])
    if output == ("sum" if norm == "linf" else "all"):
        return Question(network, norm == "linf", np.eye(count))
    raise Malformed(
        f"output: expected all (l2), sum (linf) or an index, got {output!r}"
    )


def proof(case: Case) -> Proof:
    """The value's multipliers, read once."""
    return case.shared("certify.lipsdp.proof", lambda: _proof(case))


def _proof(case: Case) -> Proof:
    asked, value = question(case), case.value
    form = value.get("form")
    if form is None or form.dtype != np.int64 or form.shape != ():
        raise Malformed("form: expected an int64 scalar")
    if not 0 <= int(form) <= PATTERNS:
        raise Malformed(f"form: expected 0 to {PATTERNS}, got {int(form)}")
    form = int(form)
    pieces = _pieces(asked, value)
    if form in (PRODUCT, PATTERNS):
        return Proof(form, pieces, (), (), None)
    nodes = [active(asked.network, piece) for piece in pieces]
    counts = [
        sum(multiplier_count(asked.network.nodes[k], form) for k in part)
        for part in nodes
    ]
    given = np.zeros(0)  # a network that is linear
    if sum(counts) or "multipliers" in value:
        given = array_of(value, "multipliers", (sum(counts),), least=0.0)
    multipliers = np.split(given, np.cumsum(counts)[:-1])
    groups = [
        sum(
            multiplier_count(asked.network.nodes[k], FULL)
            for k in part
            if asked.network.nodes[k].op in GROUPED
        )
        for part in nodes
    ]
    coupling = [np.zeros((count, 3)) for count in groups]
    if form == FULL and sum(groups):
        table = array_of(value, "coupling", (sum(groups), 3))
        coupling = np.split(table, np.cumsum(groups)[:-1])
    elif "coupling" in value:
        raise Malformed("coupling: expected none for this form")
    weights = None
    if asked.linf:
        size = asked.network.inputs + len(asked.selected)
        weights = array_of(value, "weights", (size,), least=0.0)
    elif "weights" in value:
        raise Malformed("weights: expected none for l2")
    return Proof(form, pieces, tuple(multipliers), tuple(coupling), weights)


def _pieces(asked: Question, value: Mapping[str, Array]) -> tuple[tuple[int, int], ...]:
    """Cuts must be nodes that every path from input to output goes through."""
    last = len(asked.network.nodes) - 1
    cuts = value.get("cuts")
    if cuts is None:
        return ((-1, last),)
    if asked.linf:
        raise Malformed("cuts: expected none for linf")
    good = cuts.dtype == np.int64 and cuts.ndim == 1 and 0 < cuts.size <= last
    if not good or np.any(np.diff([-1, *cuts.tolist(), last]) <= 0):
        raise Malformed("cuts: expected rising positions of nodes, int64")
    for cut in cuts.tolist():
        for k in range(cut + 1, last + 1):
            if any(i < cut for i in asked.network.nodes[k].inputs):
                raise Malformed(f"cuts: node {k} goes around node {cut}")
    ends = [-1, *cuts.tolist(), last]
    return tuple(zip(ends[:-1], ends[1:], strict=True))


def active(network: Network, piece: tuple[int, int]) -> list[int]:
    """Nodes of a piece that are not linear."""
    inside = range(piece[0] + 1, piece[1] + 1)
    return [k for k in inside if network.nodes[k].op not in LINEAR]


def group_shape(node: Node) -> tuple[int, int, int]:
    """(groups along the first axis, entries of a group, entries of the other axes)."""
    size = node.options["size"] if node.op == "group_sort" else _weight(node).shape[1]
    return node.shape[0] // size, size, math.prod(node.shape[1:])


def _weight(node: Node) -> Array:
    assert node.weight is not None
    return node.weight


def multiplier_count(node: Node, form: int) -> int:
    """How many multipliers >= 0 an activation takes."""
    if node.op in CURVES:
        return node.size
    count, size, rest = group_shape(node)
    if form == COMPOSITE:
        if node.op != "group_sort" or size != 2:
            raise Malformed(f"form: {node.op} with groups of {size} has no ReLUs")
        return node.size
    return count * rest


def slopes_of(node: Node) -> tuple[float, float]:
    """Bounds on the derivative of an activation that works entry by entry."""
    if node.op == "leaky_relu":
        return float(node.options["slope"]), 1.0
    return SLOPES[node.op]


def array_of(
    arrays: Mapping[str, Array],
    name: str,
    shape: tuple[int, ...],
    least: float = -math.inf,
) -> Array:
    """A float64 array of this shape, finite, >= `least`. Raises `Malformed`."""
    array = arrays.get(name)
    if array is None:
        raise Malformed(f"{name} is missing")
    if array.dtype != np.float64 or array.shape != shape:
        got = f"{array.dtype}, {array.shape}"
        raise Malformed(f"{name}: expected float64, shape {shape}, got {got}")
    if not np.all(np.isfinite(array)):
        raise Malformed(f"{name}: expected finite numbers")
    if np.any(array < least):
        raise Malformed(f"{name}: expected no entry below {least:g}")
    return array
