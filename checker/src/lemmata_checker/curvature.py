"""The Hessian of f + lambda^T c of a program, enclosed: adjoints, then their products.

With v the adjoint of a node phi(a, b) and J the Jacobians of its inputs, H is the sum
over nodes of J_a^T diag(v phi_aa) J_a and 2 sym(J_a^T diag(v phi_ab) J_b).
"""

import numpy as np

from .differentiate import UNDECIDED, Evaluation, Tape, branch, varying_entries
from .errors import Malformed
from .intervals import (
    Ball,
    add,
    exact,
    multiply,
    negative,
    product,
    scatter_add,
    total,
    where,
)
from .program import Node

MOST_PRODUCTS = 50_000_000_000  # of rows with themselves


def hessian(found: Evaluation, multipliers: Ball, objective: float = 1.0) -> Ball:
    """Of `objective` f + lambda^T c, shape (n, n); multipliers (m,)."""
    program, tape = found.program, found.tape
    n = program.variables
    if varying_entries(program) * n * n > MOST_PRODUCTS:
        raise Malformed("the program's Hessian is too large to be judged")
    adjoints: dict[int, Ball] = {}
    _accumulate(adjoints, program.objective, exact(objective))
    _accumulate(adjoints, program.constraint, multipliers)
    result = exact(np.zeros((n, n)))
    for place in range(len(program.nodes) - 1, -1, -1):
        node = program.nodes[place]
        if place not in adjoints or not node.varies or node.boolean:
            continue
        adjoint = adjoints.pop(place)
        for term in _second(node, place, tape, adjoint):
            result = add(result, term)
        for index, passed in _first(node, place, tape, adjoint):
            if program.nodes[index].varies:
                _accumulate(adjoints, index, _fit(passed, program.nodes[index]))
    return result


def _accumulate(adjoints: dict[int, Ball], place: int, passed: Ball) -> None:
    known = adjoints.get(place)
    adjoints[place] = passed if known is None else add(known, passed)


def _fit(passed: Ball, node: Node) -> Ball:
    """Summed to a scalar, where a scalar met an array."""
    if passed.shape == node.shape:
        return passed
    if node.shape == ():
        return total(passed, tuple(range(len(passed.shape))))
    return add(passed, exact(np.zeros(node.shape)))


def weigh(adjoint: Ball, factor: Ball) -> Ball:
    """The adjoint times a factor; where it is zero nothing passes, not even NaN."""
    return where(adjoint.is_zero(), exact(0.0), multiply(adjoint, factor))


def _first(node: Node, place: int, tape: Tape, v: Ball) -> list[tuple[int, Ball]]:
    """What the node passes to each of its inputs."""
    inputs = node.inputs
    match node.operation:
        case "variable":
            return []
        case "negative":
            return [(inputs[0], negative(v))]
        case "add":
            return [(inputs[0], v), (inputs[1], v)]
        case "subtract":
            return [(inputs[0], v), (inputs[1], negative(v))]
        case "multiply":
            a, b = inputs
            return [(a, weigh(v, tape.values[b])), (b, weigh(v, tape.values[a]))]
        case "matmul":
            a = tape.values[inputs[0]]
            flipped = Ball(a.mid.T, None if a.rad is None else a.rad.T)
            return [(inputs[1], product(flipped, v))]
        case "sum":
            return [(inputs[0], _unsum(v, node.options[0], tape.values[inputs[0]]))]
        case "view" | "take":
            return _scattered(node, tape, v)
        case "select" | "maximum" | "minimum":
            chosen, one, other = branch(node, tape)
            v = where(v.is_zero(), v, where(chosen == UNDECIDED, exact(np.nan), v))
            zero = exact(0.0)
            return [
                (one, where(chosen == 1, v, zero)),
                (other, where(chosen == 0, v, zero)),
            ]
    return [(inputs[0], weigh(v, tape.curves[place].slope))]


def _unsum(v: Ball, axes: tuple[int, ...], source: Ball) -> Ball:
    shape = tuple(1 if a in axes else size for a, size in enumerate(source.shape))
    wide = v.reshape(shape)
    rad = None if wide.rad is None else np.broadcast_to(wide.rad, source.shape)
    return Ball(np.broadcast_to(wide.mid, source.shape), rad)


def _scattered(node: Node, tape: Tape, v: Ball) -> list[tuple[int, Ball]]:
    shapes = [tape.values[k].shape for k in node.inputs]
    sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]
    whole = scatter_add((sum(sizes),), node.options[0], v)
    passed, start = [], 0
    for index, shape, size in zip(node.inputs, shapes, sizes, strict=True):
        part = whole.flat(slice(start, start + size)).reshape(shape)
        passed.append((index, part))
        start += size
    return passed


def _second(node: Node, place: int, tape: Tape, v: Ball) -> list[Ball]:
    """The node's own contribution to the Hessian."""
    if node.operation == "multiply":
        one, other = (tape.jacobians[k] for k in node.inputs)
        if one is None or other is None:
            return []
        term = _congruent(one, v.reshape((-1,)), other)
        flipped = Ball(term.mid.T, term.radius.T)
        return [term, flipped]
    if place not in tape.curves:
        return []
    rows = tape.jacobians[node.inputs[0]]
    weight = weigh(v, tape.curves[place].bend).reshape((-1,))
    return [] if rows is None else [_congruent(rows, weight, rows)]


def _congruent(one: Ball, weight: Ball, other: Ball) -> Ball:
    """one^T diag(weight) other; rows of weight zero are left out, NaN or not."""
    used = np.flatnonzero(~weight.is_zero())
    left, right = _picked(one, used, weight), _picked(other, used, weight)
    scaled = multiply(weight.flat(used).reshape((-1, 1)), right)
    return product(Ball(left.mid.T, left.radius.T), scaled)


def _picked(rows: Ball, used: np.ndarray, weight: Ball) -> Ball:
    """Rows in use; the one row of a scalar stands for all."""
    if rows.shape[0] == weight.mid.size:
        return rows.flat(used)
    return rows.flat(np.zeros(used.size, dtype=np.int64))
