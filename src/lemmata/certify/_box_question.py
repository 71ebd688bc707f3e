"""What every question about a network over a box shares: fields, checks, packing."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from lemmata_checker.network import CURVES, LINEAR

from ..core import InvalidProblem, array64, require
from ..numerics.networks import Network

MOST_WORK = 2**24  # entries of a Jacobian that the judge accepts


def flat(value: Any) -> Any:
    """Arrays of any shape as float64 (d,); what is not numeric passes unchanged."""
    array = array64(value)
    return array.reshape(-1) if hasattr(array, "reshape") else array


def validate_network(problem: Any) -> None:
    """The network has local bounds. Raises `InvalidProblem`."""
    network = problem.network
    known = isinstance(network, Network)
    expected = "a Network: from_equinox(module, input_shape) or from_onnx(path)"
    require(problem, "network", known, expected=expected, got=type(network).__name__)
    for k, node in enumerate(network.nodes):
        good = node.op in CURVES or node.op in LINEAR
        expected = f"operations among {', '.join((*LINEAR, *CURVES))}"
        got = f"{node.op} at node {k} (certify-lipsdp bounds its l_2 constant)"
        require(problem, "network", good, expected=expected, got=got)


def validate_box(problem: Any) -> None:
    """The box fits the network. Raises `InvalidProblem`."""
    size = problem.network.inputs
    for name in ("lower", "upper"):
        side = getattr(problem, name)
        numeric = getattr(side, "dtype", None) == np.float64
        got = getattr(side, "dtype", type(side).__name__)
        require(problem, name, numeric, expected="real numbers", got=got)
        expected = f"{size} numbers, one per input of {problem.network.input_shape}"
        require(problem, name, side.shape == (size,), expected=expected, got=side.shape)
        bad = int(np.sum(~np.isfinite(side)))
        got = f"{bad} not finite"
        require(problem, name, bad == 0, expected="finite numbers", got=got)
    wrong = np.flatnonzero(problem.lower > problem.upper)
    if wrong.size:
        i = int(wrong[0])
        got = f"{problem.lower[i]} > {problem.upper[i]} at index {i}"
        raise InvalidProblem(
            f"{type(problem).__name__}.lower", "lower <= upper everywhere", got
        )


def output_of(output: Any) -> tuple[Any, Any]:
    """The kind or number of an `output` argument, and a direction where it is one.

    A number is held as an array: code compiled for one output serves the others.
    """
    if isinstance(output, str):
        return output, None
    if isinstance(output, int | np.integer) and not isinstance(output, bool):
        fits = -(2**63) <= output < 2**63
        return np.asarray(output, dtype=np.int64) if fits else int(output), None
    array: Any = output  # traced, perhaps
    kind = getattr(getattr(array, "dtype", None), "kind", None)
    if kind in ("i", "u") and np.ndim(array) == 0:
        return array.astype(np.int64), None
    return "direction", flat(output)


def validate_output(problem: Any, several: bool) -> None:
    """The output is one that there is. Raises `InvalidProblem`."""
    count, output = problem.network.outputs, problem.output
    words = "'all', " if several else ""
    expected = f"{words}an integer in [0, {count}), or a direction of {count} numbers"
    if isinstance(output, str) and output == "direction":
        v = problem.direction
        good = getattr(v, "dtype", None) == np.float64 and v.shape == (count,)
        got = f"a direction of shape {np.shape(v)}"
        good = good and bool(np.all(np.isfinite(v)) and np.any(v))
        require(problem, "output", good, expected=expected, got=got)
        return
    word = isinstance(output, str)
    good = several and output == "all" if word else 0 <= output < count
    got = repr(output if word else int(output))
    require(problem, "output", good, expected=expected, got=got)


def rows_of(problem: Any) -> Any:
    """The rows v of v'f that are asked about, shape (r, K)."""
    count = problem.network.outputs
    if not isinstance(problem.output, str):
        return (np.arange(count)[None] == problem.output).astype(np.float64)
    return np.eye(count) if problem.output == "all" else problem.direction[None]


def packed_parts(problem: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """JSON and arrays of network, box and output."""
    content, arrays = problem.network.records()
    word = isinstance(problem.output, str)
    output = problem.output if word else int(problem.output)
    parameters = {"network": content, "output": output}
    arrays["lower"] = np.asarray(problem.lower, dtype="<f8")
    arrays["upper"] = np.asarray(problem.upper, dtype="<f8")
    if problem.direction is not None:
        arrays["direction"] = np.asarray(problem.direction, dtype="<f8")
    return parameters, arrays


def unpacked_parts(
    name: str, parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of a constructor, and the parameters that are left.

    **Raises:** `InvalidProblem`, `InvalidArgument`.
    """
    parameters, arrays = dict(parameters), dict(arrays)
    content = parameters.pop("network", None)
    if isinstance(content, str):  # from a command line
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            content = f"a text that is not JSON, {content[:40]!r}"
    if not isinstance(content, Mapping):
        raise InvalidProblem(
            f"{name}.network", "layer records, or an ONNX file as data", content
        )
    parts = {n: a for n, a in arrays.items() if n.startswith("network_")}
    sides = {n: arrays.get(n) for n in ("lower", "upper")}
    output = parameters.pop("output", "all")
    if output == "direction":
        output = arrays.get("direction")
    made = {"network": Network.of(dict(content), parts), **sides, "output": output}
    return made, parameters
