"""A tiny trained network and its measures, for the gauntlet."""

from typing import Any

import numpy as np

from ..numerics.networks import Network
from ._generalization import GeneralizationBounds
from ._generalization_method import EvaluateMeasures
from ._measure_counting import HoldOut, Occam, VCDimension
from ._measure_norms import (
    FrobeniusProduct,
    PACBayesSpectral,
    PathNorm,
    SpectralMargin,
)
from ._measure_pac_bayes import PACBayes


def generalization() -> tuple[Any, Any]:
    """Two classes in the plane, a network of three ReLUs, every kind of measure."""
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(60, 2))
    labels = (inputs[:, 0] + 0.3 * inputs[:, 1] > 0).astype(np.float64)
    before = [rng.normal(size=(3, 2)) / 4, rng.normal(size=(1, 3)) / 4]
    after = [np.array([[1.0, 0.2], [-1.0, -0.3], [0.1, 0.3]]), np.array([[2, -2, 0.3]])]
    train, test = (inputs[:20], labels[:20]), (inputs[20:], labels[20:])
    measures = (
        Occam(),
        VCDimension(),
        FrobeniusProduct(margin=0.1),
        SpectralMargin(margin=0.1),
        PACBayesSpectral(margin=0.1),
        PathNorm(margin=0.1),
        PACBayes(draws=20, steps=5),
        HoldOut(),
    )
    problem = GeneralizationBounds(
        _network(after), train, test, measures, initial=_network(before)
    )
    return problem, EvaluateMeasures()


def _network(weights: list[np.ndarray]) -> Network:
    content = {
        "input_shape": [2],
        "nodes": [
            {"op": "dense", "inputs": [-1], "weight": "network_0_weight"},
            {"op": "relu", "inputs": [0]},
            {"op": "dense", "inputs": [1], "weight": "network_2_weight"},
        ],
    }
    arrays = {
        f"network_{k}_weight": np.asarray(w, dtype=np.float64)
        for k, w in zip((0, 2), weights, strict=True)
    }
    return Network.of(content, arrays)
