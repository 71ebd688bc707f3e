"""A strictly feasible point of the inequality, by one backward sweep.

V_k(x, y_1..y_k) is the most that ||C d||^2 + sum_{j > k} lambda_j (|dz_j|^2 - |y_j|^2)
reaches over y_{k+1}, ...: finite for lambda_k above the largest eigenvalue of V's block
of y_k, and quadratic again. At the end rho exceeds the largest eigenvalue of V_0.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ._inequality import Inequality

FLOOR = 1e-6  # of the mean eigenvalue of a block


WIDE = 2.0  # a start of the iteration, far from every boundary


def interior_start(inequality: Inequality, ample: float | None = None) -> Any:
    """Theta with M(theta) positive definite; free variables are 0. Traced or not.

    `ample`: above 1, how far inside; without it as far as lets the bound grow by e over
    all layers.
    """
    layout = inequality.layout
    theta = jnp.zeros(len(layout.kinds))
    inputs, tests = layout.inputs, layout.tests
    base = inequality.base
    ample = 1.0 + 1.0 / (len(layout.spans) + 1) if ample is None else ample
    if tests:
        forms = base[:-tests, -tests:]
        value = forms @ forms.T
    else:
        value = -base
    for first, last, row, stop, variable, end in reversed(layout.spans):
        block = value[first:last, first:last]
        # by the block alone, as layers may differ in scale, unless it is 0
        whole, own = jnp.trace(value) / len(value), jnp.trace(block) / (last - first)
        mean = jnp.where(own > 0, own, whole) + 1e-290
        level = ample * (_top(block) + FLOOR * mean)
        theta = theta.at[variable:end].set(level)
        across = value[:first, first:last]
        inner = level * jnp.eye(last - first) - block
        value = value[:first, :first] + across @ jnp.linalg.solve(inner, across.T)
        forms = inequality.rows[row:stop, :first]
        value = value + level * (forms.T @ forms)
    weights = layout.indices(4)
    mean = jnp.trace(value) / inputs + 1e-290
    if not tests:
        return theta.at[weights].set(ample * (_top(value) + FLOOR * mean))
    mu = ample * (jnp.sum(jnp.abs(value), axis=1) + FLOOR * mean)
    theta = theta.at[weights[:inputs]].set(mu)
    theta = theta.at[weights[inputs:]].set(1.0 + FLOOR)
    return _balanced(theta, np.asarray(weights[inputs:]), jnp.sum(mu) / tests)


def _balanced(theta: Any, tests: np.ndarray, ratio: Any) -> Any:
    """Scales all but q up and q down, which keeps M: sum mu = sum q is the least."""
    factor = 1 / jnp.sqrt(ratio)
    kept = theta[tests] / factor
    return (theta * factor).at[tests].set(kept)


def _top(matrix: Any) -> Any:
    """A bound on the largest eigenvalue, 0 for an empty matrix."""
    if not len(matrix):
        return jnp.asarray(0.0)
    return jnp.maximum(jnp.linalg.eigvalsh(matrix)[-1], 0.0)
