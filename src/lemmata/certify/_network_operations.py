"""Traced operations as layer records: one function per primitive."""

import math
from typing import Any

import numpy as np

from ._network_trace import Recorder, View, _curve, refuse


def _constant_and_view(values: list[Any]) -> tuple[Any, View] | None:
    first, second = values
    if isinstance(first, View) and isinstance(second, View):
        return None
    return (second, first) if isinstance(first, View) else (first, second)


def _widened(recorder: Recorder, view: View, shape: tuple[int, ...]) -> View:
    if view.shape != shape:
        raise refuse(f"an input of shape {view.shape} repeated to {shape}")
    return view


def _add(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    pair = _constant_and_view(values)
    if pair is not None:
        return recorder.scaled(_widened(recorder, pair[1], shape), None, pair[0])
    one, two = (_widened(recorder, v, shape) for v in values)
    if one.axes != two.axes or recorder.shape(one.node) != recorder.shape(two.node):
        one, two = recorder.plain(one), recorder.plain(two)
    made = recorder.add({"op": "add"}, [one.node, two.node], recorder.shape(one.node))
    return View(made.node, one.axes, one.shape)


def _subtract(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    first, second = values
    if not isinstance(second, View):
        return recorder.scaled(
            _widened(recorder, first, shape), None, -np.asarray(second, np.float64)
        )
    second = recorder.scaled(_widened(recorder, second, shape), -1.0, None)
    return _add(recorder, [first, second], options, shape)


def _multiply(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    pair = _constant_and_view(values)
    if pair is None:
        raise refuse("a product of two results")
    return recorder.scaled(_widened(recorder, pair[1], shape), pair[0], None)


def _divide(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    first, second = values
    if isinstance(second, View):
        raise refuse("a division by a result")
    inverse = 1.0 / np.asarray(second, np.float64)
    return recorder.scaled(_widened(recorder, first, shape), inverse, None)


def _negative(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    return recorder.scaled(values[0], -1.0, None)


def _maximum(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    pair = _constant_and_view(values)
    if pair is None or np.any(np.asarray(pair[0]) != 0):
        raise refuse("a maximum, but for max(x, 0)")
    return _curve(recorder, _widened(recorder, pair[1], shape), {"op": "relu"})


def _dot(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    pair = _constant_and_view(values)
    if pair is None:
        raise refuse("a product of two results")
    matrix, view = np.asarray(pair[0], np.float64), pair[1]
    contracted, batched = options["dimension_numbers"]
    axes = list(contracted) if isinstance(values[1], View) else list(contracted)[::-1]
    (of_matrix, of_view) = axes
    long = [i for i, n in enumerate(view.shape) if n != 1 or i in of_view]
    if any(len(part) for part in batched) or long != list(of_view):
        raise refuse("a product of more than a matrix and a vector")
    if matrix.ndim > 2 or len(of_matrix) != 1:
        raise refuse("a product of more than a matrix and a vector")
    weight = np.moveaxis(matrix, of_matrix[0], -1).reshape(
        -1, matrix.shape[of_matrix[0]]
    )
    flat = View(view.node, (view.axes[of_view[0]],), (view.shape[of_view[0]],))
    plain = recorder.plain(flat)
    made = recorder.add({"op": "dense"}, [plain.node], (len(weight),), weight=weight)
    axes_out = _spread(len(weight), shape)
    return View(made.node, axes_out, tuple(shape))


def _spread(size: int, shape: tuple[int, ...]) -> tuple[int | None, ...]:
    """Where the one axis of a vector stands in a shape of ones beside it."""
    place = next((i for i, n in enumerate(shape) if n == size), None)
    if math.prod(shape) != size or (place is None and shape):
        raise refuse("a product of more than a matrix and a vector")
    return tuple(0 if i == place else None for i in range(len(shape)))


def _convolution(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    view, kernel = values
    numbers = options["dimension_numbers"]
    plain = (0, 1, 2, 3)
    good = isinstance(view, View) and not isinstance(kernel, View)
    good = (
        good and (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec) == (plain,) * 3
    )
    good = good and view.shape[0] == 1 and options["batch_group_count"] == 1
    if not good or any(n != 1 for n in options["lhs_dilation"]):
        raise refuse("a convolution that is not two-dimensional and plain")
    if any(min(pads) < 0 for pads in options["padding"]):
        raise refuse("a convolution with negative padding")
    image = recorder.plain(View(view.node, view.axes[1:], view.shape[1:]))
    record = {
        "op": "conv",
        "stride": [int(n) for n in options["window_strides"]],
        "padding": [[int(a), int(b)] for a, b in options["padding"]],
        "dilation": [int(n) for n in options["rhs_dilation"]],
        "groups": int(options["feature_group_count"]),
    }
    made = recorder.add(record, [image.node], shape[1:], weight=kernel)
    return View(made.node, (None, 0, 1, 2), tuple(shape))


def _window_sum(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    """Average pooling times the size of its window."""
    view = values[0]
    sizes = options["window_dimensions"]
    wide = [i for i, n in enumerate(view.shape) if view.axes[i] is not None]
    dilated = any(
        n != 1 for key in ("base_dilation", "window_dilation") for n in options[key]
    )
    images = len(wide) == 3 and len(recorder.shape(view.node)) == 3
    if not images or dilated:
        raise refuse("a sum over windows that are not two-dimensional")
    place = {view.axes[i]: i for i in wide}
    order = [place[0], place[1], place[2]]
    if sizes[order[0]] != 1 or any(
        sizes[i] != 1 for i in set(range(len(sizes))) - {*wide}
    ):
        raise refuse("a sum over windows of channels")
    kernel = [int(sizes[i]) for i in order[1:]]
    pads = [[int(n) for n in options["padding"][i]] for i in order[1:]]
    record = {
        "op": "average_pool",
        "kernel": kernel,
        "stride": [int(options["window_strides"][i]) for i in order[1:]],
        "padding": pads,
        "include_padding": True,
    }
    result = tuple(shape[i] for i in order)
    made = recorder.add(record, [view.node], result)
    pooled = View(made.node, view.axes, tuple(shape))
    return recorder.scaled(pooled, float(math.prod(kernel)), None)


def _transpose(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    view, order = values[0], options["permutation"]
    return View(view.node, tuple(view.axes[i] for i in order), tuple(shape))


def _squeeze(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    view, gone = values[0], options["dimensions"]
    axes = tuple(a for i, a in enumerate(view.axes) if i not in gone)
    return View(view.node, axes, tuple(shape))


def _broadcast(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    view, where = values[0], options["broadcast_dimensions"]
    axes: list[int | None] = [None] * len(shape)
    for i, place in enumerate(where):
        if view.shape[i] != shape[place]:
            raise refuse(f"an input of shape {view.shape} repeated to {shape}")
        axes[place] = view.axes[i]
    if math.prod(shape) != math.prod(view.shape):
        raise refuse(f"an input of shape {view.shape} repeated to {shape}")
    return View(view.node, tuple(axes), tuple(shape))


def _reshape(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    if options.get("dimensions") is not None:
        raise refuse("a reshape with a transposition")
    kept = [a for a in values[0].axes if a is not None]
    if kept != sorted(kept):
        raise refuse("a reshape of transposed axes")
    made = recorder.add(
        {"op": "reshape", "shape": list(shape)}, [values[0].node], shape
    )
    return made


def _concatenate(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    if not all(isinstance(v, View) for v in values):
        raise refuse("a constant concatenated to results")
    plain = [recorder.plain(v) for v in values]
    record = {"op": "concatenate", "axis": int(options["dimension"])}
    return recorder.add(record, [v.node for v in plain], tuple(shape))


def _convert(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    if np.dtype(options["new_dtype"]).kind != "f":
        raise refuse(f"a conversion to {options['new_dtype']}")
    return values[0]


def _same(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
    return values[0]


def _curve_of(op: str) -> Any:
    def record(recorder: Recorder, values: Any, options: Any, shape: Any) -> View:
        return _curve(recorder, values[0], {"op": op})

    return record


OPERATIONS = {
    "add": _add,
    "add_any": _add,
    "sub": _subtract,
    "mul": _multiply,
    "div": _divide,
    "neg": _negative,
    "max": _maximum,
    "logistic": _curve_of("sigmoid"),
    "tanh": _curve_of("tanh"),
    "dot_general": _dot,
    "conv_general_dilated": _convolution,
    "reduce_window_sum": _window_sum,
    "transpose": _transpose,
    "squeeze": _squeeze,
    "expand_dims": _broadcast,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "concatenate": _concatenate,
    "convert_element_type": _convert,
    "copy": _same,
    "stop_gradient": _same,
}
