"""Linear classifiers as one vector, and the stability of ridge regression."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..case import Case, Malformed
from ..rigor import gamma
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


def weights_and_inputs(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """(w, b) as one vector, and inputs (x, 1). Raises `Malformed` for other models."""
    found = matrices(layers(network(case)))
    if len(found) != 1 or len(found[0]) != 1:
        raise Malformed("network: expected one dense layer with one output")
    inputs = train(case).inputs
    if is_biased(network(case)):
        inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    return found[0][0], inputs


def ridge_stability(case: Case, record: Mapping[str, Any]) -> float:
    """Bousquet and Elisseeff 2002, theorem 12, for (1/n) sum (y - w'x)^2 + s ||w||^2.

    The minimiser has ||w|| <= 1/sqrt(s); with k = max ||x|| the loss is at most
    M = (1 + k/sqrt(s))^2 and has Lipschitz constant 2 sqrt(M), so beta = 4 M k^2 /
    (2 s n). The 0-1 loss is below the squared one. Weights off the minimiser by
    e <= ||gradient|| / (2s) change each loss by at most (2 sqrt(M) + k e) k e.
    """
    w, inputs = weights_and_inputs(case)
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
