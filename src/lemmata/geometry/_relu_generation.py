"""More patterns where the dual says that they help: column generation.

A direction u with |theta'relu(X u)| > decay |u| is a unit that the program over the
present patterns lacks. Good ones are found by local search; how good the best one is
cannot be bounded this way, so nothing is claimed beyond the patterns. Ours.
"""

from typing import Any

import jax
import numpy as np

from ._convex_relu import ConvexReLU
from ._relu_network import ReLUNetwork
from ._relu_patterns import Patterns, distinct

_MOVES = 60


def with_more_patterns(
    problem: ConvexReLU,
    value: ReLUNetwork,
    *,
    count: int = 50,
    starts: int = 400,
    key: Any = None,
) -> ConvexReLU:
    """The problem with patterns of `value`'s units and of violated dual directions.

    Its optimum is at most the cost of `value`, whatever trained it, and at most that of
    `problem`.

    **Arguments:**

    - `count`: most patterns that the dual adds. - `starts`: of the local search.
    - `key`: a JAX key; None: key 0.
    """
    x = np.asarray(problem.inputs)
    key = jax.random.key(0) if key is None else key
    words = np.asarray(jax.random.key_data(key)).reshape(-1).tolist()
    u = np.asarray(value.hidden_weights)[np.asarray(value.output_weights) != 0]
    new = [u]
    if value.dual is not None:
        rng = np.random.default_rng(words)
        first = rng.normal(size=(starts, x.shape[1]))
        found, pull = ascended(x, np.asarray(value.dual), first)
        order = np.argsort(-pull)
        new.append(found[order][pull[order] > float(problem.weight_decay)])
    units = distinct(u @ x.T >= 0, u)
    searched = distinct(new[-1] @ x.T >= 0, new[-1]) if len(new) > 1 else units
    active = [np.asarray(problem.patterns), units.active, searched.active[:count]]
    directions = None
    if problem.directions is not None:
        known = np.asarray(problem.directions)
        assert units.directions is not None
        assert searched.directions is not None
        parts = [known, units.directions, searched.directions[:count]]
        directions = np.concatenate(parts)
    chosen: Patterns = distinct(np.concatenate(active), directions)
    return ConvexReLU(
        problem.inputs,
        problem.targets,
        problem.loss,
        weight_decay=problem.weight_decay,
        patterns=chosen,
        logit_scale=problem.logit_scale,
        gap_tol=problem.gap_tol,
    )


def ascended(
    x: np.ndarray, theta: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions and |theta'relu(X u)| after a local search from each row of u."""
    u = u / np.linalg.norm(u, axis=1)[:, None]
    pull = np.maximum(u @ x.T, 0.0) @ theta
    sign = np.where(pull < 0, -1.0, 1.0)
    best, length = np.abs(pull), np.ones(len(u))
    for _ in range(_MOVES):
        slope = (sign[:, None] * (u @ x.T >= 0) * theta) @ x
        size = np.linalg.norm(slope, axis=1)
        slope /= np.where(size > 0, size, 1.0)[:, None]
        # Towards the best unit of this pattern; shorter where that leaves it for worse.
        tried = u + length[:, None] * (slope - u)
        norm = np.linalg.norm(tried, axis=1)
        tried /= np.where(norm > 0, norm, 1.0)[:, None]
        there = sign * (np.maximum(tried @ x.T, 0.0) @ theta)
        better = there > best
        u = np.where(better[:, None], tried, u)
        best = np.where(better, there, best)
        length = np.where(better, np.minimum(2 * length, 1.0), 0.5 * length)
    return u, best
