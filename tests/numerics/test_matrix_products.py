"""Small convolutions as matrices, against their own products."""

import jax
import numpy as np
import pytest
from checker.tests.networks import image_network

from lemmata.certify import Network
from lemmata.numerics.value_bounds import linear, transposed


@pytest.mark.parametrize("size", [False, True], ids=["signed", "sizes"])
def test_products_are_those_of_the_network(size):
    network = Network.of(*image_network(np.random.default_rng(0)))
    places = [k for k, node in enumerate(network.nodes) if node.op in ("conv", "dense")]
    assert any(network.nodes[k].op == "conv" for k in places)
    with jax.enable_x64(True):
        for k in places:
            node = network.nodes[k]
            unit = np.eye(node.size).reshape(-1, *node.shape)
            expected = network.transposed(k, unit, size=size)[0]
            found = transposed(network, k, unit, size=size)[0]
            np.testing.assert_allclose(found, expected, atol=1e-14)
            both = np.concatenate([unit, -unit])
            found = transposed(network, k, both, unit=True)[0]
            expected = network.transposed(k, both)[0]
            np.testing.assert_allclose(found, expected, atol=1e-14)
            below = network.size(node.inputs[0])
            rows = np.eye(below).reshape(-1, *network.shape(node.inputs[0]))
            rows = np.concatenate([rows, -rows])
            expected = network.linear(k, [rows])
            found = linear(network, k, [rows], unit=True)
            np.testing.assert_allclose(found, expected, atol=1e-14)
