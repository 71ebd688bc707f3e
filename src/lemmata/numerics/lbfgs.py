"""Limited-memory BFGS whose line search also serves functions with kinks.

Source: Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5;
line search: Lewis and Overton, Nonsmooth optimization via quasi-Newton methods (2013),
algorithm 2.6, which finds a point of the weak Wolfe conditions by bisection.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Function = Callable[[Array], tuple[Array, Array]]
"""x -> (value, gradient), to be minimised."""

_DECREASE, _CURVATURE = 1e-4, 0.9  # weak Wolfe constants, ibid. (3.1)
_TRIALS = 30


class LbfgsState(eqx.Module):
    """Where the iteration stands.

    **Fields:** `x`, `gradient` (d,); `value`; `change`, the last decrease; `pairs` of
    steps and gradient differences (memory, d) with `weights` 1/<s, y>, 0 if unused;
    `evaluations`; `stalled`: no point of sufficient decrease was found.
    """

    x: Float[Array, " d"]
    value: Float[Array, ""]
    gradient: Float[Array, " d"]
    change: Float[Array, ""]
    steps: Float[Array, "memory d"]
    differences: Float[Array, "memory d"]
    weights: Float[Array, " memory"]
    evaluations: Int[Array, ""]
    stalled: Bool[Array, ""]


def lbfgs_init(function: Function, x: Array, memory: int) -> LbfgsState:
    """The state at `x`, with an empty memory of `memory` pairs."""
    value, gradient = function(x)
    empty = jnp.zeros((memory, x.size), x.dtype)
    return LbfgsState(
        x=x,
        value=value,
        gradient=gradient,
        change=jnp.asarray(jnp.inf, x.dtype),
        steps=empty,
        differences=empty,
        weights=jnp.zeros(memory, x.dtype),
        evaluations=jnp.asarray(1),
        stalled=jnp.asarray(False),
    )


def _direction(state: LbfgsState, first: Array | float) -> Array:
    """The two-loop recursion; before any pair, -gradient scaled to length `first`."""
    stored = (state.steps, state.differences, state.weights)

    def backward(q, pair):
        s, y, w = pair
        a = w * (s @ q)
        return q - a * y, a

    def forward(r, pair):
        (s, y, w), a = pair
        return r + s * (a - w * (y @ r)), None

    q, a = jax.lax.scan(backward, state.gradient, stored, reverse=True)
    y, w = state.differences[-1], state.weights[-1]
    size = jnp.max(jnp.abs(state.gradient))
    fresh = first / jnp.where(size > 0, size, 1.0)
    scale = jnp.where(w > 0, 1 / jnp.where(w > 0, w * (y @ y), 1.0), fresh)
    r, _ = jax.lax.scan(forward, scale * q, (stored, a))
    return -r


def _line_search(function: Function, state: LbfgsState, direction: Array):
    """Doubles until bracketed, then bisects; returns the last trial and its verdict."""
    slope = direction @ state.gradient

    def trial(length):
        x = state.x + length * direction
        return x, *function(x)

    def wanted(carry):
        count, _, _, _, (x, value, gradient), good = carry
        return (count < _TRIALS) & ~good

    def advance(carry):
        count, low, high, length, _, _ = carry
        x, value, gradient = trial(length)
        down = value <= state.value + _DECREASE * length * slope
        flat = direction @ gradient >= _CURVATURE * slope
        high = jnp.where(down, high, length)
        low = jnp.where(down & ~flat, length, low)
        middle = jnp.where(jnp.isfinite(high), (low + high) / 2, 2 * low)
        return count + 1, low, high, middle, (x, value, gradient), down & flat

    one = jnp.ones_like(state.value)
    start = (state.x, state.value, state.gradient)
    carry = (jnp.asarray(0), 0 * one, jnp.inf * one, one, start, jnp.asarray(False))
    count, _, _, _, found, _ = jax.lax.while_loop(wanted, advance, carry)
    # Decrease without the curvature condition is still progress, none is not.
    return count, found, found[1] < state.value


def lbfgs_step(
    function: Function, state: LbfgsState, first: Array | float = 1.0
) -> LbfgsState:
    """One step of the minimisation; without decrease `x` stays and it is `stalled`.

    `first`: length (largest entry) of the very first trial step.
    """
    direction = _direction(state, first)
    count, (x, value, gradient), good = _line_search(function, state, direction)
    s, y = x - state.x, gradient - state.gradient
    curvature = s @ y
    useful = good & (curvature > 1e-12 * jnp.sqrt((s @ s) * (y @ y)))

    def push(store, new):
        return jnp.where(useful, jnp.concatenate([store[1:], new[None]]), store)

    weight = 1 / jnp.where(useful, curvature, 1.0)

    def accept(new, old):
        return jnp.where(good, new, old)

    return LbfgsState(
        x=accept(x, state.x),
        value=accept(value, state.value),
        gradient=accept(gradient, state.gradient),
        change=jnp.where(good, state.value - value, 0.0),
        steps=push(state.steps, s),
        differences=push(state.differences, y),
        weights=push(state.weights, weight),
        evaluations=state.evaluations + count,
        stalled=~good,
    )
