"""Capacities of dense ReLU networks, enclosed: products of norms of their matrices."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..definite import frobenius_norm, spectral_norm
from ..rigor import gamma
from .certify_generalization_models import (
    initial,
    is_biased,
    layers,
    matrices,
    network,
    square_norms,
    train,
)


class Enclosure(NamedTuple):
    """Bounds on one positive number."""

    low: float
    high: float


class Norms(NamedTuple):
    """Of each homogeneous matrix A, and of its distance from the initial one.

    - `spectral`: enclosures of ||A||_2; `frobenius`: upper bounds on ||A||_F.
    - `moved`: ||A - A_0||_F; `rows`: sum of the lengths of the rows of A - A_0.
    - `width`: largest number of entries between layers; `rounding`: relative.
    """

    spectral: list[Enclosure]
    frobenius: list[float]
    moved: list[float]
    rows: list[float]
    width: int
    rounding: float


def norms(case: Case) -> Norms:
    """All of them, once per certificate."""
    return case.shared("generalization: norms", lambda: _norms(case))


def _norms(case: Case) -> Norms:
    model = network(case)
    own, start = matrices(layers(model)), matrices(initial(case))
    # The homogeneous row [0, 1] is no weight: it has not moved.
    away = [a - b for a, b in zip(own, start, strict=True)]
    if is_biased(model):
        for matrix in away[:-1]:
            matrix[-1] = 0.0
    size = max(2, *(max(a.shape) for a in own))
    return Norms(
        [_spectral(a) for a in own],
        [frobenius_norm(a) for a in own],
        [frobenius_norm(a) for a in away],
        [float(np.sum(np.linalg.norm(a, axis=1))) for a in away],
        size,
        gamma(sum(sum(a.shape) + 30 for a in own) + train(case).inputs.size),
    )


def _spectral(matrix: np.ndarray) -> Enclosure:
    """Verified from above; from below by one vector, ||A v|| / ||v||."""
    high = spectral_norm(matrix)
    if not math.isfinite(high):
        raise Malformed("a spectral norm could not be bounded")
    v = np.linalg.svd(matrix)[2][0]
    count = sum(matrix.shape) + 8
    spread = np.abs(matrix) @ np.abs(v) * gamma(count)
    image = np.maximum(np.abs(matrix @ v) - spread, 0.0)
    low = float(np.linalg.norm(image) / np.linalg.norm(v)) * (1 - gamma(count))
    return Enclosure(low, high)


def _widened(found: Norms, low: float, high: float) -> Enclosure:
    return Enclosure(low * (1 - found.rounding), high * (1 + found.rounding))


def _others(sizes: list[float], parts: list[float], power: float) -> float:
    """(sum_i (part_i prod_{j != i} size_j)^power)^(1 / power): increasing in both."""
    terms = [
        (part * math.prod(s for j, s in enumerate(sizes) if j != i)) ** power
        for i, part in enumerate(parts)
    ]
    return sum(terms) ** (1 / power)


def spectral_margin(case: Case, record: Mapping[str, Any], margin: float) -> Enclosure:
    """||X||_F prod s_i (sum (||A_i - M_i||_{2,1} / s_i)^(2/3))^(3/2) ln W / (gamma n).

    Bartlett, Foster, Telgarsky 2017, theorem 1.1, its constant left out.
    """
    found, n = norms(case), len(train(case).labels)
    data = math.sqrt(float(np.sum(square_norms(case))))
    factor = data * math.log(found.width) / (margin * n)
    low, high = (
        _others([getattr(s, side) for s in found.spectral], found.rows, 2 / 3) * factor
        for side in ("low", "high")
    )
    return _widened(found, low, high)


def pac_bayes_spectral(
    case: Case, record: Mapping[str, Any], margin: float
) -> Enclosure:
    """B L sqrt(h ln(Lh)) prod s_i sqrt(sum ||A_i - M_i||_F^2 / s_i^2) / (gamma sqrt n).

    Neyshabur, Bhojanapalli, Srebro 2018, its constant and ln(n / delta) left out.
    """
    found, n = norms(case), len(train(case).labels)
    depth, width = len(found.spectral), found.width
    reach = math.sqrt(float(np.max(square_norms(case))))
    factor = reach * depth * math.sqrt(width * math.log(depth * width))
    factor /= margin * math.sqrt(n)
    low, high = (
        _others([getattr(s, side) for s in found.spectral], found.moved, 2.0) * factor
        for side in ("low", "high")
    )
    return _widened(found, low, high)


def path_norm(case: Case, record: Mapping[str, Any], margin: float) -> Enclosure:
    """B (sum over paths of prod |w|^p)^(1/p) / (gamma sqrt n), p = 1 or 2.

    B = max ||x||_inf for p = 1, ||x||_2 for p = 2 (Neyshabur, Tomioka, Srebro 2015).
    """
    power = record.get("power")
    if power not in (1, 2) or isinstance(power, bool):
        raise Malformed(f"measure.power: expected 1 or 2, got {power!r}")
    found, sample = norms(case), train(case)
    flow = np.ones(matrices(layers(network(case)))[0].shape[1])
    for matrix in matrices(layers(network(case))):
        flow = np.abs(matrix) ** power @ flow
    if power == 1:
        reach = float(np.max(np.abs(sample.inputs)))
        reach = max(reach, 1.0) if is_biased(network(case)) else reach
    else:
        reach = math.sqrt(float(np.max(square_norms(case))))
    value = reach * float(np.sum(flow)) ** (1 / power)
    value /= margin * math.sqrt(len(sample.labels))
    return _widened(found, value, value)


def vc_dimension(case: Case) -> float:
    """L + (sum_i W_i) log2(4eR log2(2eR)), R = sum_i i k_i, an upper bound.

    Bartlett, Harvey, Liaw, Mehrabian 2019, theorem 7 for piecewise linear activations
    of two pieces: layer i has k_i units, W_i parameters stand in layers up to i. For K
    outputs an error depends on K - 1 signs: k_L = K - 1.
    """
    chain = layers(network(case))
    units = [len(layer.weight) for layer in chain]
    units[-1] = max(units[-1] - 1, 1)
    counts = [
        layer.weight.size + (0 if layer.bias is None else layer.bias.size)
        for layer in chain
    ]
    together = sum(sum(counts[: i + 1]) for i in range(len(counts)))
    r = max(sum((i + 1) * k for i, k in enumerate(units)), 3)
    inner = math.log2(2 * math.e * r)
    return len(chain) + together * math.log2(4 * math.e * r * inner) * (1 + 1e-14)
