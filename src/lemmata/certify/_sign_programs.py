"""Whether a box has a point where given neurons have given signs: linear programs.

Where every activation below a neuron is decided, its input is a x + b on the domain.
The program max t subject to sign_j (a_j x + b_j) / |a_j| >= t over the box has a point
inside (t > 0), or multipliers that show that there is none (t < 0).
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linprog

from lemmata_checker.network import LINEAR, Network as Records
from lemmata_checker.network_actions import constant, forward

from ..numerics.networks import PIECEWISE

MARGIN = 1e-8  # of t, below which nothing is concluded


class Verdict(NamedTuple):
    """`point`: one with these signs, well inside; `multipliers`: (n,); or None."""

    point: np.ndarray | None
    multipliers: np.ndarray | None


def decide_signs(
    network: Records,
    box: tuple[np.ndarray, np.ndarray],
    signs: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> Verdict:
    """Decides one domain.

    **Arguments:** `signs`: (n,), of the piecewise linear neurons, 0 where open;
    `lower`, `upper`: (m,), bounds on the inputs of all activations.
    """
    rows, offsets, places = _forms(network, signs, lower, upper)
    used = [i for i, j in enumerate(places) if signs[j] != 0]
    if not used:
        return Verdict(None, None)
    a, b = rows[used], offsets[used]
    chosen = np.asarray(places)[used]
    size = np.sum(np.abs(a), axis=1)
    size = np.where(size > 0, size, np.maximum(np.abs(b), 1.0))
    scale = signs[chosen] / size
    a, b = a * scale[:, None], b * scale
    system = np.hstack([-a, np.ones((len(a), 1))])
    limits = [*zip(box[0], box[1], strict=True), (None, 1.0)]
    cost = np.zeros(a.shape[1] + 1)
    cost[-1] = -1.0
    answer = linprog(cost, A_ub=system, b_ub=b, bounds=limits, method="highs")
    if answer.status != 0:
        return Verdict(None, None)
    if answer.x[-1] > MARGIN:
        return Verdict(np.clip(answer.x[:-1], *box), None)
    if answer.x[-1] > -MARGIN:
        return Verdict(None, None)
    multipliers = np.zeros(len(signs))
    weights = np.maximum(-np.asarray(answer.ineqlin.marginals), 0.0)
    multipliers[chosen] = weights * np.abs(scale)
    return Verdict(None, multipliers)


def _forms(network: Records, signs, lower, upper):
    """Rows, offsets and numbers of the neurons whose input is affine on the domain."""
    size = network.inputs
    start = np.eye(size).reshape(size, *network.input_shape)
    known: list[Any] = []
    first = (start, np.zeros(network.input_shape))
    rows, offsets, places = [np.zeros((0, size))], [np.zeros(0)], []
    place = every = 0
    for node in network.nodes:
        given = [first if i < 0 else known[i] for i in node.inputs]
        if node.op in LINEAR:
            shapes = [network.shape(i) for i in node.inputs]
            known.append(_affine(node, given, shapes))
            continue
        count, every = node.size, every + node.size
        low, high = (
            s[every - count : every].reshape(node.shape) for s in (lower, upper)
        )
        if node.op not in PIECEWISE:
            known.append(None)
            continue
        sign = signs[place : place + count].reshape(node.shape)
        if given[0] is not None:
            rows.append(given[0][0].reshape(size, -1).T)
            offsets.append(given[0][1].reshape(-1))
            places += range(place, place + count)
        place += count
        on, off = (sign > 0) | (low >= 0), (sign < 0) | (high <= 0)
        if given[0] is None or not np.all(on | off):
            known.append(None)
            continue
        a = float(node.options["slope"]) if node.op == "leaky_relu" else 0.0
        slope = np.where(on, 1.0, a)
        known.append((given[0][0] * slope, given[0][1] * slope))
    return np.concatenate(rows), np.concatenate(offsets), places


def _affine(node, given, shapes):
    if any(part is None for part in given):
        return None
    matrix = forward(node, [part[0] for part in given], shapes, size=False)
    offset = forward(node, [part[1] for part in given], shapes, size=False)
    bias = constant(node)
    return matrix, offset if bias is None else offset + bias
