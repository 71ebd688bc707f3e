"""PAC-Bayes for networks: Gaussian posterior, Gaussian prior, Monte-Carlo loss."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..case import Case, Malformed
from ..network import Network
from ..rigor import gamma
from .certify_generalization_draws import words
from .certify_generalization_formulas import (
    ROUNDED,
)
from .certify_generalization_models import (
    flat_of,
    initial,
    layers,
    network,
    parameters,
    train,
)
from .certify_generalization_numbers import (
    inverse_entropy,
)
from .certify_generalization_played import delta_of, option

LARGEST_VARIANCE, PRECISION = 0.1, 100  # prior variances 0.1 exp(-j / 100), j >= 1
NEAR = 1e-9  # margins so close to 0, relatively, count as errors
MOST_INDEX = 10_000


def normals(key: int, start: int, stop: int, entries: int) -> np.ndarray:
    """Rows of normal numbers by Box and Muller, float64 (stop - start, entries)."""
    counters = -(-entries // 4)
    drawn = words(key, start * counters, 4 * counters * (stop - start))
    unit = ((drawn >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    unit = unit.reshape(stop - start, 2, 2 * counters)
    length = np.sqrt(-2 * np.log(unit[:, 0]))
    angle = 2 * np.pi * unit[:, 1]
    both = np.concatenate([length * np.cos(angle), length * np.sin(angle)], axis=1)
    return both[:, :entries]


def divergence(deviation: np.ndarray, distance: float, variance: float) -> float:
    """KL(N(w, diag s^2) || N(w0, v I)), rounded up; `distance` = ||w - w0||^2.

    (1/2) sum (s^2/v - 1 - ln(s^2/v)) + ||w - w0||^2 / (2v): every term >= 0.
    """
    if not np.all(deviation > 0):
        raise Malformed("posterior_deviation: expected numbers > 0")
    ratio = deviation**2 / variance
    terms = ratio - 1 - np.log(ratio)
    # ratio and its logarithm round by a few u relative to ratio + 1 + |log|.
    off = 8 * 2.0**-53 * (ratio + 2 + np.abs(np.log(ratio)))
    total = float(np.sum(np.maximum(terms, 0.0) + off)) / 2
    return (total + distance / (2 * variance)) * (1 + gamma(deviation.size + 10))


def pac_bayes(
    case: Case,
    record: Mapping[str, Any],
    deviation: np.ndarray,
    index: int,
    key: int,
) -> float:
    """kl^-1(Q_S || (KL + ln(2 sqrt(n) / delta_j)) / n), delta_j = 6 delta / (pi j)^2.

    Q_S itself is at most kl^-1(mean || ln(1/delta') / draws), the mean over draws of
    the training error (Chernoff). Maurer 2004 for n >= 8; prior variances and the union
    over them as Dziugaite and Roy 2017.
    """
    model, sample = network(case), train(case)
    n = len(sample.labels)
    draws = int(option(record, "draws", 0, 1_000_001))
    sampling = option(record, "sampling_delta", 0, 1)
    if not 1 <= index <= MOST_INDEX or n < 8 or not 0 <= key < 2**63:
        raise Malformed("expected 1 <= prior_index, a key >= 0, and at least 8 samples")
    away = parameters(model) - flat_of(initial(case))
    distance = float(np.sum(away * away)) * (1 + gamma(away.size + 4))
    variance = LARGEST_VARIANCE * math.exp(-index / PRECISION)
    kl = divergence(deviation, distance, variance) * (1 + 1e-12)
    mean = gibbs_loss(model, sample.inputs, sample.labels, deviation, key, draws)
    loss = inverse_entropy(mean, math.log(1 / sampling) / draws * ROUNDED)
    share = math.log(math.pi**2 * index**2 / 6 / delta_of(record))
    allowed = (kl + math.log(2 * math.sqrt(n)) + share) / n * ROUNDED
    return inverse_entropy(loss, allowed)


def gibbs_loss(
    model: Network,
    inputs: np.ndarray,
    labels: np.ndarray,
    deviation: np.ndarray,
    key: int,
    draws: int,
) -> float:
    """Share of errors over all draws of the weights and all samples, at least."""
    centre, errors = parameters(model), 0
    step = max(1, 2**20 // max(centre.size, 1))
    for start in range(0, draws, step):
        stop = min(start + step, draws)
        for noise in normals(key, start, stop, centre.size):
            outputs = _forward(model, centre + deviation * noise, inputs)
            errors += _errors(outputs, labels)
    return errors / (draws * len(labels))


def _forward(model: Network, flat: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Outputs (n, K) with other weights, in floating point."""
    chain = {layer.node: layer for layer in layers(model)}
    place, x = 0, inputs
    for k, node in enumerate(model.nodes):
        if node.op == "dense":
            shape = chain[k].weight.shape
            weight = flat[place : place + shape[0] * shape[1]].reshape(shape)
            place += weight.size
            x = x @ weight.T
            if chain[k].bias is not None:
                x = x + flat[place : place + shape[0]]
                place += shape[0]
        elif node.op == "relu":
            x = np.maximum(x, 0.0)
        elif node.op == "leaky_relu":
            x = np.where(x > 0, x, node.options["slope"] * x)
    return x


def _errors(outputs: np.ndarray, labels: np.ndarray) -> int:
    size = 1 + np.max(np.abs(outputs), axis=1)
    if outputs.shape[1] == 1:
        margin = np.where(labels == 1, outputs[:, 0], -outputs[:, 0])
    else:
        rows = np.arange(len(labels))
        own = outputs[rows, labels]
        others = outputs.copy()
        others[rows, labels] = -np.inf
        margin = own - others.max(axis=1)
    return int(np.sum(~(margin > NEAR * size)))
