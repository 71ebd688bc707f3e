"""Pairs of inputs between which a network changes fast: lower bounds, attained.

A power iteration on the Jacobian at many points (l_2: its largest singular value;
l_inf: the largest sum of absolute values by alternating signs) and a random walk of the
best points. The pair lies on both sides of the best point, close enough for one piece.
"""

from typing import Any

import jax
import jax.numpy as jnp

POINTS = 32
SPREADS = (0.1, 1.0, 10.0)
ITERATIONS = 12
ROUNDS = 4
DISTANCE = 1e-4
SLACK = 1e-7  # relative: the rounding of f(x) - f(y) at this distance, with room


def find_pair(network: Any, selected: Any, linf: bool, key: Any) -> tuple[Any, Any]:
    """(pair (2, d), ratio that it attains), compiled code; ratio is rounded down."""
    size = network.inputs

    def function(x: Any) -> Any:
        out = network(x).reshape(-1)
        return out if selected is None else jnp.asarray(selected) @ out

    spread = jnp.asarray(SPREADS)[jnp.arange(POINTS) % len(SPREADS)]
    noise = jax.random.normal(key, (ROUNDS + 3, POINTS, size))
    examine = jax.vmap(lambda x, v: _fastest(function, x, v, linf))

    def again(carry, noise_and_step):
        points, directions, ratios = carry
        noise, step = noise_and_step
        best = jax.lax.top_k(ratios, POINTS // 4)[1]
        chosen = jnp.where(step > 0, jnp.tile(best, 4), jnp.arange(POINTS))
        away = jnp.where(step > 0, 0.3, 0.0) * noise * spread[:, None]
        trial = points[chosen] + away
        turned, found = examine(trial, directions[chosen])
        better = found > ratios[chosen]
        points = jnp.where(better[:, None], trial, points[chosen])
        directions = jnp.where(better[:, None], turned, directions[chosen])
        return (points, directions, jnp.where(better, found, ratios[chosen])), None

    start = noise[0] * spread[:, None], noise[1], jnp.full(POINTS, -1.0)
    rounds = noise[2:], jnp.arange(ROUNDS + 1)
    (points, directions, ratios), _ = jax.lax.scan(again, start, rounds)
    i = jnp.argmax(ratios)
    return _sides(points[i], directions[i]), jnp.maximum(ratios[i] * (1 - SLACK), 0.0)


def _sides(x: Any, v: Any) -> Any:
    step = DISTANCE * (1.0 + jnp.max(jnp.abs(x))) * v
    return jnp.stack([x + step, x - step])


def _fastest(function: Any, x: Any, v: Any, linf: bool) -> tuple[Any, Any]:
    _, forward = jax.linearize(function, x)
    backward = jax.linear_transpose(forward, x)

    def again(_, v):
        w = forward(v)
        w = jnp.sign(w) if linf else w
        return _unit(backward(w)[0], v, linf)

    v = jax.lax.fori_loop(0, ITERATIONS, again, _unit(v, v, linf))
    return v, _ratio(function, _sides(x, v), linf)


def _unit(v: Any, otherwise: Any, linf: bool) -> Any:
    if linf:
        return jnp.where(v < 0, -1.0, 1.0)
    norm = jnp.linalg.norm(v)
    return jnp.where(norm > 0, v / jnp.where(norm > 0, norm, 1.0), otherwise)


def _ratio(function: Any, pair: Any, linf: bool) -> Any:
    first, second = jax.vmap(function)(pair)
    change = first - second
    apart = pair[0] - pair[1]
    if linf:
        return jnp.sum(jnp.abs(change)) / jnp.max(jnp.abs(apart))
    return jnp.linalg.norm(change) / jnp.linalg.norm(apart)
