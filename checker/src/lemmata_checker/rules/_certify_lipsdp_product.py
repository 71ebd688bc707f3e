"""Products of the layers' norms, from above and from below.

L(node) = norm * L(input); add: the sum; concatenate: the root of the sum of squares
(l_2), the largest (l_inf); activations: their greatest slope, 1 for GroupSort, and for
Householder 1 in l_2, the norm of the reflection in l_inf.
"""

import math
from typing import NamedTuple

import numpy as np

from ..case import Malformed
from ..definite import LARGEST, spectral_norm
from ..network import LINEAR, Network, Node
from ..network_actions import forward, terms
from ..rigor import TINY, gamma
from ._certify_lipsdp_balls import deviations
from ._certify_lipsdp_question import GROUPED, Array, Question, slopes_of

MOST_ENTRIES = 2**24  # of one layer as a matrix


class Bracket(NamedTuple):
    """`lower` <= the exact product of norms <= `upper`."""

    lower: float
    upper: float


def norm_product(asked: Question) -> Bracket:
    """Brackets the product; for one output, or the sum, the last layer's rows count."""
    network = asked.network
    last = len(network.nodes) - 1
    known: dict[int, Bracket] = {-1: Bracket(1.0, 1.0)}
    for k, node in enumerate(network.nodes):
        given = [known[i] for i in node.inputs]
        chosen = asked.selected if k == last and not asked.plain else None
        known[k] = _node(network, node, given, asked.linf, chosen, k == last)
    return known[last]


def _node(
    network: Network,
    node: Node,
    given: list[Bracket],
    linf: bool,
    chosen: Array | None,
    final: bool,
) -> Bracket:
    if node.op == "add":
        return _up(sum(b.lower for b in given), sum(b.upper for b in given))
    if node.op == "concatenate" and linf:
        low, high = (max(side) for side in zip(*given, strict=True))
        return _l1(node, Bracket(low, high), final)
    if node.op == "concatenate":
        low, high = (math.sqrt(sum(x * x for x in b)) for b in zip(*given, strict=True))
        return _up(low, high)
    if node.op == "reshape":
        return _l1(node, given[0], final and linf)
    if node.op not in LINEAR:
        factor = _activation(node, linf)
        out = _up(given[0].lower * factor.lower, given[0].upper * factor.upper)
        return _l1(node, out, final and linf)
    own = _linear(network, node, linf, chosen, final)
    return _up(given[0].lower * own.lower, given[0].upper * own.upper)


def _l1(node: Node, found: Bracket, final: bool) -> Bracket:
    """From l_inf to the sum over outputs, where the last node is no matrix."""
    return _up(found.lower, found.upper * node.size) if final else found


def _activation(node: Node, linf: bool) -> Bracket:
    if node.op not in GROUPED:
        slope = slopes_of(node)[1]
        return Bracket(slope, slope)
    if node.op == "group_sort" or not linf:
        return Bracket(1.0, 1.0)
    columns, inverse = deviations(node)
    v = np.abs(columns[:, :, 0])
    rows = 2 * v * np.sum(v, axis=1, keepdims=True) * inverse
    worst = 1.0 + float(np.max(rows)) * (1 + gamma(4 * v.shape[1] + 20))
    return Bracket(1.0, worst)


def _linear(
    network: Network, node: Node, linf: bool, chosen: Array | None, final: bool
) -> Bracket:
    if node.op == "affine" and not (linf and final):
        weight = 1.0 if node.weight is None else np.max(np.abs(node.weight))
        return Bracket(float(weight), float(weight))
    matrix, error = as_matrix(network, node)
    if chosen is not None:
        picked = np.argmax(chosen, axis=1)
        matrix, error = matrix[picked], error[picked]
    if linf:
        rows = np.sum(np.abs(matrix), axis=1)
        off = np.sum(error, axis=1) + gamma(matrix.shape[1] + 8) * rows
        worst = np.sum if final else np.max
        high = float(worst(rows + off)) * (1 + gamma(len(rows) + 4))
        return Bracket(float(np.max(rows - off)), high)
    off = float(np.sqrt(np.sum(error**2))) * (1 + gamma(error.size + 8))
    return Bracket(_attained(matrix, off), spectral_norm(matrix, off))


def _attained(matrix: Array, off: float) -> float:
    """|W v| / |v| for a good v, rounded down."""
    if not matrix.size or not np.any(matrix):
        return 0.0
    v = np.linalg.svd(matrix, full_matrices=False)[2][0]
    image = matrix @ v
    count = matrix.shape[1] + matrix.shape[0] + 20
    ratio = float(np.linalg.norm(image) / np.linalg.norm(v))
    size = float(np.linalg.norm(np.abs(matrix) @ np.abs(v)) / np.linalg.norm(v))
    return max(ratio - gamma(4 * count) * size - off - TINY, 0.0)


def as_matrix(network: Network, node: Node) -> tuple[Array, Array]:
    """A linear node with one input as a matrix (out, in), with entrywise error."""
    shape = network.shape(node.inputs[0])
    size = math.prod(shape)
    if node.op == "dense":
        assert node.weight is not None
        return node.weight, np.zeros_like(node.weight)
    if size * node.size > MOST_ENTRIES or min(size, node.size) > LARGEST:
        raise Malformed(f"{node.op}: too large for its norm to be bounded")
    unit = np.eye(size).reshape(size, *shape)
    out, bound = (forward(node, [unit], [shape], size=flag) for flag in (False, True))
    assert out is not None
    assert bound is not None
    matrix = out.reshape(size, -1).T
    return matrix, gamma(terms(node, backward=False) + 4) * bound.reshape(size, -1).T


def _up(low: float, high: float) -> Bracket:
    """A few roundings, outwards."""
    return Bracket(low * (1 - gamma(16)), high * (1 + gamma(16)))
