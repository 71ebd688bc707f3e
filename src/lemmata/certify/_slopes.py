"""Lower slopes of relaxations, made better by projected Adam.

Source: Xu et al., ICLR 2021 (arXiv 2011.13824): any slope between the activation's two
is sound, and the bound is differentiable in it. Rows are independent, so that each
keeps the slopes of its own best step.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..numerics.linear_bounds import (
    ValueBounds,
    bound_values,
    entry_bounds,
    nonlinear_below,
    relaxed_below,
)
from ..numerics.networks import Network

LEARNING_RATE, DECAY = 0.5, 0.98
PER_ROW = 2**16  # entries of a table up to which every row has slopes of its own

Slopes = dict[tuple[int, int], Any]


def optimised_slopes(network: Network, lower: Any, upper: Any, steps: int) -> Slopes:
    """Slopes for the bounds of each activation's input, layer by layer."""
    found: Slopes = {}
    for target in network.positions():
        source = network.nodes[target].inputs[0]
        below = relaxed_below(network, target)
        if not below or not nonlinear_below(network, source):
            continue
        values = bound_values(network, lower, upper, slopes=found)
        tables = _best(network, source, below, values, steps)
        found |= {(target, a): table for a, table in tables.items()}
    return found


def _best(
    network: Network, source: int, below: Any, values: ValueBounds, steps: int
) -> dict[int, Any]:
    """Adam on the sum of all widths; the best step of each row is kept."""
    rows = network.size(source)
    start, floor = {}, {}
    for a in below:
        node = network.nodes[a]
        own = rows if rows * node.size <= PER_ROW else 1
        first = values.lines[a].lower_slope.reshape(1, 1, -1)
        start[a] = jnp.broadcast_to(first, (2, own, node.size))
        floor[a] = node.low_slope
    rates = optax.exponential_decay(LEARNING_RATE, 1, DECAY)
    adam = optax.adam(rates)

    def widths(tables):
        lo, hi = entry_bounds(
            network, source, values.nodes[0], values.before, values.lines, tables
        )
        return jnp.stack([-lo.reshape(-1), hi.reshape(-1)])

    def keep(tables, best, kept):
        width = jax.lax.stop_gradient(widths(tables))
        better = {
            a: width < best
            if t.shape[1] > 1 or rows == 1
            else jnp.broadcast_to(jnp.sum(width) < jnp.sum(best), (2, 1))
            for a, t in tables.items()
        }
        kept = {
            a: jnp.where(better[a][..., None], t, kept[a]) for a, t in tables.items()
        }
        shared = any(t.shape[1] == 1 and rows > 1 for t in tables.values())
        lower = jnp.where(jnp.sum(width) < jnp.sum(best), width, best)
        return (lower if shared else jnp.minimum(width, best)), kept

    def step(carry, _):
        tables, state, best, kept = carry
        gradient = jax.grad(lambda t: jnp.sum(widths(t)))(tables)
        change, state = adam.update(gradient, state)
        step_of: Any = change
        moved = {a: jnp.clip(t + step_of[a], floor[a], 1.0) for a, t in tables.items()}
        best, kept = keep(moved, best, kept)
        return (moved, state, best, kept), None

    carry = (start, adam.init(start), widths(start), start)
    (_, _, _, kept), _ = jax.lax.scan(step, carry, length=steps)
    return kept
