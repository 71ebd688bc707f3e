"""Rearrangements: a primitive, applied to positions, tells where entries go."""

from typing import Any

import jax
import numpy as np

from ._program import Builder, Ref, Untraceable, Value

STRUCTURE: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(("slice", "squeeze", "reshape", "broadcast_in_dim"), (0,)),
    **dict.fromkeys(("transpose", "rev", "gather", "dynamic_slice"), (0,)),
    **dict.fromkeys(("expand_dims", "split", "tile"), (0,)),
    "concatenate": None,  # every operand is moved
    "stack": None,
    "pad": (0, 1),
    "dynamic_update_slice": (0, 1),
    "scatter": (0, 2),
}


def rearranged(
    builder: Builder, eqn: Any, values: list[Value], moved: tuple[int, ...] | None
) -> list[Value]:
    moved = tuple(range(len(values))) if moved is None else moved
    operands: list[Any] = []
    sources: list[Ref] = []
    end = 0
    for place, value in enumerate(values):
        if place in moved:
            source = builder.lift(value, value.shape)
            size = int(np.prod(source.shape, dtype=np.int64))
            operands.append(np.arange(end, end + size).reshape(source.shape))
            sources.append(source)
            end += size
        elif isinstance(value, Ref):
            raise Untraceable(f"{eqn.primitive.name!r} at positions set by x or data")
        else:
            operands.append(value)
    if any(source.boolean for source in sources):
        raise Untraceable(f"{eqn.primitive.name!r} of truth values that x decides")
    outputs = [np.asarray(index) for index in _moved(eqn, operands)]
    if any(o.size and not 0 <= o.min() <= o.max() < end for o in outputs):
        raise Untraceable(f"{eqn.primitive.name!r} at a position out of bounds")
    return [builder.take(list(sources), index.astype(np.int64)) for index in outputs]


def _moved(eqn: Any, operands: list[Any]) -> list[Any]:
    """The primitive on positions; the commonest in NumPy, which compiles nothing."""
    name, p, a = eqn.primitive.name, eqn.params, operands[0]
    shape = eqn.outvars[0].aval.shape
    if name == "slice":
        strides = p["strides"] or (1,) * a.ndim
        bounds = zip(p["start_indices"], p["limit_indices"], strides, strict=True)
        return [a[tuple(slice(*bound) for bound in bounds)]]
    if name in ("squeeze", "expand_dims") or (
        name == "reshape" and p.get("dimensions") is None
    ):
        return [a.reshape(shape)]
    if name == "broadcast_in_dim":
        line = [1] * len(shape)
        for axis, size in zip(p["broadcast_dimensions"], a.shape, strict=True):
            line[axis] = size
        return [np.broadcast_to(a.reshape(line), shape)]
    if name == "pad" and all(min(c) >= 0 and c[2] == 0 for c in p["padding_config"]):
        found = np.full(shape, operands[1])
        inner = zip(p["padding_config"], a.shape, strict=True)
        found[tuple(slice(c[0], c[0] + size) for c, size in inner)] = a
        return [found]
    if name == "transpose":
        return [a.transpose(p["permutation"])]
    if name == "concatenate":
        return [np.concatenate(operands, axis=p["dimension"])]
    if name == "stack":
        return [np.stack(operands, axis=p["axis"])]
    if p.get("fill_value") is not None:  # must not look like a position
        p = {**p, "fill_value": -1}
    found = eqn.primitive.bind(*(jax.numpy.asarray(v) for v in operands), **p)
    return list(found) if eqn.primitive.multiple_results else [found]
