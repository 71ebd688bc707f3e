"""A tiny instance of matrix sensing, for the gauntlet."""

from typing import Any

import numpy as np

from ._gaussian_operator import GaussianOperator
from ._gradient_descent import AcceleratedAsymmetricGradientDescent
from ._matrix_sensing import MatrixSensing, measure


def matrix_sensing() -> tuple[Any, Any]:
    """A 6 x 5 matrix of rank 1, width 2, as many measurements held out as needed."""
    rng = np.random.default_rng(3)
    truth = np.outer(rng.normal(size=6), rng.normal(size=5))
    operator = GaussianOperator((6, 5), 100, key=5)
    y = measure(operator, truth)
    problem = MatrixSensing(operator, y, held_out=40)
    return problem, AcceleratedAsymmetricGradientDescent(2)
