"""Rules of networks that propose search directions: what training is worth."""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from .linear_grid import Stencil, cells_of

TRAINING = "linear.direction_training/1"
MAX_VALUES = 2**31  # of all layers together: cells times channels times vectors


def validation_loss(case: Case) -> Measurement:
    """Mean of ||b - s A q||^2, q = f(b), s = q^T b / q^T A q, over the vectors kept
    aside, b of unit norm. In float64, with the network's float32 weights.
    """
    problem = case.problem
    if problem.kind != TRAINING:
        raise Malformed(f"no training of directions: {problem.kind}")
    cells = cells_of(problem)
    vectors = problem.arrays.get("validation")
    if vectors is None or vectors.dtype not in (np.float32, np.float64):
        raise Malformed("validation: expected real vectors")
    if vectors.ndim != 2 or vectors.shape[1] != cells.size or not len(vectors):
        raise Malformed(f"validation has shape {vectors.shape}")
    count = case.parameters.get("vectors")
    if type(count) is not int or not 1 <= count <= len(vectors):
        raise Malformed("vectors: expected how many of them are judged")
    vectors = vectors[:count]
    sizes = architecture_of(problem.json, cells.ndim)
    if vectors.size * sizes["channels"] * len(shapes_of(sizes)) > MAX_VALUES:
        raise Malformed("too many vectors for this judge")
    layers = layers_of(sizes, case.value)
    stencil = Stencil(cells, 1.0)
    losses = [loss(stencil, layers, sizes, b, cells.shape) for b in vectors]
    mean = math.fsum(losses) / len(losses)
    figures = {"largest": max(losses), "vectors": float(len(losses))}
    return Measurement(mean, "", figures)


def loss(stencil: Stencil, layers: list, sizes: dict, b: np.ndarray, shape) -> float:
    """Of one vector; infinite where the network is not."""
    b = b.astype(np.float64) * stencil.active
    norm = np.linalg.norm(b)
    if not (np.isfinite(norm) and norm > 0):
        raise Malformed("a validation vector is zero or not finite")
    b = b / norm
    q = forward(layers, sizes, b.reshape(shape)).reshape(-1) * stencil.active
    image = stencil.product(q).value
    curvature = float(q @ image)
    if not math.isfinite(curvature):
        return math.inf
    step = float(q @ b) / curvature if curvature > 0 else 0.0
    rest = b - step * image
    return float(rest @ rest)


def architecture_of(parameters: dict, dim: int) -> dict:
    """The network's sizes, `dim` included. **Raises:** `Malformed`."""
    depths = parameters.get("depths")
    depths = depths if isinstance(depths, list) else []
    sizes = {name: parameters.get(name, 0) for name in ("channels", "levels")}
    whole = [*sizes.values(), *depths]
    if any(type(n) is not int for n in whole) or len(whole) != 5:
        raise Malformed("channels, levels, depths: expected whole numbers")
    good = 1 <= sizes["channels"] <= 4096 and 1 <= sizes["levels"] <= 6
    good = good and all(0 <= d <= 100 and d % 2 == 0 for d in depths)
    if not good:
        raise Malformed("channels, levels, depths: no such network")
    if not isinstance(parameters.get("bias"), bool):
        raise Malformed("bias: expected true or false")
    return sizes | {"dim": dim, "depths": depths, "bias": parameters["bias"]}


def depths_at(sizes: dict, level: int) -> tuple[int, int, int]:
    """Convolutions before pooling, at the coarsest level, after up-sampling."""
    before, coarsest, after = sizes["depths"]
    if 0 < level < sizes["levels"]:
        return 2 * math.ceil(before / 4), 0, 2 * math.ceil(after / 4)
    return before, coarsest, after


def shapes_of(sizes: dict) -> list[tuple[int, ...]]:
    """Shapes of the weights in the order in which the layers are applied."""
    dim, channels, levels = sizes["dim"], sizes["channels"], sizes["levels"]
    inner = sizes["depths"][1]
    for level in range(levels):
        before, _, after = depths_at(sizes, level)
        inner += before + after
    first, last = (3,) * dim + (1, channels), (1,) * dim + (channels, 1)
    return [first, *[(3,) * dim + (channels, channels)] * inner, last]


def layers_of(sizes: dict, value) -> list[tuple[np.ndarray, np.ndarray]]:
    """(weight, bias) of every layer, as float64. **Raises:** `Malformed`."""
    layers = []
    known = 0
    for index, shape in enumerate(shapes_of(sizes)):
        pair = []
        parts = (("weight", shape), ("bias", shape[-1:]))
        for name, wanted in parts if sizes["bias"] else parts[:1]:
            array = value.get(f"{name}_{index:02d}")
            if array is None or array.dtype != np.float32 or array.shape != wanted:
                raise Malformed(f"{name}_{index:02d}: expected float32, shape {wanted}")
            if not np.all(np.isfinite(array)):
                raise Malformed(f"{name}_{index:02d} has an entry that is not finite")
            pair.append(array.astype(np.float64))
        known += len(pair)
        layers.append((pair[0], pair[1] if sizes["bias"] else np.zeros(shape[-1])))
    if known != len(value):
        raise Malformed("the answer has arrays that are no part of the network")
    return layers


def forward(layers: list, sizes: dict, field: np.ndarray) -> np.ndarray:
    """The network on one field: convolutions, pooling by 2, nearest up-sampling."""
    shape, multiple = field.shape, 2 ** sizes["levels"]
    x = np.pad(field, [(0, -size % multiple) for size in shape])[..., None]
    rest = iter(layers)
    x = convolve(x, *next(rest))
    x = _level(x, rest, sizes, 0)
    x = convolve(x, *next(rest))[..., 0]
    return x[tuple(slice(size) for size in shape)]


def _level(x: np.ndarray, rest, sizes: dict, level: int) -> np.ndarray:
    before, coarsest, after = depths_at(sizes, level)
    if level == sizes["levels"]:
        return _pairs(x, rest, coarsest)
    x = _pairs(x, rest, before)
    below = x
    for axis in range(sizes["dim"]):
        even = (slice(None),) * axis + (slice(0, None, 2),)
        odd = (slice(None),) * axis + (slice(1, None, 2),)
        below = (below[even] + below[odd]) / 2
    below = _level(below, rest, sizes, level + 1)
    for axis in range(sizes["dim"]):
        below = np.repeat(below, 2, axis=axis)
    return _pairs(below + x, rest, after)


def _pairs(x: np.ndarray, rest, count: int) -> np.ndarray:
    for _ in range(count // 2):
        inner = np.maximum(convolve(x, *next(rest)), 0)
        x = np.maximum(convolve(inner, *next(rest)), 0) + x
    return x


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Channels last, zeros beyond the grid, same size."""
    reach = weight.shape[0] // 2
    dim = x.ndim - 1
    padded = np.pad(x, [(reach, reach)] * dim + [(0, 0)])
    found = np.broadcast_to(bias, (*x.shape[:-1], bias.size)).copy()
    for offset in np.ndindex(weight.shape[:dim]):
        window = tuple(slice(o, o + n) for o, n in zip(offset, x.shape, strict=False))
        found += padded[window] @ weight[offset]
    return found


def size_independence(case: Case) -> Measurement:
    """Most steps at any size over those at the first, smallest one."""
    steps, cells = _whole(case, "steps"), _whole(case, "cells")
    if len(steps) != len(cells) or len(steps) < 2 or np.any(steps < 1):
        raise Malformed("expected steps >= 1 at two sizes or more")
    if np.any(np.diff(cells) <= 0):
        raise Malformed("cells: expected growing sizes")
    figures = {
        f"steps at {c} cells": float(s) for c, s in zip(cells, steps, strict=True)
    }
    return Measurement(float(np.max(steps)) / float(steps[0]), "", figures)


def _whole(case: Case, name: str) -> np.ndarray:
    array = case.witness.get(name)
    if array is None or array.dtype != np.int64 or array.ndim != 1:
        raise Malformed(f"{name}: expected whole numbers")
    return array


RULES: tuple[Rule, ...] = (
    Rule(
        "linear.validation_loss/1",
        "evidence",
        "<=",
        "mean of ||b - s A f(b)||^2, s the best step, over unit vectors b that were "
        "kept from training",
        "",
        validation_loss,
        (TRAINING,),
    ),
    Rule(
        "linear.size_independence/1",
        "evidence",
        "<=",
        "the steps that the directions need on larger grids, over those at the size "
        "that they were trained on, as recorded",
        "",
        size_independence,
    ),
)
