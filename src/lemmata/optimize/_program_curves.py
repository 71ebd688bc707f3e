"""JAX's entrywise primitives as recorded operations."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ._program import Builder, Ref, Untraceable, Value

LARGEST_POWER = 1000


def _shape(eqn: Any) -> tuple[int, ...]:
    return tuple(eqn.outvars[0].aval.shape)


def unary(builder: Builder, name: str, a: Ref) -> Ref:
    """A function of each entry."""
    return builder.emit([name, a.node], a.shape)


def pair(builder: Builder, name: str, a: Ref, b: Ref) -> Ref:
    """A function of two entries; a scalar meets every entry."""
    shape = a.shape or b.shape
    return builder.emit([name, a.node, b.node], shape, name in ("less", "less_equal"))


def number(builder: Builder, value: float) -> Ref:
    """A constant, shape ()."""
    return builder.lift(np.asarray(value))


def _unary(name: str) -> Callable[..., Value]:
    return lambda builder, eqn, a: unary(builder, name, builder.lift(a))


def _pair(name: str, swapped: bool = False) -> Callable[..., Value]:
    def rule(builder: Builder, eqn: Any, a: Value, b: Value) -> Value:
        a, b = (b, a) if swapped else (a, b)
        if name in ("maximum", "minimum"):
            never = -np.inf if name == "maximum" else np.inf
            for one, other in ((a, b), (b, a)):  # max(-inf, b) = b, in logsumexp
                if isinstance(one, np.ndarray) and np.all(one == never):
                    return other
        return pair(builder, name, builder.lift(a), builder.lift(b))

    return rule


def _divide(builder: Builder, eqn: Any, a: Value, b: Value) -> Value:
    inverse = unary(builder, "reciprocal", builder.lift(b))
    if isinstance(a, np.ndarray) and np.all(a == 1) and inverse.shape == _shape(eqn):
        return inverse
    return pair(builder, "multiply", builder.lift(a), inverse)


def _power(builder: Builder, a: Ref, exponent: int) -> Ref:
    if abs(exponent) > LARGEST_POWER:
        raise Untraceable(f"the power {exponent}")
    return builder.emit(["power", a.node, int(exponent)], a.shape)


def _integer_pow(builder: Builder, eqn: Any, a: Value) -> Value:
    return _power(builder, builder.lift(a), eqn.params["y"])


def _pow(builder: Builder, eqn: Any, a: Value, b: Value) -> Value:
    shape = _shape(eqn)
    if isinstance(b, np.ndarray):
        base = builder.lift(a, shape)
        wide = np.broadcast_to(np.asarray(b, dtype=np.float64), shape)
        found: Ref | None = None
        for exponent in np.unique(wide):
            part = _constant_power(builder, base, float(exponent))
            if found is None:
                found = part
                continue
            size = base_size(shape)
            here = np.arange(size).reshape(shape)
            index = np.where(wide == exponent, here + size, here)
            found = builder.take([found, part], index)
        if found is None:
            raise Untraceable("a power of an empty array")
        return found
    # a^b = exp(b log a), a > 0
    logarithm = unary(builder, "log", builder.lift(a))
    return unary(builder, "exp", pair(builder, "multiply", builder.lift(b), logarithm))


def base_size(shape: tuple[int, ...]) -> int:
    """Number of entries."""
    return int(np.prod(shape, dtype=np.int64))


def _constant_power(builder: Builder, base: Ref, exponent: float) -> Ref:
    if exponent.is_integer() and abs(exponent) <= LARGEST_POWER:
        return _power(builder, base, int(exponent))
    return builder.emit(["real_power", base.node, exponent], base.shape)


def _atan2(builder: Builder, eqn: Any, a: Value, b: Value) -> Value:
    """The angle of (b, a): atan(a/b) for b > 0, else sign(a) pi/2 - atan(b/a)."""
    y, x, shape = builder.lift(a), builder.lift(b), _shape(eqn)

    def angle(top: Ref, below: Ref) -> Ref:
        ratio = pair(builder, "multiply", top, unary(builder, "reciprocal", below))
        return unary(builder, "atan", ratio)

    zero, two = number(builder, 0.0), number(builder, 2.0)
    right = pair(builder, "multiply", two, unary(builder, "atan", number(builder, 1.0)))
    turned = angle(x, y)
    upper = pair(builder, "subtract", right, turned)
    lower = pair(builder, "subtract", unary(builder, "negative", right), turned)

    def chosen(test: Ref, yes: Ref, no: Ref) -> Ref:
        positive = pair(builder, "less", zero, test)
        return builder.emit(["select", positive.node, yes.node, no.node], shape)

    return chosen(x, angle(y, x), chosen(y, upper, lower))


def _rsqrt(builder: Builder, eqn: Any, a: Value) -> Value:
    return unary(builder, "reciprocal", unary(builder, "sqrt", builder.lift(a)))


def _exp2(builder: Builder, eqn: Any, a: Value) -> Value:
    rate = unary(builder, "log", number(builder, 2.0))
    return unary(builder, "exp", pair(builder, "multiply", builder.lift(a), rate))


def _equal(negated: bool) -> Callable[..., Value]:
    """Equality as a <= b and b <= a: undecided where x makes them equal."""

    def rule(builder: Builder, eqn: Any, a: Value, b: Value) -> Value:
        shape = _shape(eqn)
        if isinstance(a, Ref) and isinstance(b, Ref) and a.node == b.node:
            return np.full(shape, not negated)  # a != a asks for NaN: refused anyway
        one, other = builder.lift(a), builder.lift(b)
        if one.boolean or other.boolean:
            raise Untraceable("truth values that x decides, compared")
        both = [
            pair(builder, "less_equal", p, q) for p, q in ((one, other), (other, one))
        ]
        same = builder.emit(["and", both[0].node, both[1].node], shape, True)
        if not negated:
            return same
        return builder.emit(["not", same.node], shape, True)

    return rule


def _truth(builder: Builder, value: Value) -> Ref:
    """A constant truth value as one that can be recorded: 0 < 1."""
    if isinstance(value, Ref):
        return value
    mask = builder.lift(np.asarray(value, dtype=np.float64))
    return pair(builder, "less", number(builder, 0.0), mask)


def _logic(name: str) -> Callable[..., Value]:
    def rule(builder: Builder, eqn: Any, *values: Value) -> Value:
        if any(isinstance(v, Ref) and not v.boolean for v in values):
            raise Untraceable(f"{name!r} of numbers")
        found = [_truth(builder, value) for value in values]
        return builder.emit([name, *(v.node for v in found)], _shape(eqn), True)

    return rule


def _select(builder: Builder, eqn: Any, which: Value, no: Value, yes: Value) -> Value:
    shape = _shape(eqn)
    if isinstance(which, np.ndarray):
        mask = np.broadcast_to(which.astype(bool), shape)
        if np.all(mask) or not np.any(mask):
            return yes if np.any(mask) else no
        sources = [
            builder.lift(_masked(value, used), shape)
            for value, used in ((no, ~mask), (yes, mask))
        ]
        if any(source.boolean for source in sources):
            raise Untraceable("'select' between truth values that x decides")
        size = base_size(shape)
        here = np.arange(size).reshape(shape)
        return builder.take(sources, np.where(mask, here + size, here))
    if not which.boolean:
        raise Untraceable("'select_n' by a number")
    no, yes = (builder.lift(value) for value in (no, yes))
    if no.boolean or yes.boolean:
        raise Untraceable("'select' between truth values that x decides")
    return builder.emit(["select", which.node, yes.node, no.node], shape)


def _masked(value: Value, used: np.ndarray) -> Value:
    """A constant with zeros where it is not used: NaN is welcome there."""
    return value if isinstance(value, Ref) else np.where(used, value, 0)


def _clamp(builder: Builder, eqn: Any, low: Value, a: Value, high: Value) -> Value:
    found = pair(builder, "maximum", builder.lift(low), builder.lift(a))
    return pair(builder, "minimum", builder.lift(high), found)


def _convert(builder: Builder, eqn: Any, a: Value) -> Value:
    dtype, shape = np.dtype(eqn.params["new_dtype"]), _shape(eqn)
    if isinstance(a, Ref) and a.boolean and dtype == np.float64:
        one, zero = number(builder, 1.0), number(builder, 0.0)
        return builder.emit(["select", a.node, one.node, zero.node], shape)
    truth = isinstance(a, Ref) and a.boolean
    if dtype == np.float64 or (truth and dtype.kind in "biu"):  # for `cond`
        return a
    raise Untraceable(f"numbers that depend on x as {dtype}; use float64")


def _finite(builder: Builder, eqn: Any, a: Value) -> Value:
    return np.full(_shape(eqn), True)  # what is not finite is refused anyway


_SAME_NAME = (
    *("exp", "log", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh"),
    *("cosh", "tanh", "asinh", "acosh", "atanh", "log1p", "expm1", "erf", "erfc"),
    *("cbrt", "logistic", "abs", "sign"),
)

ENTRYWISE: dict[str, Callable[..., Value]] = {
    **{name: _unary(name) for name in _SAME_NAME},
    "neg": _unary("negative"),
    "add": _pair("add"),
    "add_any": _pair("add"),
    "sub": _pair("subtract"),
    "mul": _pair("multiply"),
    "max": _pair("maximum"),
    "min": _pair("minimum"),
    "lt": _pair("less"),
    "le": _pair("less_equal"),
    "gt": _pair("less", swapped=True),
    "ge": _pair("less_equal", swapped=True),
    "eq": _equal(negated=False),
    "ne": _equal(negated=True),
    "and": _logic("and"),
    "or": _logic("or"),
    "not": _logic("not"),
    "div": _divide,
    "atan2": _atan2,
    "pow": _pow,
    "integer_pow": _integer_pow,
    "square": lambda builder, eqn, a: _power(builder, builder.lift(a), 2),
    "rsqrt": _rsqrt,
    "exp2": _exp2,
    "select_n": _select,
    "clamp": _clamp,
    "convert_element_type": _convert,
    "is_finite": _finite,
}
