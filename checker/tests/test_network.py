"""Layer records: what is refused, and what the linear operations do and round."""

from fractions import Fraction as F

import numpy as np
import pytest
from checker.tests.networks import dense_network, dot, image_network
from hypothesis import given, settings, strategies as st

from lemmata_checker.errors import Malformed
from lemmata_checker.network import array_names, network_of
from lemmata_checker.network_actions import (
    constant,
    evaluate,
    forward,
    interval,
    terms,
    transposed,
)
from lemmata_checker.rigor import gamma


def image(seed=0):
    content, arrays = image_network(np.random.default_rng(seed))
    return network_of(content, arrays)


def test_shapes_of_every_operation():
    network = image()
    shapes = [node.shape for node in network.nodes]
    assert shapes[0] == (4, 2, 3)
    assert shapes[6] == (8, 2, 3)
    assert shapes[7] == (8, 2, 2)
    assert (network.inputs, network.outputs) == (32, 3)
    content, arrays = image_network(np.random.default_rng(0))
    assert set(array_names(content)) == set(arrays)


def test_transposed_is_the_transpose():
    rng, network = np.random.default_rng(1), image()
    for node in network.nodes:
        if node.op == "relu":
            continue
        shapes = [network.shape(i) for i in node.inputs]
        for size in (False, True):
            x = [rng.normal(size=(2, *s)) for s in shapes]
            a = rng.normal(size=(2, *node.shape))
            up = float(np.sum(forward(node, x, shapes, size) * a))
            parts = transposed(node, a, shapes, size)
            down = sum(np.sum(p * q) for p, q in zip(parts, x, strict=True))
            # both are sums of some hundred products of order one
            assert up == pytest.approx(float(down), rel=1e-11, abs=1e-12)


def test_windows_against_their_definition():
    """Convolution and pooling entry by entry, by plain loops."""
    rng, network = np.random.default_rng(2), image()
    x = rng.normal(size=(2, 4, 4))
    conv = network.nodes[0]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 0)))
    expected = np.zeros(conv.shape)
    for o, i, j in np.ndindex(conv.shape):
        part = padded[o // 2, 2 * i : 2 * i + 3, j : j + 3]
        expected[o, i, j] = np.sum(part * conv.weight[o, 0])
    found = forward(conv, [x[None]], [x.shape], size=False)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)
    pool, y = network.nodes[7], rng.normal(size=(8, 2, 3))
    expected = np.zeros(pool.shape)
    for c, i, j in np.ndindex(pool.shape):
        part = y[c, max(i - 1, 0) : i + 1, 2 * j : 2 * j + 2]
        expected[c, i, j] = part.mean()
    found = forward(pool, [y[None]], [y.shape], size=False)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_rounding_of_a_dense_layer_is_bounded(size, rows, seed):
    rng = np.random.default_rng(seed)
    content, arrays = dense_network([size, rows], rng)
    network = network_of(content, arrays)
    node, x = network.nodes[0], rng.normal(size=size)
    found = forward(node, [x], [(size,)], size=False)
    bound = gamma(terms(node, backward=False)) * (np.abs(node.weight) @ np.abs(x))
    for k in range(rows):
        exact = dot(map(F, node.weight[k].tolist()), map(F, x.tolist()))
        assert abs(F(float(found[k])) - exact) <= F(float(bound[k]))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.floats(0, 2), st.integers(0, 2**32 - 1))
def test_intervals_hold_at_corners_exactly(size, radius, seed):
    rng = np.random.default_rng(seed)
    network = network_of(*dense_network([size, 3], rng))
    node, x = network.nodes[0], rng.normal(size=size)
    lo, hi = interval(network, 0, [(x - radius, x + radius)])
    for _ in range(5):
        corner = np.where(rng.uniform(size=size) < 0.5, x - radius, x + radius)
        for k in range(3):
            value = dot(map(F, node.weight[k].tolist()), map(F, corner.tolist()))
            value += F(float(node.bias[k]))
            assert F(float(lo[k])) <= value <= F(float(hi[k]))


def test_evaluate_adds_the_bias_per_channel():
    network = image()
    node = network.nodes[0]
    zero = evaluate(node, [np.zeros((1, 2, 4, 4))], [(2, 4, 4)])[0]
    np.testing.assert_array_equal(zero, constant(node))
    assert np.all(zero[1] == node.bias[1])


DENSE = {"op": "dense", "inputs": [-1], "weight": "w"}
CONV = {
    "op": "conv",
    "inputs": [-1],
    "weight": "k",
    "stride": [1, 1],
    "padding": [[0, 0], [0, 0]],
    "dilation": [1, 1],
    "groups": 1,
}
POOL = {
    "op": "average_pool",
    "inputs": [-1],
    "kernel": [2, 2],
    "stride": [1, 1],
    "padding": [[0, 0], [0, 0]],
    "include_padding": True,
}


@pytest.mark.parametrize(
    ("shape", "nodes", "message"),
    [
        ([2], [], "nodes: expected 1 to"),
        ([], [DENSE], "input_shape"),
        ([2.0], [DENSE], "input_shape"),
        ([2**30], [DENSE], "input_shape"),
        ([2], [{"op": "max_pool", "inputs": [-1]}], "known op, got 'max_pool'"),
        ([2], [{"op": ["dense"], "inputs": [-1]}], "known op"),
        ([3], [DENSE], r"\(dense\): expected an input of shape \(2,\)"),
        ([2], [DENSE | {"weight": "no"}], "name of an array"),
        ([2], [DENSE | {"weight": "f4"}], "float64, got float32"),
        ([2], [DENSE | {"weight": "nan"}], "1 not finite"),
        ([2], [DENSE | {"extra": 1}], "none of extra"),
        ([2], [{"op": "dense", "inputs": [-1]}], "expected weight"),
        ([2], [DENSE | {"inputs": [0]}], "earlier nodes"),
        ([2], [DENSE | {"inputs": [True]}], "earlier nodes"),
        ([2], [DENSE | {"inputs": [-1, -1]}], "one input"),
        ([2], [DENSE | {"bias": "w"}], "bias: expected shape"),
        ([2], [DENSE, DENSE], "every node used"),
        ([2], [{"op": "leaky_relu", "inputs": [-1], "slope": 1.5}], r"\[0, 1\]"),
        ([2], [{"op": "reshape", "inputs": [-1], "shape": [3]}], "as many entries"),
        ([2], [{"op": "affine", "inputs": [-1]}], "a weight or a bias"),
        ([3], [{"op": "affine", "inputs": [-1], "weight": "w"}], "to fit"),
        ([2], [{"op": "add", "inputs": [-1]}], "two inputs or more"),
        ([2], [{"op": "group_sort", "inputs": [-1], "size": 3}], "divisor of 2"),
        ([4], [{"op": "householder", "inputs": [-1], "weight": "zero"}], "zeros"),
        ([1, 3, 3], [CONV | {"groups": 2}], "groups"),
        ([1, 1, 1], [CONV], "a window that fits"),
        ([1, 3, 3], [CONV | {"stride": [0, 1]}], "stride"),
        ([1, 3, 3], [CONV | {"padding": [[0, -1], [0, 0]]}], "padding"),
        ([1, 3, 3], [POOL | {"padding": [[2, 0], [0, 0]]}], "smaller than the kernel"),
        ([1, 3, 3], [POOL | {"include_padding": 1}], "true or false"),
        ([1, 3], [POOL], r"\(c, h, w\)"),
    ],
)
def test_bad_records_are_named(shape, nodes, message):
    arrays = {
        "w": np.ones((2, 2)),
        "f4": np.ones((2, 2), np.float32),
        "nan": np.array([[1.0, np.nan]]),
        "k": np.ones((2, 1, 2, 2)),
        "zero": np.array([[1.0, 0.0], [0.0, 0.0]]),
    }
    with pytest.raises(Malformed, match=message):
        network_of({"input_shape": shape, "nodes": nodes}, arrays)


@pytest.mark.parametrize("content", [None, [], {"nodes": []}, {"input_shape": [2]}])
def test_bad_content_is_refused(content):
    with pytest.raises(Malformed):
        network_of(content, {})
