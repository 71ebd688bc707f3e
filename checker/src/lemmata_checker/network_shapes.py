"""Shapes that the operations of a network accept and give."""

import math
from typing import Any

import numpy as np

from .errors import Malformed

LARGEST = 2**24  # entries of one node or array
DEEPEST = 4  # dimensions of one node


def need(condition: Any, where: str, expected: str) -> None:
    """Raises `Malformed` unless the condition holds."""
    if not condition:
        raise Malformed(f"{where}: expected {expected}")


def read_shape(shape: Any, where: str) -> tuple[int, ...]:
    """A shape as JSON has it."""
    fits = isinstance(shape, list) and 1 <= len(shape) <= DEEPEST
    fits = fits and all(type(n) is int and 0 < n <= LARGEST for n in shape)
    need(fits, where, f"1 to {DEEPEST} positive sizes")
    need(math.prod(shape) <= LARGEST, where, f"at most {LARGEST} entries")
    return tuple(shape)


def _pair(value: Any, where: str, least: int) -> tuple[int, int]:
    fits = isinstance(value, list) and len(value) == 2
    fits = fits and all(type(n) is int and least <= n <= 2**16 for n in value)
    need(fits, where, f"two integers, at least {least}")
    return value[0], value[1]


def _windows(shape, options, kernel, dilation, where) -> tuple[int, int]:
    """Numbers of window positions in (c, h, w)."""
    stride = _pair(options["stride"], f"{where}.stride", 1)
    padding = options["padding"]
    need(isinstance(padding, list) and len(padding) == 2, where, "padding of two axes")
    pads = [_pair(p, f"{where}.padding", 0) for p in padding]
    counts = []
    for axis in (0, 1):
        room = shape[1 + axis] + sum(pads[axis]) - dilation[axis] * (kernel[axis] - 1)
        need(room >= 1, where, "a window that fits into the input")
        counts.append((room - 1) // stride[axis] + 1)
    return counts[0], counts[1]


def _dense(given, options, weight, bias, where):
    need(weight.ndim == 2, f"{where}.weight", f"(out, in), got {weight.shape}")
    fits = given[0] == weight.shape[1:]
    need(fits, where, f"an input of shape {weight.shape[1:]}, got {given[0]}")
    _bias(bias, weight.shape[0], where)
    return (weight.shape[0],)


def _bias(bias, size, where):
    got = None if bias is None else bias.shape
    need(got in (None, (size,)), f"{where}.bias", f"shape ({size},), got {got}")


def _conv(given, options, weight, bias, where):
    expected = f"(out, in, kh, kw), got {weight.shape}"
    need(weight.ndim == 4 and weight.size, f"{where}.weight", expected)
    shape, groups = given[0], options["groups"]
    need(len(shape) == 3, where, f"an input of shape (c, h, w), got {shape}")
    fits = type(groups) is int and groups >= 1 and weight.shape[0] % groups == 0
    fits = fits and shape[0] == groups * weight.shape[1]
    need(fits, where, f"groups and channels that fit {shape}, {weight.shape}")
    dilation = _pair(options["dilation"], f"{where}.dilation", 1)
    _bias(bias, weight.shape[0], where)
    windows = _windows(shape, options, weight.shape[2:], dilation, where)
    return (weight.shape[0], *windows)


def _average_pool(given, options, weight, bias, where):
    shape = given[0]
    need(len(shape) == 3, where, f"an input of shape (c, h, w), got {shape}")
    kernel = _pair(options["kernel"], f"{where}.kernel", 1)
    flag = isinstance(options["include_padding"], bool)
    need(flag, f"{where}.include_padding", "true or false")
    for size, pads in zip(kernel, options["padding"], strict=True):
        both = _pair(pads, f"{where}.padding", 0)
        need(max(both) < size, where, "a padding smaller than the kernel")
    return (shape[0], *_windows(shape, options, kernel, (1, 1), where))


def _reshape(given, options, weight, bias, where):
    shape = read_shape(options["shape"], f"{where}.shape")
    fits = math.prod(shape) == math.prod(given[0])
    need(fits, where, f"as many entries as {given[0]}, got {shape}")
    return shape


def _affine(given, options, weight, bias, where):
    need(weight is not None or bias is not None, where, "a weight or a bias")
    for name, part in (("weight", weight), ("bias", bias)):
        if part is not None:
            try:
                fits = np.broadcast_shapes(part.shape, given[0]) == given[0]
            except ValueError:
                fits = False
            need(fits, f"{where}.{name}", f"to fit {given[0]}, got {part.shape}")
    return given[0]


def _add(given, options, weight, bias, where):
    need(len(set(given)) == 1, where, f"inputs of one shape, got {given}")
    return given[0]


def _concatenate(given, options, weight, bias, where):
    axis, first = options["axis"], given[0]
    need(type(axis) is int and 0 <= axis < len(first), where, "an axis of its inputs")
    rest = {(len(s), s[:axis], s[axis + 1 :]) for s in given}
    need(len(rest) == 1, where, f"inputs that fit along axis {axis}, got {given}")
    return (*first[:axis], sum(s[axis] for s in given), *first[axis + 1 :])


def same(given, options, weight, bias, where):
    """The shape of the only input."""
    return given[0]


def _leaky_relu(given, options, weight, bias, where):
    slope = options["slope"]
    fits = type(slope) in (int, float) and 0 <= slope <= 1
    need(fits, f"{where}.slope", f"a number in [0, 1], got {slope!r}")
    return given[0]


def _group_sort(given, options, weight, bias, where):
    size = options["size"]
    fits = type(size) is int and size >= 1 and given[0][0] % size == 0
    need(fits, f"{where}.size", f"a divisor of {given[0][0]}, got {size!r}")
    return given[0]


def _householder(given, options, weight, bias, where):
    fits = weight.ndim == 2 and weight.size == given[0][0]
    need(fits, f"{where}.weight", f"(groups, size) with {given[0][0]} entries")
    need(np.all(np.any(weight, axis=1)), f"{where}.weight", "no vector of zeros")
    return given[0]


RESULTS = {
    "dense": _dense,
    "conv": _conv,
    "average_pool": _average_pool,
    "reshape": _reshape,
    "affine": _affine,
    "add": _add,
    "concatenate": _concatenate,
    "leaky_relu": _leaky_relu,
    "group_sort": _group_sort,
    "householder": _householder,
}
