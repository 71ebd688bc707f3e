"""A strictly feasible point of the inequality, by one backward sweep.

V_k(x, y_1..y_k) is the most that ||C d||^2 + sum_{j > k} lambda_j (|dz_j|^2 - |y_j|^2)
reaches over y_{k+1}, ...: finite for lambda_k above the largest eigenvalue of V's block
of y_k, and quadratic again. At the end rho exceeds the largest eigenvalue of V_0.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve

from ._inequality import Inequality
from ._rows import WEIGHT

FLOOR = 1e-6  # of the mean eigenvalue of a block
WIDE = 2.0  # a start of the iteration, far from every boundary


def tight(inequality: Inequality) -> Any:
    """How far inside lets the bound grow by a factor of e at most, over all layers."""
    return jnp.asarray(1.0 + 1.0 / (len(inequality.layout.spans) + 1))


def interior_start(inequality: Inequality, ample: Any = None) -> Any:
    """Theta with M(theta) positive definite; free variables are 0. Traced or not.

    `ample`: above 1, how far inside; None is `tight`.
    """
    layout = inequality.layout
    inputs, tests = layout.inputs, layout.tests
    base = inequality.base
    ample = tight(inequality) if ample is None else ample
    if tests:
        forms = base[:-tests, -tests:]
        value = forms @ forms.T
    else:
        value = -base
    theta = jnp.zeros(len(layout.kinds))
    if layout.spans:
        value, levels = _swept(inequality, value, ample)
        counts = [end - first for *_, first, end in layout.spans]
        places = [np.arange(first, end) for *_, first, end in layout.spans]
        levels = jnp.repeat(levels, np.array(counts), total_repeat_length=sum(counts))
        theta = theta.at[np.concatenate(places)].set(levels)
    value = value[:inputs, :inputs]
    weights = layout.indices(WEIGHT)
    mean = jnp.trace(value) / inputs + 1e-290
    if not tests:
        return theta.at[weights].set(ample * (_top(value) + FLOOR * mean))
    mu = ample * (jnp.sum(jnp.abs(value), axis=1) + FLOOR * mean)
    theta = theta.at[weights[:inputs]].set(mu)
    theta = theta.at[weights[inputs:]].set(1.0 + FLOOR)
    return _balanced(theta, np.asarray(weights[inputs:]), jnp.sum(mu) / tests)


def _swept(inequality: Inequality, value: Any, ample: Any) -> tuple[Any, Any]:
    """V_0 and the multiplier of each activation, in a loop whose body is one size."""
    spans = np.asarray(inequality.layout.spans)[:, :4]
    wide, long = (max(int(np.max(spans[:, i + 1] - spans[:, i])), 1) for i in (0, 2))
    value = jnp.pad(value, ((0, wide), (0, wide)))  # so that every slice fits
    rows = jnp.pad(inequality.rows, ((0, long), (0, wide)))[:, : len(value)]
    inside = jnp.arange(len(value))

    def layer(value: Any, span: Any) -> tuple[Any, Any]:
        first, last, row, stop = span
        own = jnp.arange(wide) < last - first
        block = jax.lax.dynamic_slice(value, (first, first), (wide, wide))
        block = jnp.where(own[:, None] & own, block, 0.0)
        # by the block alone, as layers may differ in scale, unless it is 0
        whole = jnp.trace(value) / last
        mean = jnp.trace(block) / jnp.maximum(last - first, 1)
        mean = jnp.where(mean > 0, mean, whole) + 1e-290
        level = ample * (_top(block) + FLOOR * mean)
        before = inside < first
        across = jax.lax.dynamic_slice(value, (0, first), (len(value), wide))
        across = jnp.where(before[:, None] & own, across, 0.0)
        factor = cho_factor(level * jnp.eye(wide) - block, lower=True)
        value = jnp.where(before[:, None] & before, value, 0.0)
        value = value + across @ cho_solve(factor, across.T)
        forms = jax.lax.dynamic_slice(rows, (row, 0), (long, len(value)))
        forms = jnp.where((jnp.arange(long) < stop - row)[:, None] & before, forms, 0.0)
        return value + level * (forms.T @ forms), level

    return jax.lax.scan(layer, value, jnp.asarray(spans), reverse=True)


def _balanced(theta: Any, tests: np.ndarray, ratio: Any) -> Any:
    """Scales all but q up and q down, which keeps M: sum mu = sum q is the least."""
    factor = 1 / jnp.sqrt(ratio)
    kept = theta[tests] / factor
    return (theta * factor).at[tests].set(kept)


def _top(matrix: Any) -> Any:
    """The largest eigenvalue, or 0."""
    return jnp.maximum(jnp.linalg.eigvalsh(matrix)[-1], 0.0)
