"""Each JAX primitive as recorded operations: calls, loops, sums, products, entries."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ._program import Builder, Ref, Untraceable, Value
from ._program_curves import ENTRYWISE
from ._program_moves import STRUCTURE, rearranged
from ._program_sums import WHOLE

MOST_STEPS = 1000  # of an unrolled loop


def interpret(
    builder: Builder, jaxpr: Any, consts: Any, arguments: list[Value]
) -> list[Value]:
    """The outputs of a jaxpr as nodes, or arrays where nothing varies."""
    known: dict[Any, Value] = {}

    def read(atom: Any) -> Value:
        if hasattr(atom, "val"):  # a literal
            return np.asarray(atom.val)
        return known[atom]

    known.update(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
    known.update(zip(jaxpr.invars, arguments, strict=True))
    for eqn in jaxpr.eqns:
        values = [read(atom) for atom in eqn.invars]
        outputs = _apply(builder, eqn, values)
        for variable, output in zip(eqn.outvars, outputs, strict=True):
            known[variable] = output
    return [read(atom) for atom in jaxpr.outvars]


def _apply(builder: Builder, eqn: Any, values: list[Value]) -> list[Value]:
    name = eqn.primitive.name
    if not eqn.outvars:  # jax.debug.print and the like
        return []
    _check_types(eqn)
    if name in CALLS:
        return CALLS[name](builder, eqn, values)
    if all(isinstance(value, np.ndarray) for value in values):
        return _computed(eqn, values)
    if name in ENTRYWISE:
        shape = tuple(eqn.outvars[0].aval.shape)
        values = [_spread(builder, value, shape) for value in values]
        found = ENTRYWISE[name](builder, eqn, *values)
        if isinstance(found, Ref) and found.shape != shape and not found.boolean:
            found = builder.lift(found, shape)  # a scalar met a constant array
        return [found]
    if name in STRUCTURE:
        return rearranged(builder, eqn, values, STRUCTURE[name])
    if name in WHOLE:
        return [WHOLE[name](builder, eqn, *values)]
    raise Untraceable(_said(name))


def _spread(builder: Builder, value: Value, shape: tuple[int, ...]) -> Value:
    """Axes of length 1 repeated; a scalar stays one."""
    if value.shape in ((), shape):
        return value
    if isinstance(value, np.ndarray):
        return np.broadcast_to(value, shape)
    if value.boolean:
        raise Untraceable("truth values that x decides, broadcast")
    index = np.arange(int(np.prod(value.shape))).reshape(value.shape)
    return builder.take([value], np.broadcast_to(index, shape))


def _said(name: str) -> str:
    kind = "callback" if "callback" in name else "primitive"
    return f"the {kind} {name!r}, which the judge cannot redo"


def _check_types(eqn: Any) -> None:
    for variable in eqn.outvars:
        dtype = getattr(variable.aval, "dtype", None)
        if isinstance(dtype, np.dtype) and (dtype.kind == "c" or dtype == np.float32):
            raise Untraceable(f"{dtype} numbers in {eqn.primitive.name!r}; use float64")


def _computed(eqn: Any, values: list[Any]) -> list[Value]:
    """What does not vary, computed once by JAX itself."""
    if "callback" in eqn.primitive.name:
        raise Untraceable(_said(eqn.primitive.name))
    found = eqn.primitive.bind(*(jax.numpy.asarray(v) for v in values), **eqn.params)
    found = found if eqn.primitive.multiple_results else [found]
    return [np.asarray(output) for output in found]


def _call(builder: Builder, eqn: Any, values: list[Value]) -> list[Value]:
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = eqn.params.get(name)
        if inner is not None:
            jaxpr = getattr(inner, "jaxpr", inner)
            return interpret(builder, jaxpr, getattr(inner, "consts", ()), values)
    raise Untraceable(_said(eqn.primitive.name))


_LOGADDEXP = (
    *("max", "sub", "ne", "add", "abs", "neg", "exp", "log1p", "add", "select_n"),
)


def _custom(builder: Builder, eqn: Any, values: list[Value]) -> list[Value]:
    """A function with its own derivative; the judge takes that of what it computes.

    log(e^a + e^b) is recorded as a + softplus(b - a), smooth where a = b as well.
    """
    inner = getattr(eqn.params.get("call_jaxpr"), "jaxpr", None)
    names = tuple(e.primitive.name for e in inner.eqns) if inner is not None else ()
    varies = any(isinstance(value, Ref) for value in values)
    if names != _LOGADDEXP or not varies:
        return _call(builder, eqn, values)
    a, b = values
    zero = isinstance(a, np.ndarray) and not np.any(a)
    swap = isinstance(b, np.ndarray) and not np.any(b)
    if swap:
        a, b, zero = b, a, True
    shape = eqn.outvars[0].aval.shape
    difference = b if zero else _pair(builder, "subtract", b, a, shape)
    lifted = builder.lift(difference)
    curve: Value = builder.emit(["softplus", lifted.node], lifted.shape)
    return [curve if zero else _pair(builder, "add", a, curve, shape)]


def _pair(builder: Builder, name: str, a: Value, b: Value, shape: Any) -> Ref:
    one, other = builder.lift(a), builder.lift(b)
    return builder.emit([name, one.node, other.node], shape)


def _scan(builder: Builder, eqn: Any, values: list[Value]) -> list[Value]:
    length, p = eqn.params["length"], eqn.params
    if length > MOST_STEPS:
        raise Untraceable(
            f"a loop of {length} steps; at most {MOST_STEPS} are unrolled"
        )
    inner, consts = p["jaxpr"], p["num_consts"]
    fixed, carry = values[:consts], values[consts : consts + p["num_carry"]]
    stacked = values[consts + p["num_carry"] :]
    rows: list[list[Value]] = []
    steps = range(length - 1, -1, -1) if p["reverse"] else range(length)
    for step in steps:
        now = [_entry(builder, value, step) for value in stacked]
        found = interpret(builder, inner.jaxpr, inner.consts, [*fixed, *carry, *now])
        carry, row = found[: p["num_carry"]], found[p["num_carry"] :]
        rows.append(row)
    if p["reverse"]:
        rows.reverse()
    return [*carry, *(_stacked(builder, list(c)) for c in zip(*rows, strict=True))]


def _while(builder: Builder, eqn: Any, values: list[Value]) -> list[Value]:
    p = eqn.params
    first, second = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    tests, fixed, carry = values[:first], values[first:second], values[second:]
    for _ in range(MOST_STEPS):
        cond, body = p["cond_jaxpr"], p["body_jaxpr"]
        (more,) = interpret(builder, cond.jaxpr, cond.consts, [*tests, *carry])
        if isinstance(more, Ref):
            raise Untraceable("the primitive 'while' with a number of steps set by x")
        if not more:
            return carry
        carry = interpret(builder, body.jaxpr, body.consts, [*fixed, *carry])
    raise Untraceable(f"a loop of more than {MOST_STEPS} steps")


def _cond(builder: Builder, eqn: Any, values: list[Value]) -> list[Value]:
    which, *rest = values
    branches = eqn.params["branches"]
    if isinstance(which, np.ndarray):
        chosen = branches[int(np.clip(which, 0, len(branches) - 1))]
        return interpret(builder, chosen.jaxpr, chosen.consts, rest)
    if len(branches) != 2 or not which.boolean:
        raise Untraceable("the primitive 'cond' with more than two branches set by x")
    no, yes = (interpret(builder, b.jaxpr, b.consts, rest) for b in branches)
    return [
        ENTRYWISE["select_n"](builder, _Shaped(v.aval.shape), which, a, b)
        for v, a, b in zip(eqn.outvars, no, yes, strict=True)
    ]


class _Shaped:
    """Stands for an equation of which only the result's shape matters."""

    def __init__(self, shape: tuple[int, ...]):
        aval = type("Aval", (), {"shape": shape})
        self.outvars = (type("Variable", (), {"aval": aval}),)
        self.params: dict[str, Any] = {}


def _entry(builder: Builder, value: Value, step: int) -> Value:
    if isinstance(value, np.ndarray):
        return value[step]
    index = np.arange(int(np.prod(value.shape))).reshape(value.shape)[step]
    return builder.take([value], np.asarray(index))


def _stacked(builder: Builder, rows: list[Value]) -> Value:
    arrays = [row for row in rows if isinstance(row, np.ndarray)]
    if len(arrays) == len(rows):
        return np.stack(arrays)
    whole = [builder.lift(row, row.shape) for row in rows]
    size = sum(int(np.prod(row.shape, dtype=np.int64)) for row in whole)
    return builder.take(whole, np.arange(size).reshape(len(rows), *rows[0].shape))


def _same(builder: Builder, eqn: Any, values: list[Value]) -> list[Value]:
    del builder, eqn
    return values


CALLS: dict[str, Callable[..., list[Value]]] = {
    **dict.fromkeys(("jit", "pjit", "closed_call", "core_call", "remat"), _call),
    **dict.fromkeys(("remat2", "checkpoint", "custom_vjp_call"), _call),
    "custom_jvp_call": _custom,
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    **dict.fromkeys(("copy", "copy_p", "stop_gradient", "name"), _same),
    "optimization_barrier": _same,
}
