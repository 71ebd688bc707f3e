"""State of block coordinate descent, and the tables made before its first step."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int64
from scipy import sparse

from ._block_gram import Gram, empty_gram
from ._block_rules import looks_at_all
from ._block_search import largest_eigenvalue, pseudo_inverse
from ._block_updates import REMEMBERED
from ._block_view import Tables, scaled_curvature
from ._forests import Forest, forest_order
from ._losses import LeastSquares, Logistic, Quadratic
from ._selection_parts import HardThresholding, every_block
from ._selections import GSQ

_BATCH = 16  # blocks factored at once


class Record(eqx.Module):
    """Steps kept as witnesses: at x, block b moved by d.

    Shapes (r, n), (r, size), (r, size), (r,); `at` is the step's number, -1 if empty.
    """

    x: Float64[Array, "r n"]
    block: Int64[Array, "r size"]
    change: Float64[Array, "r size"]
    at: Int64[Array, " r"]


class BlockState(eqx.Module):
    """Where a run stands.

    **Fields:** `support`: free to move both ways; `wanted`: how many are, or are not at
    their best; `still`: steps that gained nothing.
    """

    x: Float64[Array, " n"]
    image: Float64[Array, "..."]
    gradient: Float64[Array, " n"]
    objective: Float64[Array, ""]
    residual: Float64[Array, ""]
    optimality: Float64[Array, ""]
    reference: tuple[Array, Array]
    tables: Tables
    memory: Float64[Array, " n"]
    support: Bool[Array, " n"]
    wanted: Int64[Array, ""]
    unchanged: Int64[Array, ""]
    identified_at: Int64[Array, ""]
    block: Int64[Array, " size"]
    place: Int64[Array, ""]
    lowest: Float64[Array, ""]
    smallest: Float64[Array, ""]
    still: Int64[Array, ""]
    steps: Int64[Array, ""]
    key: Any
    record: Record
    gram: Gram


def start_state(problem: Any, method: Any, x: Any, key: Any) -> BlockState:
    """The state before the first step; traced."""
    loss, tables = problem.loss, first_tables(problem, method)
    n, size = loss.variables, tables.blocks.shape[1]
    image = loss.image(x)
    zero, huge = jnp.zeros((), jnp.int64), jnp.asarray(jnp.inf)
    state = BlockState(
        x=x,
        image=image,
        gradient=x,
        objective=huge,
        residual=huge,
        optimality=huge,
        reference=problem.reference(),
        tables=tables,
        memory=jnp.full(n, REMEMBERED),
        support=is_active(problem, x),
        wanted=zero,
        unchanged=zero,
        identified_at=zero,
        block=jnp.full(size, n, jnp.int64),
        place=zero,
        lowest=huge,
        smallest=huge,
        still=zero,
        steps=zero,
        key=key,
        record=empty_record(method.record, n, size),
        gram=empty_gram(problem, method, size),
    )
    return judged(problem, state)


def judged(problem: Any, state: BlockState) -> BlockState:
    """The state with gradient, objective and residuals of its x and image."""
    loss, x, image = problem.loss, state.x, state.image
    gradient = loss.gradient(x, image)
    residuals = problem.penalty.residual(x, gradient)
    return eqx.tree_at(
        lambda s: (s.gradient, s.objective, s.residual, s.wanted, s.optimality),
        state,
        (
            gradient,
            problem.objective(x, image),
            jnp.max(residuals),
            jnp.sum(state.support | (residuals > 0)),
            problem.optimality(x, image, gradient, state.reference),
        ),
    )


def is_active(problem: Any, x: Array) -> Array:
    """Coordinates that are free to move both ways: not at zero, nor at a bound."""
    strength, lower, upper = problem.penalty.at()
    return ((x != 0) | (strength == 0)) & (x > lower) & (x < upper)


def empty_record(rows: int, n: int, size: int) -> Record:
    return Record(
        jnp.zeros((rows, n)),
        jnp.full((rows, size), n, jnp.int64),
        jnp.zeros((rows, size)),
        jnp.full(rows, -1, jnp.int64),
    )


def first_tables(problem: Any, method: Any) -> Tables:
    """Tables that need no host code; blocks (0, 0) where host code comes first."""
    loss, partition = problem.loss, method.partition
    if partition.static:
        blocks = jnp.zeros((0, 0), jnp.int64)
    elif looks_at_all(partition, method.select):
        blocks = jnp.asarray(every_block(loss.variables, partition.size))
    else:
        blocks = partition.blocks(loss)
    lipschitz = jnp.asarray(loss.coordinate_lipschitz())
    constants, inverses = _factors(loss, method, blocks)
    approximate = getattr(method.select, "approximation", None)
    thresholds = isinstance(approximate, HardThresholding) and not blocks.shape[0]
    thresholds = thresholds and not partition.static
    return Tables(
        blocks=blocks,
        lipschitz=lipschitz,
        diagonal=method.select.diagonal(loss, lipschitz, max(blocks.shape[1], 1)),
        constants=constants,
        inverses=inverses,
        curvature=scaled_curvature(loss, lipschitz) if thresholds else jnp.ones(()),
        forest=_stack([], 0, loss.variables),
        pattern=(
            jnp.zeros(0, jnp.int64),
            jnp.zeros(0, jnp.int64),
            jnp.zeros(0),
        ),
    )


def _factors(loss: Any, method: Any, blocks: Array) -> tuple[Array, Array]:
    """L_b and pseudo-inverses of H_b for fixed blocks, a few at a time."""
    count, size = blocks.shape
    needed = method.update.inverses or isinstance(method.select, GSQ)
    if not count or not size:
        return jnp.zeros(count), jnp.zeros((0, size, size))

    def one(block: Array) -> tuple[Array, ...]:
        bound = loss.block_bound(block)
        top = largest_eigenvalue(bound, block)
        return (top, pseudo_inverse(bound)) if needed else (top,)

    found = jax.lax.map(one, blocks, batch_size=min(count, _BATCH))
    return found[0], found[1] if needed else jnp.zeros((0, size, size))


def graph_tables(problem: Any, method: Any, tables: Tables) -> Tables:
    """Tables of forests and colour classes; on the host, from the bound's pattern."""
    loss, partition = problem.loss, method.partition
    n = loss.variables
    matrix = bound_matrix(loss)
    blocks = np.asarray(partition.blocks(loss))
    if partition.fixed:
        rows = [forest_order(matrix, b[b < n], blocks.shape[1]) for b in blocks]
        forest, pattern = _stack(rows, blocks.shape[1], n), tables.pattern
    else:
        forest = _stack([], 0, n)
        parts = (matrix.indptr, matrix.indices, matrix.data)
        pattern = tuple(jnp.asarray(a.astype(_wide(a))) for a in parts)
    sums = np.append(np.asarray(loss.row_bounds()), 0.0)
    return eqx.tree_at(
        lambda t: (t.blocks, t.diagonal, t.constants, t.inverses, t.forest, t.pattern),
        tables,
        (
            jnp.asarray(blocks),
            method.select.diagonal(loss, tables.lipschitz, blocks.shape[1]),
            jnp.asarray(sums[blocks].max(axis=1)),  # Gershgorin
            jnp.zeros((0, blocks.shape[1], blocks.shape[1])),
            forest,
            pattern,
        ),
    )


def _wide(array: np.ndarray) -> Any:
    return np.float64 if array.dtype.kind == "f" else np.int64


def bound_matrix(loss: Any) -> sparse.csr_array:
    """H with H_b its blocks, sparse; host only."""
    if isinstance(loss, Quadratic):
        return sparse.csr_array(loss.operator.host())
    assert isinstance(loss, LeastSquares | Logistic)
    design = sparse.csr_array(loss.design.host())
    gram = sparse.csr_array(design.T @ design)
    if isinstance(loss, Logistic):
        ridge = np.broadcast_to(np.asarray(loss.l2, np.float64), loss.variables)
        gram = 0.25 * gram + sparse.diags_array(ridge)
    return sparse.csr_array(gram)


def _stack(rows: list[Forest], capacity: int, n: int) -> Forest:
    """Forests of one capacity, one per row."""
    like = forest_order(sparse.csr_array((n, n)), np.zeros(0, np.int64), capacity)
    if not rows:
        return jax.tree.map(lambda a: jnp.zeros((0, *a.shape), a.dtype), like)
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *rows)


def widened(problem: Any, method: Any, state: BlockState, size: int) -> BlockState:
    """The same state with variable blocks of another size; on the host."""
    n = problem.loss.variables
    more = size - state.tables.blocks.shape[1]

    def pad(array: Array, fill: Any) -> Array:
        widths = [(0, 0)] * (array.ndim - 1) + [(0, more)]  # NumPy: nothing to compile
        return jnp.asarray(np.pad(np.asarray(array), widths, constant_values=fill))

    record = state.record
    return eqx.tree_at(
        lambda s: (
            s.tables.blocks,
            s.tables.inverses,
            s.tables.diagonal,
            s.block,
            s.record.block,
            s.record.change,
            s.gram,
        ),
        state,
        (
            jnp.asarray(np.zeros((0, size), np.int64)),
            jnp.asarray(np.zeros((0, size, size))),
            method.select.resized(state.tables, size),
            pad(state.block, n),
            pad(record.block, n),
            pad(record.change, 0.0),
            _widened_gram(state.gram, more, n),
        ),
    )


def _widened_gram(gram: Gram, more: int, n: int) -> Gram:
    if not gram.members.shape[0]:
        return gram
    members, columns, products = (np.asarray(a) for a in jax.tree.leaves(gram))
    return Gram(
        jnp.asarray(np.pad(members, (0, more), constant_values=n)),
        jnp.asarray(np.pad(columns, ((0, more), (0, 0)))),
        jnp.asarray(np.pad(products, ((0, more), (0, more)))),
    )


def with_tables(
    problem: Any, method: Any, state: BlockState, tables: Any
) -> BlockState:
    """The first state, with tables that the host made."""
    n, size = problem.loss.variables, tables.blocks.shape[1]
    return eqx.tree_at(
        lambda s: (s.tables, s.block, s.record),
        state,
        (
            tables,
            jnp.full(size, n, jnp.int64),
            empty_record(method.record, n, size),
        ),
    )
