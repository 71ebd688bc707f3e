"""Networks from Equinox and from ONNX files, and the layers of our own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lemmata.certify import (
    GroupSort,
    Householder,
    MaxMin,
    Network,
    from_equinox,
    from_onnx,
)
from lemmata.core import InvalidArgument, UnreadableFile
from lemmata_checker.network import network_of
from lemmata_checker.rules._certify_lipschitz_values import Values

KEY = jax.random.key(0)


class Residual(eqx.Module):
    layer: eqx.nn.Linear

    def __call__(self, x, *, key=None):
        return x + jax.nn.relu(self.layer(x))


def shared(x):
    """Results that are used twice: nothing may be folded into them."""
    y, h = 2 * x, jnp.arange(16.0).reshape(4, 4) @ x
    return y * 3 + y + h + (h + 1)


def curves(x):
    parts = (jax.nn.softplus(x), jax.nn.sigmoid(x), jnp.tanh(x), (3 - x) / 2)
    return jnp.concatenate([*parts, jnp.maximum(x, 0), -x])


def images():
    return eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, key=KEY),
            eqx.nn.Lambda(jax.nn.leaky_relu),
            eqx.nn.AvgPool2d(2, 1, padding=1),
            eqx.nn.Lambda(jnp.ravel),
            eqx.nn.Linear(100, 2, key=KEY),
        ]
    )


MODULES = {
    "mlp": (lambda: eqx.nn.MLP(3, 2, 4, 2, key=KEY), (3,), 5),
    "images": (images, (2, 8, 8), 5),
    "curves": (lambda: curves, (4,), 8),
    "shared": (lambda: shared, (4,), 7),
    "residual": (lambda: Residual(eqx.nn.Linear(4, 4, key=KEY)), (4,), 3),
    "max_min": (MaxMin, (4,), 1),
    "group_sort": (lambda: GroupSort(3), (6, 2), 1),
    "householder": (lambda: Householder.random(6, key=KEY), (6, 2), 1),
}


@pytest.mark.parametrize("name", MODULES)
def test_from_equinox_is_the_same_function(name):
    make, shape, nodes = MODULES[name]
    module = make()
    network = from_equinox(module, shape)
    assert len(network.nodes) == nodes
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=shape)
        with jax.enable_x64(True):
            ours = np.asarray(network(x))
        theirs = np.asarray(module(jnp.asarray(x, jnp.float32)))
        # the module computes in float32: 1e-7 of sums of order ten
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_weights_are_lifted_exactly():
    module = eqx.nn.Linear(3, 2, key=KEY)
    network = from_equinox(module, (3,))
    np.testing.assert_array_equal(network.weights[0], np.asarray(module.weight))
    assert network.weights[0].dtype == np.float64


def test_records_round_trip():
    network = from_equinox(images(), (2, 8, 8))
    again = Network.of(*network.records())
    assert again.nodes == network.nodes
    for one, two in zip(again.weights, network.weights, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (jax.nn.softmax, (3,), "scores before a softmax"),
        (eqx.nn.MaxPool2d(2), (1, 4, 4), "average pooling"),
        (lambda x: x * x, (3,), "product of two results"),
        (lambda x: 1 / x, (3,), "division by a result"),
        (lambda x: x, (3,), "a network"),
        (lambda x: jnp.ones(2), (3,), "a network"),
        (lambda x: (x, x), (3,), "one output"),
        (lambda x: jnp.sin(x), (3,), "sin"),
        (lambda x: x[:, None] + x, (3,), "takes one input"),
        (eqx.nn.Linear(3, 2, key=KEY), (4,), "takes one input of shape"),
        (eqx.nn.Linear(3, 2, key=KEY), (), "positive sizes"),
        (eqx.nn.Linear(3, 2, key=KEY), (0,), "positive sizes"),
    ],
)
def test_what_cannot_be_recorded_is_named(module, shape, message):
    if message == "takes one input":
        message = "repeated|takes one input"
    with pytest.raises(InvalidArgument, match=message):
        from_equinox(module, shape)


def test_weights_that_are_not_finite_are_refused():
    module = eqx.nn.Linear(3, 2, key=KEY)
    bad = eqx.tree_at(lambda m: m.weight, module, module.weight.at[0, 0].set(jnp.nan))
    with pytest.raises(InvalidArgument, match="finite weights"):
        from_equinox(bad, (3,))


def exported(module, path):
    """The ONNX file of a multilayer perceptron, as an exporter writes it."""
    nodes, constants, previous = [], [], "x"
    for i, layer in enumerate(module.layers):
        parts = {"w": layer.weight, "b": layer.bias}
        for name, array in parts.items():
            constants.append(numpy_helper.from_array(np.asarray(array), f"{name}{i}"))
        out = f"z{i}"
        given = [previous, f"w{i}", f"b{i}"]
        nodes.append(helper.make_node("Gemm", given, [out], transB=1))
        previous = out
        if i < len(module.layers) - 1:
            nodes.append(helper.make_node("Relu", [out], [f"h{i}"]))
            previous = f"h{i}"
    size = module.layers[0].in_features
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, size]), (previous, [1, None]))
    ]
    graph = helper.make_graph(nodes, "mlp", ports[:1], ports[1:], constants)
    onnx.save(helper.make_model(graph), path)


def test_onnx_round_trip_equals_equinox(tmp_path):
    module = eqx.nn.MLP(3, 2, 4, 2, key=KEY)
    exported(module, tmp_path / "model.onnx")
    ours, theirs = from_equinox(module, (3,)), from_onnx(tmp_path / "model.onnx")
    assert ours.nodes == theirs.nodes
    for name in ("weights", "biases"):
        for one, two in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_array_equal(one, two)


def test_unreadable_onnx_is_a_typed_error(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(UnreadableFile, match="no ONNX file"):
        from_onnx(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["max_min", "group_sort", "householder"])
def test_own_layers_keep_the_norm_of_gradients(name):
    make, shape, _ = MODULES[name]
    module, x = make(), np.random.default_rng(1).normal(size=shape)
    with jax.enable_x64(True):
        network = from_equinox(module, shape)
        jacobian = np.asarray(jax.jacrev(network)(x)).reshape(x.size, x.size)
    # orthogonal: rounding of order 1e-16 per entry
    np.testing.assert_allclose(jacobian @ jacobian.T, np.eye(x.size), atol=1e-14)


def test_max_min_and_sort_by_definition():
    x = jnp.array([1.0, 3.0, 5.0, 2.0])
    np.testing.assert_array_equal(MaxMin()(x), [3, 1, 5, 2])
    np.testing.assert_array_equal(GroupSort(4)(x), [5, 3, 2, 1])
    flip = Householder(jnp.array([[1.0, -1.0], [1.0, -1.0]]))
    # v'y <= 0 exchanges the two: MaxMin is a Householder activation
    np.testing.assert_allclose(flip(x), [3, 1, 5, 2], atol=1e-6)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: GroupSort(0),
        lambda: MaxMin()(jnp.ones(3)),
        lambda: Householder.random(3, key=KEY),
    ],
)
def test_layers_refuse_sizes_that_do_not_fit(attempt):
    with pytest.raises(InvalidArgument):
        attempt()


def test_the_judge_evaluates_the_same_network():
    network = from_equinox(images(), (2, 8, 8))
    x = np.random.default_rng(5).normal(size=(2, 8, 8))
    with jax.enable_x64(True):
        ours = np.asarray(network(x))
    flat = x.reshape(1, -1)
    judge = Values(network_of(*network.records()), (flat, flat), {}, linear=False)
    low, high = judge.bounds[-1]
    assert np.all((low[0] - 1e-14 <= ours) & (ours <= high[0] + 1e-14))
    assert np.all(high - low < 1e-12)
