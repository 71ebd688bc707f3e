"""Steps taken between two looks at the clock: compiled, or on the host.

The chunk's length is data, not structure, so the same compiled code serves every
length and the bits do not depend on it.
"""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

CAPACITY = 1024  # steps that one chunk may record
TARGET_SECONDS = 0.2  # so that Ctrl-C, progress and limits answer


class Chunk(NamedTuple):
    """State after the chunk, whether its stage is done, and one row per step."""

    state: Any
    done: bool
    steps: int
    trace: dict[str, np.ndarray]


@eqx.filter_jit
def begin(problem: Any, method: Any, key: Any) -> Any:
    return method.init(problem, key)


@eqx.filter_jit
def conclude(problem: Any, method: Any, state: Any) -> Any:
    return method.finish(problem, state)


@eqx.filter_jit
def _advance(problem: Any, method: Any, state: Any, limit: Any) -> Any:
    dynamic, static = eqx.partition(state, eqx.is_array)
    shapes = eqx.filter_eval_shape(method.observe, problem, state)
    trace = {name: jnp.zeros(CAPACITY, s.dtype) for name, s in shapes.items()}

    def unfinished(carry):
        dynamic, steps, _ = carry
        return (steps < limit) & ~method.done(problem, eqx.combine(dynamic, static))

    def advance(carry):
        dynamic, steps, trace = carry
        state = method.step(problem, eqx.combine(dynamic, static))
        row = method.observe(problem, state)
        trace = {name: trace[name].at[steps].set(row[name]) for name in trace}
        return eqx.filter(state, eqx.is_array), steps + 1, trace

    start = (dynamic, jnp.asarray(0, dtype=jnp.int64), trace)
    dynamic, steps, trace = jax.lax.while_loop(unfinished, advance, start)
    state = eqx.combine(dynamic, static)
    return state, method.done(problem, state), steps, trace


def compiled(problem: Any, method: Any, state: Any, limit: int) -> Chunk:
    state, done, steps, trace = jax.block_until_ready(
        _advance(problem, method, state, jnp.asarray(limit, dtype=jnp.int64))
    )
    steps = int(steps)
    rows = {name: np.asarray(column)[:steps] for name, column in trace.items()}
    return Chunk(state, bool(done), steps, rows)


def hosted(problem: Any, method: Any, state: Any, limit: int) -> Chunk:
    rows: dict[str, list[Any]] = {}
    steps = 0
    while steps < limit and not method.done(problem, state):
        state = method.step(problem, state)
        for name, value in method.observe(problem, state).items():
            rows.setdefault(name, []).append(value)
        steps += 1
    trace = {name: np.asarray(column) for name, column in rows.items()}
    return Chunk(state, bool(method.done(problem, state)), steps, trace)


class Pace:
    """Adapts the chunk's length to about `TARGET_SECONDS`."""

    def __init__(self) -> None:
        self.length = 1

    def take(self, advance: Callable[[int], Chunk], limit: float) -> Chunk:
        length = int(min(self.length, limit, CAPACITY))
        start = time.perf_counter()
        chunk = advance(length)
        seconds = max(time.perf_counter() - start, 1e-6)
        if chunk.steps:
            affordable = chunk.steps * TARGET_SECONDS / seconds
            self.length = max(1, min(math.floor(affordable), 4 * self.length, CAPACITY))
        return chunk
