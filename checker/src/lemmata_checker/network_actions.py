"""What the linear operations of a network do to arrays, and what they round.

Arrays carry leading axes (a batch) before a node's own. Sums are taken in any order;
`terms` bounds the number of roundings that reach one entry of a result, so that
|computed - exact| <= gamma(terms) |W||x|, Higham 2002, chapter 3.
"""

import math

import numpy as np

from .network import Network, Node
from .rigor import TINY, gamma

Array = np.ndarray


def forward(
    node: Node, given: list[Array | None], shapes: list[tuple[int, ...]], size: bool
) -> Array | None:
    """W x, without the constant; an input of None stands for zeros.

    **Arguments:** `given`: one array (..., *shape) per input; `shapes`: the inputs'
    own; `size`: take |W| instead, for bounds on rounding.
    """
    if all(x is None for x in given):
        return None
    first = next(x for x in given if x is not None)
    if node.op == "add":
        total = None
        for x in given:
            total = x if total is None else total if x is None else total + x
        return total
    if node.op == "concatenate":
        lead = first.shape[: first.ndim - len(node.shape)]
        whole = [
            np.zeros((*lead, *s)) if x is None else x
            for x, s in zip(given, shapes, strict=True)
        ]
        return np.concatenate(whole, axis=len(lead) + node.options["axis"])
    lead = first.shape[: first.ndim - len(shapes[0])]
    if node.op == "dense":
        assert node.weight is not None
        weight = np.abs(node.weight) if size else node.weight
        return first @ weight.T
    if node.op == "reshape":
        return first.reshape(*lead, *node.shape)
    if node.op == "affine":
        return first if node.weight is None else first * _maybe_abs(node.weight, size)
    flat = first.reshape(-1, *shapes[0])
    out = _windowed(node, flat, shapes[0], size, backward=False)
    return out.reshape(*lead, *node.shape)


def transposed(
    node: Node, above: Array, shapes: list[tuple[int, ...]], size: bool
) -> list[Array]:
    """W' a for each input, `above` of shape (..., *node.shape)."""
    lead = above.shape[: above.ndim - len(node.shape)]
    if node.op == "add":
        return [above] * len(shapes)
    if node.op == "concatenate":
        axis = node.options["axis"]
        cuts = np.cumsum([s[axis] for s in shapes])[:-1]
        return np.split(above, cuts, axis=len(lead) + axis)
    if node.op == "dense":
        assert node.weight is not None
        return [above @ _maybe_abs(node.weight, size)]
    if node.op == "reshape":
        return [above.reshape(*lead, *shapes[0])]
    if node.op == "affine":
        weight = node.weight
        return [above if weight is None else above * _maybe_abs(weight, size)]
    flat = above.reshape(-1, *node.shape)
    out = _windowed(node, flat, shapes[0], size, backward=True)
    return [out.reshape(*lead, *shapes[0])]


def constant(node: Node) -> Array | None:
    """The bias, of the node's shape, or None."""
    if node.bias is None:
        return None
    bias = node.bias
    if node.op == "conv":
        bias = bias[:, None, None]
    return np.broadcast_to(bias, node.shape)


def terms(node: Node, backward: bool) -> int:
    """Roundings that may reach one entry of W x (or of W' a)."""
    if node.op == "dense":
        assert node.weight is not None
        return node.weight.shape[0 if backward else 1] + 1
    if node.op == "conv":
        assert node.weight is not None
        out, width, kh, kw = node.weight.shape
        channels = out // node.options["groups"] if backward else width
        return channels * kh * kw + 2
    if node.op == "average_pool":
        return math.prod(node.options["kernel"]) + 3
    if node.op == "add":
        return len(node.inputs)
    return 1 if node.op == "affine" else 0


def evaluate(node: Node, given: list[Array], shapes: list[tuple[int, ...]]) -> Array:
    """W x + b."""
    out = forward(node, list(given), shapes, size=False)
    bias = constant(node)
    assert out is not None
    return out if bias is None else out + bias


def interval(
    network: Network, k: int, bounds: list[tuple[Array, Array]]
) -> tuple[Array, Array]:
    """Bounds on a linear node's values from those of its inputs, rounded outwards.

    Midpoint and radius: W m + b, off by |W| r and the rounding of both.
    """
    node = network.nodes[k]
    shapes = [network.shape(i) for i in node.inputs]
    mids = [0.5 * lo + 0.5 * hi for lo, hi in bounds]
    radii = [
        np.maximum(hi - m, m - lo) * (1 + 2.0**-50) + TINY
        for (lo, hi), m in zip(bounds, mids, strict=True)
    ]
    sizes = [np.abs(m) + r for m, r in zip(mids, radii, strict=True)]
    mid = evaluate(node, mids, shapes)
    spread = forward(node, list(radii), shapes, size=True)
    size = forward(node, list(sizes), shapes, size=True)
    assert spread is not None
    assert size is not None
    bias = constant(node)
    size = size if bias is None else size + np.abs(bias)
    count = terms(node, backward=False) + 4
    radius = (spread + gamma(count) * size) * (1 + gamma(count + 4)) + count * TINY
    return np.nextafter(mid - radius, -np.inf), np.nextafter(mid + radius, np.inf)


def _maybe_abs(weight: Array, size: bool) -> Array:
    return np.abs(weight) if size else weight


def _windowed(
    node: Node, x: Array, shape: tuple[int, ...], size: bool, backward: bool
) -> Array:
    """Convolution, average pooling, and their transposes; one offset at a time."""
    if node.op == "average_pool":
        return _pooled(node, x, shape, backward)
    assert node.weight is not None
    weight = _maybe_abs(node.weight, size)
    groups, options = node.options["groups"], node.options
    out, width, kh, kw = weight.shape
    kernel = weight.reshape(groups, out // groups, width, kh, kw)
    count = len(x)
    frame = _Frame(shape, node.shape, (kh, kw), options)
    if backward:
        x = x.reshape(count, groups, out // groups, -1)
        padded = frame.zeros(count)
        for i, j in np.ndindex(kh, kw):
            part = kernel[..., i, j].transpose(0, 2, 1) @ x
            frame.window(padded, i, j)[...] += part.reshape(
                count, shape[0], *node.shape[1:]
            )
        return frame.inside(padded)
    padded = frame.zeros(count)
    frame.inside(padded)[...] = x
    total = np.zeros((count, groups, out // groups, math.prod(node.shape[1:])))
    for i, j in np.ndindex(kh, kw):
        part = frame.window(padded, i, j).reshape(count, groups, width, -1)
        total += kernel[..., i, j] @ part
    return total.reshape(count, *node.shape)


def _pooled(node: Node, x: Array, shape: tuple[int, ...], backward: bool) -> Array:
    """The mean over each window, or its transpose."""
    kernel = node.options["kernel"]
    frame = _Frame(shape, node.shape, tuple(kernel), node.options)
    counts = np.full(node.shape[1:], float(math.prod(kernel)))
    if not node.options["include_padding"]:
        ones = frame.zeros(1)
        frame.inside(ones)[...] = 1.0
        parts = (frame.window(ones, i, j)[0, 0] for i, j in np.ndindex(*kernel))
        counts = sum(parts, np.zeros(node.shape[1:]))
    padded = frame.zeros(len(x))
    if backward:
        x = x / counts
        for i, j in np.ndindex(*kernel):
            frame.window(padded, i, j)[...] += x
        return frame.inside(padded)
    frame.inside(padded)[...] = x
    total = np.zeros((len(x), *node.shape))
    for i, j in np.ndindex(*kernel):
        total += frame.window(padded, i, j)
    return total / counts


class _Frame:
    """A padded image and the entries that one offset of a kernel sees."""

    def __init__(self, shape, result, kernel, options) -> None:
        self.shape, self.result = shape, result
        (self.top, bottom), (self.left, right) = options["padding"]
        self.stride = options["stride"]
        self.dilation = options.get("dilation", (1, 1))
        self.padded = (shape[1] + self.top + bottom, shape[2] + self.left + right)

    def zeros(self, count: int) -> Array:
        """Padded images."""
        return np.zeros((count, self.shape[0], *self.padded))

    def inside(self, padded: Array) -> Array:
        """The image within its padding, a view."""
        rows = slice(self.top, self.top + self.shape[1])
        return padded[:, :, rows, self.left : self.left + self.shape[2]]

    def window(self, padded: Array, i: int, j: int) -> Array:
        """What offset (i, j) of the kernel sees, a view (count, c, *result)."""
        rows, columns = (
            slice(
                o * self.dilation[a],
                o * self.dilation[a] + self.stride[a] * (self.result[1 + a] - 1) + 1,
                self.stride[a],
            )
            for a, o in ((0, i), (1, j))
        )
        return padded[:, :, rows, columns]
