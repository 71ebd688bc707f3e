"""The largest norm over all patterns of the activations: exact for small networks.

f(x) - f(x') is an average of products W_l D_{l-1} .. D_1 W_1 (x - x'), each D in the
convex hull of the activation's extreme Jacobians (slopes at either end, permutations of
a group, a reflection or none), and a norm, convex in each D, is largest at extremes.
"""

import itertools
import math

import numpy as np

from ..case import Malformed
from ..definite import frobenius_norm, spectral_norm
from ..network import CURVES, LINEAR, Node
from ..rigor import gamma
from ._certify_lipsdp_balls import Ball, deviations, linear
from ._certify_lipsdp_question import Array, Question, group_shape, slopes_of

MOST_PATTERNS = 2**13


def pattern_count(asked: Question) -> int:
    """How many patterns there are."""
    return math.prod(
        len(_choices(node)) ** _places(node)
        for node in asked.network.nodes
        if node.op not in LINEAR
    )


def greatest_pattern(asked: Question) -> float:
    """Upper bound on the norm of every pattern's Jacobian.

    **Raises:** `Malformed` for too many patterns.
    """
    count = pattern_count(asked)
    if count > MOST_PATTERNS:
        raise Malformed(f"{count} patterns, at most {MOST_PATTERNS} are gone through")
    network, size = asked.network, asked.network.inputs
    eye = np.eye(size).reshape(size, *network.input_shape)
    start = {-1: Ball(eye, np.zeros_like(eye))}
    return _greatest(asked, 0, start)


def _greatest(asked: Question, k: int, values: dict[int, Ball]) -> float:
    network = asked.network
    values = dict(values)
    while k < len(network.nodes) and network.nodes[k].op in LINEAR:
        node = network.nodes[k]
        shapes = [network.shape(i) for i in node.inputs]
        values[k] = linear(node, [values[i] for i in node.inputs], shapes)
        k += 1
    if k == len(network.nodes):
        return _norm(asked, values[k - 1])
    node = network.nodes[k]
    z = values[node.inputs[0]]
    pool = itertools.product(range(len(_choices(node))), repeat=_places(node))
    return max(
        _greatest(asked, k + 1, values | {k: _act(node, z, np.array(pattern))})
        for pattern in pool
    )


def _norm(asked: Question, final: Ball) -> float:
    picked = np.argmax(asked.selected, axis=1)
    size = len(final.mid)
    mid, rad = (a.reshape(size, -1)[:, picked] for a in final)
    if not asked.linf:
        return spectral_norm(mid.T.copy(), frobenius_norm(rad))
    if mid.shape[1] > 12:
        raise Malformed("the l_1 norm of more than 12 outputs is not gone through")
    whole = np.abs(mid).sum(axis=0).sum() + rad.sum()
    slack = (rad.sum() + gamma(size * mid.shape[1] + 8) * whole) * (1 + 1e-12)
    signs = itertools.product((1.0, -1.0), repeat=mid.shape[1])
    return max(float(np.abs(mid @ np.array(s)).sum()) for s in signs) + float(slack)


def _places(node: Node) -> int:
    if node.op in CURVES:
        return node.size
    count, _, rest = group_shape(node)
    return count * rest


def _choices(node: Node) -> list:
    if node.op in CURVES:
        return list(dict.fromkeys(slopes_of(node)))
    if node.op == "householder":
        return [False, True]
    size = group_shape(node)[1]
    if size > 7:
        raise Malformed(f"too many patterns: groups of {size}")
    return list(itertools.permutations(range(size)))


def _act(node: Node, z: Ball, pattern: Array) -> Ball:
    choices = _choices(node)
    if node.op in CURVES:
        slope = np.array(choices)[pattern].reshape(node.shape)
        return z.apply(lambda x, size: x * slope, 1)
    count, size, rest = group_shape(node)
    shape = (len(z.mid), count, size, rest)
    z, pattern = z.shaped(*shape), pattern.reshape(count, rest)
    if node.op == "group_sort":
        order = np.array(choices)[pattern].transpose(0, 2, 1)[None]
        parts = (np.take_along_axis(a, np.broadcast_to(order, shape), 2) for a in z)
        out = Ball(*parts)
    else:
        columns, inverse = deviations(node)
        v = columns[:, :, 0]
        chosen = pattern[:, None, :].astype(np.float64)

        def reflected(x: Array, absolute: bool) -> Array:
            w = np.abs(v) if absolute else v
            along = np.einsum("gs,pgsr->pgr", w, x) * inverse
            turned = 2 * w[:, :, None] * along[:, :, None, :] * chosen
            return x + turned if absolute else x - turned

        out = z.apply(reflected, 2 * size + 12)
    return out.shaped(len(z.mid), *node.shape)
