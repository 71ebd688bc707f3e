"""A program's values, first and second derivatives, enclosed.

Jacobians go forward: each node that varies carries (entries, n). The Hessian of f +
lambda^T c is then, with adjoints v going backward and J the Jacobians of a node's
inputs, the sum over nodes of J_a^T diag(v phi_ab) J_b: second order chain rule, no
second-order jets (Griewank and Walther, Evaluating Derivatives, 2008, chapter 7).
"""

from typing import NamedTuple

import numpy as np

from .curves import CURVES, Curve, power, real_power
from .curves_flint import TRIPLES
from .errors import Malformed
from .intervals import (
    Ball,
    add,
    between,
    exact,
    joined,
    multiply,
    negative,
    product,
    subtract,
    total,
    where,
)
from .program import Node, Program

MOST_ENTRIES = 80_000_000  # of all Jacobians together
MOST_PRODUCTS = 20_000_000_000  # of all matrix products together
MOST_BALLS = 1_000_000  # evaluations in flint's balls, some 10 us each
UNDECIDED = -1.0  # of a truth value: the ball allows both, or ends where it changes


class Tape(NamedTuple):
    """What was found at each node.

    - `values`: the ball; of truth values 1, 0 or `UNDECIDED`.
    - `jacobians`: (entries, n), None where the node does not vary.
    - `curves`: of elementary functions, with their derivatives.
    """

    values: list[Ball]
    jacobians: list[Ball | None]
    curves: dict[int, Curve]


class Evaluation(NamedTuple):
    """Enclosures at one point or over one box.

    **Fields:** `objective` (), `gradient` (n,), `constraint` (m,), `jacobian` (m, n).
    """

    objective: Ball
    gradient: Ball
    constraint: Ball
    jacobian: Ball
    program: Program
    tape: Tape


def evaluate(program: Program, x: Ball) -> Evaluation:
    """Values, gradient and Jacobian over the ball x, shape (n,). Raises `Malformed`."""
    n, tape = program.variables, Tape([], [], {})
    if x.shape != (n,):
        raise Malformed(f"point: expected shape ({n},), got {x.shape}")
    _require_affordable(program)
    for place, node in enumerate(program.nodes):
        tape.values.append(_value(node, place, tape, x))
        carries = node.varies and not node.boolean
        tape.jacobians.append(_jacobian(node, place, tape, n) if carries else None)
    f, c = program.objective, program.constraint
    gradient, jacobian = (_rows(node_of(program, k), k, tape, n) for k in (f, c))
    values = tape.values[f], gradient.reshape((n,)), tape.values[c], jacobian
    return Evaluation(*values, program, tape)


def varying_entries(program: Program) -> int:
    """Entries of all nodes that depend on x."""
    return sum(node.size for node in program.nodes if node.varies)


def _require_affordable(program: Program) -> None:
    n, products, balls = program.variables, 0, 0
    for node in program.nodes:
        if node.operation == "matmul":
            inner = program.nodes[node.inputs[0]].shape[1]
            products += node.size * inner * (n + 1 if node.varies else 1)
        elif node.operation in TRIPLES or node.operation == "real_power":
            balls += node.size
    if varying_entries(program) * n > MOST_ENTRIES or products > MOST_PRODUCTS:
        raise Malformed("the program's Jacobians are too large to be judged")
    if balls > MOST_BALLS:
        raise Malformed(f"more than {MOST_BALLS} elementary functions to enclose")


def node_of(program: Program, place: int) -> Node:
    """The node at a position."""
    return program.nodes[place]


def _value(node: Node, place: int, tape: Tape, x: Ball) -> Ball:
    inputs = [tape.values[k] for k in node.inputs]
    match node.operation:
        case "variable":
            return x
        case "number" | "array":
            return exact(node.options[0])
        case "negative":
            return negative(inputs[0])
        case "sum":
            return total(inputs[0], node.options[0])
        case "matmul":
            return product(*inputs)
        case "view" | "take":
            flat = joined([a.reshape((-1,)) for a in inputs])
            return flat.flat(node.options[0])
        case "add" | "subtract" | "multiply":
            return ARITHMETIC[node.operation](*inputs)
        case "maximum":
            lower, upper = (
                np.maximum(inputs[0].lower(), inputs[1].lower()),
                np.maximum(inputs[0].upper(), inputs[1].upper()),
            )
            return between(lower, upper)
        case "minimum":
            lower, upper = (
                np.minimum(inputs[0].lower(), inputs[1].lower()),
                np.minimum(inputs[0].upper(), inputs[1].upper()),
            )
            return between(lower, upper)
        case "select":
            chosen = inputs[0].mid
            found = where(chosen == 1, inputs[1], inputs[2])
            return where(chosen == UNDECIDED, exact(np.nan), found)
        case "less" | "less_equal" | "and" | "or" | "not":
            return exact(_truth(node, inputs))
    tape.curves[place] = curve = _curve(node, inputs[0])
    return curve.value


ARITHMETIC = {"add": add, "subtract": subtract, "multiply": multiply}


def _curve(node: Node, u: Ball) -> Curve:
    if node.operation == "power":
        return power(u, node.options[0])
    if node.operation == "real_power":
        return real_power(u, node.options[0])
    return CURVES[node.operation](u)


def _truth(node: Node, inputs: list[Ball]) -> np.ndarray:
    """1, 0 or UNDECIDED; what depends on x must be so on an open set around it."""
    a = inputs[0]
    if node.operation == "not":
        return np.where(a.mid == UNDECIDED, UNDECIDED, 1 - a.mid)
    b = inputs[1]
    if node.operation in ("and", "or"):
        decisive = 0.0 if node.operation == "and" else 1.0
        either = (a.mid == decisive) | (b.mid == decisive)
        unknown = (a.mid == UNDECIDED) | (b.mid == UNDECIDED)
        return np.where(either, decisive, np.where(unknown, UNDECIDED, 1 - decisive))
    below, above = a.upper() < b.lower(), b.upper() < a.lower()
    found = np.where(below, 1.0, np.where(above, 0.0, UNDECIDED))
    if node.varies or np.any(a.radius) or np.any(b.radius):
        return found
    tie = 1.0 if node.operation == "less_equal" else 0.0
    return np.where(a.mid == b.mid, tie, found)


def branch(node: Node, tape: Tape) -> tuple[np.ndarray, int, int]:
    """Which of two inputs each entry is: 1 the first, 0 the other, or UNDECIDED."""
    if node.operation == "select":
        return tape.values[node.inputs[0]].mid, node.inputs[1], node.inputs[2]
    one, other = node.inputs
    a, b = tape.values[one], tape.values[other]
    if node.operation == "minimum":
        first, second = a.upper() < b.lower(), b.upper() < a.lower()
    else:
        first, second = a.lower() > b.upper(), b.lower() > a.upper()
    chosen = np.where(first, 1.0, np.where(second, 0.0, UNDECIDED))
    return chosen, one, other


def _rows(node: Node, place: int, tape: Tape, n: int) -> Ball:
    found = tape.jacobians[place]
    return exact(np.zeros((node.size, n))) if found is None else found


def _column(a: Ball) -> Ball:
    return a.reshape((-1, 1))


def _jacobian(node: Node, place: int, tape: Tape, n: int) -> Ball:
    """Rows of the Jacobian, one for each entry of the node, in C order."""
    parts = [tape.jacobians[k] for k in node.inputs]
    match node.operation:
        case "variable":
            return exact(np.eye(n))
        case "negative":
            return negative(_known(parts[0]))
        case "sum":
            shape = tape.values[node.inputs[0]].shape
            cube = _known(parts[0]).reshape((*shape, n))
            return total(cube, node.options[0]).reshape((node.size, n))
        case "matmul":
            a, b = (tape.values[k] for k in node.inputs)
            wide = _known(parts[1]).reshape((b.shape[0], b.shape[1] * n))
            return product(a, wide).reshape((node.size, n))
        case "view" | "take":
            sizes = [tape.values[k].mid.size for k in node.inputs]
            flat = joined(
                [
                    exact(np.zeros((size, n))) if part is None else part
                    for part, size in zip(parts, sizes, strict=True)
                ]
            )
            return flat.flat(node.options[0].reshape(-1))
        case "add" | "subtract":
            signed = parts if node.operation == "add" else [parts[0], _minus(parts[1])]
            return _summed(signed, node.size, n)
        case "multiply":
            a, b = (_column(tape.values[k]) for k in node.inputs)
            products = [_scaled(b, parts[0]), _scaled(a, parts[1])]
            return _summed(products, node.size, n)
        case "select" | "maximum" | "minimum":
            chosen, *both = branch(node, tape)
            rows = [_rows_of(tape.jacobians[k], n) for k in both]
            column = np.asarray(chosen).reshape(-1, 1)
            found = where(column == 1, *rows)
            found = where(column == UNDECIDED, exact(np.nan), found)
            return spread(found, node.size, n)
    return multiply(_column(tape.curves[place].slope), _known(parts[0]))


def _known(part: Ball | None) -> Ball:
    if part is None:
        raise Malformed("a node varies although nothing that it uses does")
    return part


def _rows_of(part: Ball | None, n: int) -> Ball:
    return exact(np.zeros((1, n))) if part is None else part


def _minus(part: Ball | None) -> Ball | None:
    return None if part is None else negative(part)


def _scaled(factor: Ball, part: Ball | None) -> Ball | None:
    return None if part is None else multiply(factor, part)


def spread(found: Ball, size: int, n: int) -> Ball:
    """One row repeated for each entry, where a scalar met an array."""
    if found.shape[0] == size:
        return found
    rad = None if found.rad is None else np.broadcast_to(found.rad, (size, n))
    return Ball(np.broadcast_to(found.mid, (size, n)), rad)


def _summed(parts: list[Ball | None], size: int, n: int) -> Ball:
    there = [part for part in parts if part is not None]
    found = there[0] if len(there) == 1 else add(there[0], there[1])
    return spread(found, size, n)
