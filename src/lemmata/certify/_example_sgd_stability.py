"""A tiny instance of stability, for the gauntlet."""

from typing import Any

import numpy as np

from ._exact_mean_square import ExactMeanSquare
from ._sgd_stability import SGDStability
from ._stability_models import DiagonalLinear


def sgd_stability() -> tuple[Any, Any]:
    """Five samples, a diagonal linear network of eight entries that fits them."""
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(5, 8))
    params = {"first": rng.normal(size=8), "second": rng.normal(size=8)}
    model = DiagonalLinear()
    targets = model.predictions(params, inputs)
    problem = SGDStability(model, params, inputs, targets, 0.05, batch_size=2)
    return problem, ExactMeanSquare()
