"""An inequality's blocks, padded to one size, against the whole of it."""

import jax
import numpy as np
import pytest

from lemmata.certify import Eliminated, Reduced
from lemmata.certify._example_lipsdp import dense_network
from lemmata.certify._inequality import assemble
from lemmata.certify._parts import split

MAXMIN = {"op": "group_sort", "size": 2}


@pytest.mark.parametrize(
    ("constraints", "count"), [(Reduced(), 5), (Eliminated(), 1)], ids=["chain", "one"]
)
def test_blocks_are_the_whole(constraints, count):
    """Of uneven layers: the same determinant, figures by variable, and pairs."""
    network = dense_network((3, 12, 4, 8, 6, 2), MAXMIN, 0)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        whole = assemble(network, constraints)
        parts = split(whole)
        theta = rng.uniform(1, 2, size=len(whole.layout.kinds)) * 50
        matrix, blocks = (np.asarray(q.matrix(theta)) for q in (whole, parts))
        squares = np.asarray(parts.collect(np.sum(parts.rows**2, axis=2)))
        products = np.asarray(parts.rows @ np.swapaxes(parts.rows, 1, 2))
        pairs = np.asarray(parts.pairs(products**2))
    assert len(blocks) == count
    signs, sizes = np.linalg.slogdet(blocks)
    sign, size = np.linalg.slogdet(matrix)
    assert np.prod(signs) == sign
    assert np.sum(sizes) == pytest.approx(size, rel=1e-12)
    rows, layout = np.asarray(whole.rows), whole.layout
    owners, signs = np.asarray(layout.owners), np.asarray(layout.signs)
    one = np.zeros((len(owners), len(layout.kinds)))
    one[np.arange(len(owners)), owners] = signs
    np.testing.assert_allclose(squares, one.T @ np.sum(rows**2, axis=1))
    np.testing.assert_allclose(pairs, one.T @ (rows @ rows.T) ** 2 @ one, atol=1e-12)
