"""Reading a question about a network's Jacobian over a box, and an answer to it."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..network import CURVES, LINEAR, Network, network_of
from ._certify_lipschitz_curves import PIECEWISE
from ._certify_lipschitz_values import slopes_in_range

Array = np.ndarray
KINDS = ("certify.local_lipschitz/1", "certify.monotonicity/1")
MOST_WORK = 2**24  # outputs times inputs
_SLOPES = re.compile(r"slopes_([0-9]{1,4})_([0-9]{1,4})")


class Question(NamedTuple):
    """The network, the box (d,), and the rows (r, K) of the outputs asked about."""

    network: Network
    lower: Array
    upper: Array
    rows: Array

    @property
    def splittable(self) -> list[tuple[int, int]]:
        """Node and entry of each neuron whose sign can be fixed, in order."""
        network = self.network
        return [
            (k, j)
            for k in network.positions(PIECEWISE)
            for j in range(network.nodes[k].size)
        ]


def question(case: Case) -> Question:
    """The problem, read once."""
    return case.shared("certify.lipschitz.question", lambda: _question(case))


def _question(case: Case) -> Question:
    kind, content, arrays = case.problem
    if kind not in KINDS:
        raise Malformed(f"a problem of kind {kind}, expected one of {', '.join(KINDS)}")
    network = network_of(content.get("network"), arrays)
    for k, node in enumerate(network.nodes):
        if node.op not in CURVES and node.op not in LINEAR:
            raise Malformed(f"network.nodes[{k}]: {node.op} has no local bounds here")
    lower, upper = (
        array_of(arrays, name, (network.inputs,)) for name in ("lower", "upper")
    )
    if np.any(lower > upper):
        raise Malformed("lower: expected lower <= upper")
    rows = _rows(content.get("output"), arrays, network.outputs)
    if len(rows) * network.inputs > MOST_WORK:
        raise Malformed(f"more than {MOST_WORK} entries of the Jacobian")
    return Question(network, lower, upper, rows)


def _rows(output: Any, arrays: Mapping[str, Array], outputs: int) -> Array:
    if output == "all":
        return np.eye(outputs)
    if output == "direction":
        return array_of(arrays, "direction", (outputs,))[None]
    if type(output) is int and 0 <= output < outputs:
        return np.eye(outputs)[[output]]
    expected = f"'all', 'direction' or an integer in [0, {outputs})"
    raise Malformed(f"output: expected {expected}, got {output!r}")


def array_of(arrays: Mapping[str, Array], name: str, shape: tuple[int, ...]) -> Array:
    """A float64 array of this shape, finite. Raises `Malformed`."""
    array = arrays.get(name)
    if array is None:
        raise Malformed(f"{name} is missing")
    if array.dtype != np.float64 or array.shape != shape:
        got = f"{array.dtype}, {array.shape}"
        raise Malformed(f"{name}: expected float64, shape {shape}, got {got}")
    if not np.all(np.isfinite(array)):
        raise Malformed(f"{name}: expected finite numbers")
    return array


def slopes_of(case: Case, network: Network) -> dict[tuple[int, int], Array]:
    """Lower slopes by (activation whose input is bounded, activation on the way)."""
    found = {}
    for name, array in case.value.items():
        match = _SLOPES.fullmatch(name)
        if match is None:
            continue
        target, relaxed = int(match[1]), int(match[2])
        curves = network.positions(PIECEWISE)
        if not (relaxed in curves and relaxed < target < len(network.nodes)):
            raise Malformed(f"{name}: expected two activations, the second below")
        if network.nodes[target].op not in CURVES:
            raise Malformed(f"{name}: node {target} is no activation")
        rows = array.shape[1] if array.ndim == 3 else 0
        if rows not in (1, network.nodes[target].size):
            raise Malformed(f"{name}: expected shape (2, 1 or rows, neurons)")
        shape = (2, rows, network.nodes[relaxed].size)
        found[target, relaxed] = array_of(case.value, name, shape)
    if not slopes_in_range(network, found):
        raise Malformed("slopes: expected all within [slope left of 0, 1]")
    return found
