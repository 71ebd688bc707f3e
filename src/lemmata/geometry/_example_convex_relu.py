"""A tiny instance of training to global optimality, for the gauntlet."""

from typing import Any

import numpy as np

from ._convex_relu import ConvexReLU
from ._relu_newton import SemismoothNewton
from ._relu_patterns import Exact


def convex_relu() -> tuple[Any, Any]:
    """Twelve samples in the plane, all 24 patterns, squared loss."""
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(12, 2))
    targets = np.abs(inputs[:, 0]) - 0.5 * inputs[:, 1] + 0.1 * rng.normal(size=12)
    problem = ConvexReLU(inputs, targets, weight_decay=0.1, patterns=Exact())
    return problem, SemismoothNewton()
