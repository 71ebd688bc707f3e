"""Blocks put together from a state: rows of the tables, coordinates, forests."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._block_quadratic import Terms
from ._block_search import Block
from ._block_state import BlockState
from ._block_view import View
from ._forests import Forest, Plan, elimination_plan, with_values
from ._graph_forests import grow_forest


def unprepared(state: BlockState) -> bool:
    return state.tables.blocks.shape == (0, 0)


def view_of(problem: Any, state: BlockState) -> View:
    return View(
        problem,
        state.x,
        state.image,
        state.gradient,
        state.objective,
        state.tables,
        state.steps,
        state.key,
    )


def block_at(view: View, state: BlockState, place: Array) -> Block:
    """A row of the tables."""
    tables = state.tables
    forest = None
    if tables.forest.nodes.shape[0]:
        forest = jax.tree.map(lambda a: a[place], tables.forest)
    return block_of(view, state, tables.blocks[place], place, forest)


def block_of(
    view: View,
    state: BlockState,
    index: Array,
    place: Array,
    forest: Forest | None = None,
    gram: Array | None = None,
) -> Block:
    terms = [jnp.broadcast_to(t, index.shape) for t in view.problem.penalty.at(index)]
    gather = {"mode": "fill", "fill_value": 0.0}
    x, gradient = (a.at[index].get(**gather) for a in (view.x, view.gradient))
    place = jnp.asarray(place, jnp.int64)
    return Block(index, x, gradient, Terms(*terms), place, state.memory, forest, gram)


def grown_forest(state: BlockState, scores: Array) -> Forest:
    """A greedy forest, on the host: union-find is a loop over single nodes.

    Only int32 travels: a callback's thread would round float64 to float32.
    """
    n = scores.shape[0]
    indptr, indices, data = state.tables.pattern
    order = jnp.argsort(-scores, stable=True)
    whole = jax.ShapeDtypeStruct((n,), jnp.int32)
    like = Plan(*(whole,) * 6, runs=jax.ShapeDtypeStruct((), jnp.int32))
    sent = [a.astype(jnp.int32) for a in (indptr, indices, order)]
    return with_values(jax.pure_callback(_grow_on_host, like, *sent), data)


def _grow_on_host(indptr: Any, indices: Any, order: Any) -> Plan:
    indptr, indices, order = (np.asarray(a) for a in (indptr, indices, order))
    nodes = grow_forest(indptr.tolist(), indices.tolist(), order.tolist())
    return elimination_plan(indptr, indices, nodes, order.size)
