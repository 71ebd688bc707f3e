"""Sums, products and extremes over axes as recorded operations."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ._program import Builder, Ref, Untraceable, Value

MOST_TERMS = 1000  # of a product or an extreme
LONGEST_SUM = 256  # entries of an axis along which sums are accumulated


def _sum(builder: Builder, eqn: Any, a: Value) -> Value:
    source = builder.lift(a, a.shape)
    axes = sorted(eqn.params["axes"])
    if not axes:
        return source
    return builder.emit(["sum", source.node, axes], eqn.outvars[0].aval.shape)


def _folded(operation: str) -> Callable[[Builder, Any, Value], Value]:
    """An axis reduced by pairs, for products and extremes."""

    def rule(builder: Builder, eqn: Any, a: Value) -> Value:
        source = builder.lift(a, a.shape)
        axes = tuple(eqn.params["axes"])
        count = int(np.prod([a.shape[axis] for axis in axes], dtype=np.int64))
        if not 0 < count <= MOST_TERMS:
            raise Untraceable(f"{eqn.primitive.name!r} over {count} entries")
        index = np.arange(int(np.prod(a.shape))).reshape(a.shape)
        index = np.moveaxis(index, axes, range(len(axes)))
        shape = index.shape[len(axes) :]
        parts = [builder.take([source], part) for part in index.reshape(count, *shape)]
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=False)
            folded = [
                builder.emit([operation, one.node, other.node], shape)
                for one, other in pairs
            ]
            parts = folded + parts[len(parts) - len(parts) % 2 :]
        return parts[0]

    return rule


def _cumulative(builder: Builder, eqn: Any, a: Value) -> Value:
    """Running sums along an axis: a product with a triangle of ones."""
    axis, size = eqn.params["axis"], a.shape[eqn.params["axis"]]
    if size > LONGEST_SUM:
        raise Untraceable(f"{eqn.primitive.name!r} along {size} entries")
    triangle = np.tril(np.ones((size, size)))
    triangle = triangle.T if eqn.params["reverse"] else triangle
    source = builder.lift(a, a.shape)
    index = np.arange(int(np.prod(a.shape))).reshape(a.shape)
    columns = np.moveaxis(index, axis, 0).reshape(size, -1)
    found = _matrix_product(
        builder, builder.lift(triangle, triangle.shape), builder.take([source], columns)
    )
    rest = tuple(s for k, s in enumerate(a.shape) if k != axis)
    back = np.moveaxis(np.arange(index.size).reshape(size, *rest), 0, axis)
    return builder.take([found], back)


def _matrix_product(builder: Builder, a: Ref, b: Ref) -> Ref:
    return builder.emit(["matmul", a.node, b.node], (a.shape[0], b.shape[1]))


def _dot(builder: Builder, eqn: Any, a: Value, b: Value) -> Value:
    """A general product: by a constant matrix, or entrywise and summed."""
    (left, right), (batch_a, batch_b) = eqn.params["dimension_numbers"]
    one = _arranged(builder, a, tuple(batch_a), tuple(left))
    other = _arranged(builder, b, tuple(batch_b), tuple(right))
    batch = one.shape[0]
    shape = eqn.outvars[0].aval.shape
    r, k, s = one.shape[1], one.shape[2], other.shape[1]
    fixed = [builder.fixed(ref) for ref in (one, other)]
    if batch == 1 and (fixed[0] or fixed[1]):
        matrix, moved = (one, other) if fixed[0] else (other, one)
        rows, columns = matrix.shape[1], moved.shape[1]
        flat = np.arange(columns * k).reshape(columns, k)
        found = _matrix_product(
            builder,
            builder.take([matrix], np.arange(rows * k).reshape(rows, k)),
            builder.take([moved], flat.T),
        )
        index = np.arange(rows * columns).reshape(rows, columns)
        index = index if fixed[0] else index.T
        return builder.take([found], index.reshape(shape))
    if batch * r * k * s > 4_000_000:
        raise Untraceable(f"a product of {batch * r * k * s} terms that vary with x")
    b_, i, j, t = np.ix_(*(np.arange(size) for size in (batch, r, s, k)))
    wide = (batch, r, s, k)
    first = builder.take([one], np.broadcast_to((b_ * r + i) * k + t + 0 * j, wide))
    second = builder.take([other], np.broadcast_to((b_ * s + j) * k + t + 0 * i, wide))
    terms = builder.emit(["multiply", first.node, second.node], wide)
    found = builder.emit(["sum", terms.node, [3]], (batch, r, s))
    return builder.take([found], np.arange(batch * r * s).reshape(shape))


def _arranged(
    builder: Builder, value: Value, batch: tuple[int, ...], summed: tuple[int, ...]
) -> Ref:
    """The operand as (batch, free, summed)."""
    source = builder.lift(value, value.shape)
    free = [k for k in range(len(source.shape)) if k not in batch + summed]
    index = np.arange(int(np.prod(source.shape))).reshape(source.shape)
    index = index.transpose(*batch, *free, *summed)
    sizes = [
        int(np.prod([source.shape[k] for k in axes], dtype=np.int64))
        for axes in (batch, free, summed)
    ]
    return builder.take([source], index.reshape(sizes))


def _scatter_add(builder: Builder, eqn: Any, a: Value, index: Value, b: Value) -> Value:
    """a.at[i].add(b) with every place met once: a plus b moved among zeros."""
    if isinstance(index, Ref):
        raise Untraceable("'scatter-add' at positions set by x or data")
    base = builder.lift(a, a.shape)
    source = builder.lift(b, b.shape)
    ones, empty = np.ones(b.shape), np.zeros(a.shape)
    met, where = (
        np.asarray(eqn.primitive.bind(empty, index, moved, **eqn.params))
        for moved in (ones, np.arange(float(ones.size)).reshape(b.shape))
    )
    if met.max(initial=0) > 1:
        raise Untraceable("'scatter-add' that meets a place twice")
    zero, where = builder.lift(np.zeros(1), (1,)), where.astype(np.int64)
    moved = builder.take([source, zero], np.where(met == 1, where, ones.size))
    return builder.emit(["add", base.node, moved.node], a.shape)


WHOLE: dict[str, Callable[..., Value]] = {
    "reduce_sum": _sum,
    "reduce_prod": _folded("multiply"),
    "reduce_max": _folded("maximum"),
    "reduce_min": _folded("minimum"),
    "cumsum": _cumulative,
    "dot_general": _dot,
    "scatter-add": _scatter_add,
}
