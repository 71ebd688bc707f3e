"""Bounds for linear classifiers: Rademacher by Monte Carlo, stability of ridge."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..case import Case, Malformed
from ..rigor import gamma
from .certify_generalization_draws import bits, words
from .certify_generalization_formulas import (
    ROUNDED,
)
from .certify_generalization_models import (
    is_biased,
    layers,
    matrices,
    network,
    square_norms,
    train,
)
from .certify_generalization_played import delta_of, option
from .certify_generalization_shells import shell_of


def _linear(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """(w, b) as one vector, and inputs (x, 1). Raises `Malformed` for other models."""
    found = matrices(layers(network(case)))
    if len(found) != 1 or len(found[0]) != 1:
        raise Malformed("network: expected one dense layer with one output")
    inputs = train(case).inputs
    if is_biased(network(case)):
        inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    return found[0][0], inputs


def signs(key: int, start: int, stop: int, count: int) -> np.ndarray:
    """Rows of fair signs, float64 (stop - start, count)."""
    counters = -(-count // 256)
    drawn = words(key, start * counters, 4 * counters * (stop - start))
    return 1.0 - 2.0 * bits(drawn.reshape(stop - start, -1), count)


def rademacher(case: Case, record: Mapping[str, Any]) -> tuple[int, float, float]:
    """Shell of ||w|| / gamma, complexity of it rounded up, and delta.

    Per unit of norm: the mean over draws of ||sum sigma_i x_i|| / n, each at most
    r = sum ||x_i|| / n, so r sqrt(ln(1/delta') / (2 draws)) below the expectation with
    probability delta' (Hoeffding); never more than sqrt(sum ||x_i||^2) / n (Jensen).
    """
    w, inputs = _linear(case)
    n, d = inputs.shape
    draws = int(option(record, "draws", 0, 1_000_001))
    sampling, margin = (
        option(record, "sampling_delta", 0, 1),
        option(record, "margin", 0, 1e300),
    )
    key = record.get("key")
    if type(key) is not int or not 0 <= key < 2**63:
        raise Malformed(f"measure.key: expected an integer >= 0, got {key!r}")
    squares = square_norms(case)
    total, step = 0.0, max(1, 2**22 // n)
    for start in range(0, draws, step):
        rows = signs(key, start, min(start + step, draws), n)
        total += float(np.sum(np.linalg.norm(rows @ inputs, axis=1)))
    # ||fl - exact|| <= gamma(n) sum ||x_i|| for each draw.
    reach = float(np.sum(np.sqrt(squares))) * (1 + gamma(n + 4))
    mean = total / draws * (1 + gamma(d + draws + 8)) + gamma(n + 2) * reach
    mean += reach * math.sqrt(math.log(1 / sampling) / (2 * draws))
    most = math.sqrt(float(np.sum(squares)) * (1 + gamma(n)))
    norm = float(np.linalg.norm(w)) * (1 + gamma(d + 4)) / margin
    shell = shell_of(norm)
    complexity = 2.0**shell * min(mean, most) / n * ROUNDED
    return shell, complexity, delta_of(record)


def ridge_stability(case: Case, record: Mapping[str, Any]) -> float:
    """Bousquet and Elisseeff 2002, theorem 12, for (1/n) sum (y - w'x)^2 + s ||w||^2.

    The minimiser has ||w|| <= 1/sqrt(s); with k = max ||x|| the loss is at most
    M = (1 + k/sqrt(s))^2 and has Lipschitz constant 2 sqrt(M), so beta = 4 M k^2 /
    (2 s n). The 0-1 loss is below the squared one. Weights off the minimiser by
    e <= ||gradient|| / (2s) change each loss by at most (2 sqrt(M) + k e) k e.
    """
    w, inputs = _linear(case)
    sample, strength = train(case), option(record, "strength", 0, 1e300)
    n, d = inputs.shape
    y = 2.0 * sample.labels - 1.0
    away = inputs @ w - y
    slope = 2 * (inputs.T @ away / n + strength * w)
    sizes = np.abs(inputs) @ np.abs(w) + 1.0
    off = gamma(n + d + 10) * (np.abs(inputs).T @ sizes / n + strength * np.abs(w))
    gradient = float(np.linalg.norm(np.abs(slope) + 4 * off)) * (1 + gamma(d + 8))
    moved = gradient / (2 * strength)
    k = math.sqrt(float(np.max(square_norms(case))))
    top = 1 + k / math.sqrt(strength)
    beta, most = 4 * top**2 * k**2 / (2 * strength * n), top**2
    change = (2 * top + k * moved) * k * moved
    loss = float(np.mean((np.abs(away) + gamma(d + 4) * sizes) ** 2))
    loss *= 1 + gamma(n + 8)
    deviation = math.sqrt(math.log(1 / delta_of(record)) / (2 * n))
    value = loss + 2 * change + 2 * beta + (4 * n * beta + most) * deviation
    return value * ROUNDED
