"""The bounded ONNX reader against the `onnx` package, and against hostile bytes."""

import random

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from lemmata_checker.errors import Unreadable
from lemmata_checker.network import network_of
from lemmata_checker.onnx import parse_onnx, read_onnx
from lemmata_checker.rules._certify_lipschitz_values import Values

RNG = np.random.default_rng(0)


def constant(name, array, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(array, dtype), name)


def model(nodes, constants, shape, outputs=("y",), rank=2):
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)
        for name in outputs
    ]
    first = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", [first], ports, constants)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset)


def node(op, inputs, output="y", **attributes):
    return helper.make_node(op, inputs, [output], name=f"the_{op}", **attributes)


def agree(made, shape, dtype=np.float32):
    """Our network's value and the reference evaluator's, in float32."""
    content, arrays = parse_onnx(made.SerializeToString())
    network = network_of(content, arrays)
    x = RNG.normal(size=shape).astype(dtype)
    (expected,) = ReferenceEvaluator(made).run(None, {"x": x})
    flat = x.astype(np.float64).reshape(1, -1)
    found = Values(network, (flat, flat), {}, linear=False).bounds[-1]
    # the reference computes in float32: 1e-7 of sums of order ten
    np.testing.assert_allclose(found[0].reshape(-1), expected.reshape(-1), atol=2e-5)
    np.testing.assert_allclose(found[1].reshape(-1), expected.reshape(-1), atol=2e-5)
    return content, arrays


def test_dense_network():
    weights = RNG.normal(size=(5, 4)), RNG.normal(size=(5, 3))
    nodes = [
        node("Gemm", ["x", "a", "b"], "h", transB=1, alpha=0.5, beta=2.0),
        node("LeakyRelu", ["h"], "r", alpha=0.25),
        node("MatMul", ["r", "c"], "m"),
        node("Add", ["m", "d"], "s"),
        node("Sigmoid", ["s"], "t"),
        node("Tanh", ["s"], "u"),
        node("Concat", ["t", "u"], "v", axis=-1),
        node("Softplus", ["v"]),
    ]
    constants = [
        constant("a", weights[0]),
        constant("b", RNG.normal(size=5)),
        constant("c", weights[1]),
        constant("d", RNG.normal(size=3)),
    ]
    content, arrays = agree(model(nodes, constants, ["batch", 4]), (1, 4))
    assert [n["op"] for n in content["nodes"]][:3] == ["dense", "leaky_relu", "dense"]
    # lifted exactly: 0.5 times a float32 number
    half = 0.5 * weights[0].astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(arrays["network_0_weight"], half)


def test_image_network():
    nodes = [
        node("Sub", ["x", "mean"], "i"),
        node("Div", ["i", "std"], "j"),
        node("Conv", ["j", "k", "b"], "c", strides=[2, 1], pads=[1, 0, 1, 2], group=2),
        node("BatchNormalization", ["c", "s", "o", "m", "v"], "n", epsilon=1e-3),
        node("Relu", ["n"], "r"),
        node("Conv", ["r", "q"], "d", dilations=[1, 2], pads=[1, 2, 1, 2]),
        node("Add", ["d", "r"], "e"),
        node("AveragePool", ["e"], "p", kernel_shape=[2, 2], pads=[0, 1, 0, 0]),
        node("GlobalAveragePool", ["p"], "g"),
        node("Flatten", ["g"], "f"),
        node("Mul", ["f", "w"], "z"),
        node("Identity", ["z"]),
    ]
    constants = [
        constant("mean", RNG.normal(size=(1, 2, 1, 1))),
        constant("std", RNG.uniform(0.5, 2, size=(2, 1, 1))),
        constant("k", RNG.normal(size=(4, 1, 3, 3))),
        constant("b", RNG.normal(size=4)),
        constant("s", RNG.uniform(0.5, 2, size=4)),
        constant("o", RNG.normal(size=4)),
        constant("m", RNG.normal(size=4)),
        constant("v", RNG.uniform(0.5, 2, size=4)),
        constant("q", RNG.normal(size=(4, 4, 3, 3))),
        constant("w", RNG.normal(size=4)),
    ]
    agree(model(nodes, constants, [1, 2, 6, 5]), (1, 2, 6, 5))


def test_shapes_constants_and_unused_nodes():
    shape = helper.make_node(
        "Constant", [], ["s"], value=constant("s", [0, 3, -1], np.int64)
    )
    nodes = [
        shape,
        node("Reshape", ["x", "s"], "r"),
        node("Relu", ["r"], "q"),
        node("Sigmoid", ["x"], "unused"),
        node("Sub", ["one", "q"], "t"),
        node("Flatten", ["t"], "f"),
        node("Sub", ["f", "x"], "y"),
    ]
    made = model(nodes, [constant("one", 1.0)], [1, 6])
    content, _ = agree(made, (1, 6))
    assert "sigmoid" not in [n["op"] for n in content["nodes"]]


def test_typed_tensors():
    """Numbers in typed fields instead of raw bytes."""
    fields = helper.make_tensor("a", TensorProto.DOUBLE, [2, 2], [1.0, 2.0, 3.0, 4.0])
    single = helper.make_tensor("b", TensorProto.FLOAT, [2], [0.5, 0.25])
    nodes = [node("MatMul", ["x", "a"], "m"), node("Add", ["m", "b"])]
    content, arrays = parse_onnx(
        model(nodes, [fields, single], [1, 2]).SerializeToString()
    )
    np.testing.assert_array_equal(arrays["network_0_weight"], [[1, 3], [2, 4]])
    np.testing.assert_array_equal(arrays["network_1_bias"], [0.5, 0.25])


W = constant("w", np.eye(2))
K = constant("k", np.ones((1, 1, 2, 2)))


@pytest.mark.parametrize(
    ("nodes", "constants", "shape", "message"),
    [
        (
            [node("MaxPool", ["x"], kernel_shape=[2, 2])],
            [],
            [1, 1, 4, 4],
            "AveragePool",
        ),
        ([node("Softmax", ["x"])], [], [1, 2], r"'the_Softmax' \(Softmax\).*scores"),
        ([node("Erf", ["x"])], [], [1, 2], "Erf is not supported"),
        ([node("Relu", ["x"])], [], [1, "n"], "dynamic"),
        ([node("Relu", ["x"])], [], [8, 2], "batch of 8"),
        ([node("Relu", ["x"])], [], None, "no shape"),
        ([node("MatMul", ["x", "x"])], [], [1, 2], "not a constant"),
        ([node("MatMul", ["z", "w"])], [W], [1, 2], "no layer's result"),
        ([node("MatMul", ["x", "w"])], [W], [1, 3], "flat input"),
        ([node("Gemm", ["x", "w"], transA=1)], [W], [1, 2], "constant matrix"),
        ([node("Identity", ["x"])], [], [1, 2], "no network"),
        (
            [node("Conv", ["x", "k"], auto_pad="SAME_UPPER")],
            [K],
            [1, 1, 4, 4],
            "auto_pad",
        ),
        ([node("Conv", ["x", "k"], strides=[0, 1])], [K], [1, 1, 4, 4], "strides"),
        ([node("Conv", ["x", "k"])], [K], [1, 1, 1, 1], "does not fit"),
        (
            [node("Reshape", ["x", "s"])],
            [constant("s", [2], np.int64)],
            [1, 2],
            "batch",
        ),
        ([node("Div", ["x", "o"])], [constant("o", [0.0, 1.0])], [1, 2], "zero"),
        ([node("Add", ["x", "i"])], [constant("i", [1, 2], np.int64)], [1, 2], "int64"),
        (
            [node("MatMul", ["x", "h"])],
            [constant("h", np.eye(2), np.float16)],
            [1, 2],
            "float16",
        ),
        (
            [node("Relu", ["x"], "h"), node("Relu", ["h"], "g")],
            [],
            [1, 2],
            "no network",
        ),
        (
            [helper.make_node("Relu", ["x"], ["y"], domain="com.example")],
            [],
            [1, 2],
            "com.example",
        ),
    ],
)
def test_what_is_refused_is_named(nodes, constants, shape, message):
    with pytest.raises(Unreadable, match=message):
        parse_onnx(model(nodes, constants, shape).SerializeToString())


def test_external_data_subgraphs_and_sparse_weights_are_refused():
    outside = constant("w", np.eye(2))
    outside.data_location = TensorProto.EXTERNAL
    made = model([node("MatMul", ["x", "w"])], [outside], [1, 2])
    with pytest.raises(Unreadable, match="kept in another file"):
        parse_onnx(made.SerializeToString())
    inner = model([node("Relu", ["x"])], [], [1, 2]).graph
    branch = node("If", ["x"], then_branch=inner, else_branch=inner)
    with pytest.raises(Unreadable, match="holds a graph"):
        parse_onnx(model([branch], [], [1, 2]).SerializeToString())
    sparse = model([node("MatMul", ["x", "w"])], [W], [1, 2])
    sparse.graph.sparse_initializer.add()
    with pytest.raises(Unreadable, match="sparse"):
        parse_onnx(sparse.SerializeToString())


def small() -> bytes:
    nodes = [node("MatMul", ["x", "w"], "h"), node("Relu", ["h"])]
    return model(nodes, [W], [1, 2]).SerializeToString()


def test_every_truncation_and_many_flips_end_in_one_error():
    """Whatever the bytes: a network or `Unreadable`, nothing else."""
    data, rng = small(), random.Random(0)
    read = 0
    for length in range(len(data)):
        read += _tried(data[:length])
    for _ in range(2000):
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        read += _tried(bytes(changed))
    assert read > 100, "harmless changes exist: names, versions"


def _tried(data: bytes) -> bool:
    try:
        parse_onnx(data)
    except Unreadable:
        return False
    return True


def test_sizes_are_not_believed():
    """A tensor that says it is huge."""
    liar = constant("w", np.eye(2))
    del liar.dims[:]
    liar.dims.extend([2**40, 2**40])
    made = model([node("MatMul", ["x", "w"])], [liar], [1, 2])
    with pytest.raises(Unreadable, match="size of|more than"):
        parse_onnx(made.SerializeToString())


def test_files(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(small())
    assert read_onnx(path)[0]["input_shape"] == [2]
    with pytest.raises(Unreadable, match="no such file"):
        read_onnx(tmp_path / "none.onnx")
    path.write_bytes(b"\x00" * 40)
    with pytest.raises(Unreadable, match=r"model\.onnx: is no ONNX file"):
        read_onnx(path)
