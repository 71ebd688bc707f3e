"""Elementary functions with two derivatives in python-flint's balls, one at a time."""

from collections.abc import Callable
from typing import Any

from flint import arb

Triple = tuple[Any, Any, Any]


def _sin(t: arb) -> Triple:
    s, c = t.sin_cos()
    return s, c, -s


def _cos(t: arb) -> Triple:
    s, c = t.sin_cos()
    return c, -s, -c


def _tan(t: arb) -> Triple:
    v = t.tan()
    return v, 1 + v * v, 2 * v * (1 + v * v)


def _asin(t: arb) -> Triple:
    w = 1 - t * t
    return t.asin(), 1 / w.sqrt(), t / (w * w.sqrt())


def _acos(t: arb) -> Triple:
    value, slope, bend = _asin(t)
    return t.acos(), -slope, -bend


def _atan(t: arb) -> Triple:
    w = 1 / (1 + t * t)
    return t.atan(), w, -2 * t * w * w


def _sinh(t: arb) -> Triple:
    return t.sinh(), t.cosh(), t.sinh()


def _cosh(t: arb) -> Triple:
    return t.cosh(), t.sinh(), t.cosh()


def _tanh(t: arb) -> Triple:
    v, w = t.tanh(), 1 / t.cosh() ** 2
    return v, w, -2 * v * w


def _asinh(t: arb) -> Triple:
    w = 1 + t * t
    return t.asinh(), 1 / w.sqrt(), -t / (w * w.sqrt())


def _acosh(t: arb) -> Triple:
    w = t * t - 1
    return t.acosh(), 1 / w.sqrt(), -t / (w * w.sqrt())


def _atanh(t: arb) -> Triple:
    w = 1 / (1 - t * t)
    return t.atanh(), w, 2 * t * w * w


def _log1p(t: arb) -> Triple:
    w = 1 / (1 + t)
    return t.log1p(), w, -w * w


def _expm1(t: arb) -> Triple:
    return t.expm1(), t.exp(), t.exp()


def _erf(t: arb) -> Triple:
    slope = 2 * (-t * t).exp() / arb.pi().sqrt()
    return t.erf(), slope, -2 * t * slope


def _erfc(t: arb) -> Triple:
    _, slope, bend = _erf(t)
    return t.erfc(), -slope, -bend


def _cube_root(t: arb) -> Triple:
    size = abs(t)
    value = size.root(3) if t > 0 else -size.root(3)
    slope = value / (3 * t)  # NaN on a ball that holds 0
    return value, slope, -2 * slope / (3 * t)


TRIPLES: dict[str, Callable[[arb], Triple]] = {
    "sin": _sin,
    "cos": _cos,
    "tan": _tan,
    "asin": _asin,
    "acos": _acos,
    "atan": _atan,
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _tanh,
    "asinh": _asinh,
    "acosh": _acosh,
    "atanh": _atanh,
    "log1p": _log1p,
    "expm1": _expm1,
    "erf": _erf,
    "erfc": _erfc,
    "cbrt": _cube_root,
}
