"""One stage of a method as a pure function, for those who jit, vmap, grad or shard."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ._arrays import is_x64, to_jax
from ._errors import InvalidArgument


def run(problem: Any, method: Any, key: Any = None, *, max_steps: int = 1000) -> Any:
    """Runs `method` until it is done or `max_steps` have been taken.

    Nothing is judged, staged or recorded here; `solve` does that.

    **Arguments:**

    - `problem`, `method`: float64 throughout; call inside `jax.enable_x64(True)`.
    - `key`: a JAX random key; None means `jax.random.key(0)`.
    - `max_steps`: static bound on the number of steps.

    **Returns:** `(value, state, steps)`.

    **Raises:** `InvalidArgument` outside `jax.enable_x64(True)` and for float32 data.
    """
    if not is_x64():
        got = "the default precision, which would round it to float32 without a word"
        raise InvalidArgument("run", "to be called inside jax.enable_x64(True)", got)
    for leaf in jax.tree.leaves(eqx.filter((problem, method), eqx.is_array)):
        if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype != jnp.float64:
            got = f"an array of {leaf.dtype}"
            raise InvalidArgument(
                "run", "float64 (call inside jax.enable_x64(True))", got
            )
    if method.host:
        got = f"{type(method).__name__}, whose steps run on the host; use solve"
        raise InvalidArgument("run.method", "a method with compiled steps", got)
    problem, method = to_jax(problem), to_jax(method)
    key = jax.random.key(0) if key is None else key

    def unfinished(carry):
        state, steps = carry
        return (steps < max_steps) & ~method.done(problem, state)

    def advance(carry):
        state, steps = carry
        return method.step(problem, state), steps + 1

    start = (method.init(problem, key), jnp.asarray(0, dtype=jnp.int64))
    state, steps = jax.lax.while_loop(unfinished, advance, start)
    return method.finish(problem, state), state, steps
