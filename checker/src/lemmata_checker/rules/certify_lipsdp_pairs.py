"""Lower bounds: a pair of inputs at which the network changes so fast."""

import math

import numpy as np

from ..case import Case, Measurement, Rule
from ..network import CURVES, LINEAR, Network, Node
from ..network_actions import interval
from ..rigor import TINY, U, gamma
from ._certify_lipschitz_curves import value_bounds
from ._certify_lipsdp_balls import deviations
from ._certify_lipsdp_points import exact_change
from ._certify_lipsdp_question import GLOBAL, Array, array_of, group_shape, question

Bounds = tuple[Array, Array]


def lower(case: Case) -> Measurement:
    """|f(x) - f(y)| over |x - y|, rounded down; the stated one must not exceed it."""
    asked = question(case)
    size = asked.network.inputs
    pair = array_of(case.value, "pair", (2, size))
    stated = float(array_of(case.value, "lipschitz_lower", (), least=0.0))
    ratio = attained(asked.network, asked.selected, pair, asked.linf)
    if stated > ratio:
        return Measurement(-math.inf, f"{stated!r} is stated, {ratio!r} is attained")
    return Measurement(ratio)


def attained(network: Network, selected: Array, pair: Array, linf: bool) -> float:
    """Lower bound on the ratio at a pair (2, d), 0 where the points coincide."""
    picked = np.argmax(selected, axis=1)
    least = exact_change(network, pair, picked)
    if least is None:
        (lo1, hi1), (lo2, hi2) = (_output(network, x) for x in pair)
        above, below = (lo1 - hi2)[picked], (lo2 - hi1)[picked]
        least = np.maximum(np.maximum(above, below), 0.0) * (1 - 4 * U)
    apart = np.abs(pair[0] - pair[1]) * (1 + 4 * U)
    count = max(least.size, apart.size) + 8
    if linf:
        change, distance = float(np.sum(least)), float(np.max(apart))
    else:
        scale = float(np.max(apart))
        if not scale > 0:
            return 0.0
        change = scale * math.sqrt(float(np.sum((least / scale) ** 2)))
        distance = scale * math.sqrt(float(np.sum((apart / scale) ** 2)))
    if not distance > 1e3 * TINY:
        return 0.0
    return max(change / distance * (1 - gamma(2 * count)), 0.0)


def _output(network: Network, x: Array) -> Bounds:
    """Enclosure of f(x), flat."""
    start = x.reshape(1, *network.input_shape)
    bounds: list[Bounds] = [(start, start)]
    for k, node in enumerate(network.nodes):
        given = [bounds[i + 1] for i in node.inputs]
        if node.op in LINEAR:
            bounds.append(interval(network, k, given))
        elif node.op in CURVES:
            bounds.append(value_bounds(node, *given[0]))
        else:
            bounds.append(_grouped(node, *given[0]))
    return bounds[-1][0].reshape(-1), bounds[-1][1].reshape(-1)


def _grouped(node: Node, lo: Array, hi: Array) -> Bounds:
    count, size, rest = group_shape(node)
    shape = lo.shape
    lo, hi = (a.reshape(count, size, rest) for a in (lo, hi))
    if node.op == "group_sort":  # every order statistic is monotone
        lo, hi = (-np.sort(-a, axis=1) for a in (lo, hi))
        return lo.reshape(shape), hi.reshape(shape)
    # y - v (v'y - |v'y|) / (v'v)
    columns, inverse = deviations(node)
    v = columns
    middle, radius = 0.5 * lo + 0.5 * hi, (hi - lo) * (0.5 + 4 * U) + TINY
    along = np.sum(v * middle, axis=1, keepdims=True)
    spread = np.sum(np.abs(v) * radius, axis=1, keepdims=True)
    size_along = np.sum(np.abs(v) * (np.abs(middle) + radius), axis=1, keepdims=True)
    spread = (spread + gamma(size + 8) * size_along) * (1 + gamma(size + 8)) + TINY
    share = inverse[:, :, None] * (along - np.abs(along))
    out = middle - v * share
    off = 2 * np.abs(v) * inverse[:, :, None] * spread + radius
    whole = np.abs(middle) + np.abs(v * share)
    off = (off + gamma(size + 16) * whole) * (1 + gamma(size + 24)) + size * TINY
    low, high = np.nextafter(out - off, -np.inf), np.nextafter(out + off, np.inf)
    return low.reshape(shape), high.reshape(shape)


RULES = (
    Rule(
        "certify.global_lipschitz_lower/1",
        "proof",
        ">=",
        "at the stated pair of inputs the outputs change at least promised times "
        "their distance",
        "",
        lower,
        kinds=(GLOBAL,),
    ),
)
