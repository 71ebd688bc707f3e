"""Partitions: every coordinate in one block, in the order that the name says."""

import jax
import numpy as np
import pytest
from scipy import sparse
from tests.optimize.instances_blocks import lattice

from lemmata.core import InvalidMethod
from lemmata.optimize import (
    AveragedBlocks,
    GivenBlocks,
    LeastSquares,
    OrderedBlocks,
    Quadratic,
    RedBlackBlocks,
    RowSumAveragedBlocks,
    RowSumSortedBlocks,
    SortedBlocks,
    TreePartition,
    VariableBlocks,
)

DESIGN = np.random.default_rng(0).normal(size=(9, 7)) * np.arange(7, 0, -1)
LOSS = LeastSquares(DESIGN, np.ones(9))


def blocks_of(partition, loss=LOSS):
    with jax.enable_x64(True):
        return np.asarray(partition.blocks(loss))


@pytest.mark.parametrize(
    "partition",
    [
        OrderedBlocks(3),
        SortedBlocks(3),
        AveragedBlocks(3),
        RowSumSortedBlocks(3),
        RowSumAveragedBlocks(3),
        GivenBlocks([[0, 3], [1], [6, 5, 4, 2]]),
    ],
)
def test_every_coordinate_is_in_one_block(partition):
    blocks = blocks_of(partition)
    named = blocks[blocks < 7]
    assert np.array_equal(np.sort(named), np.arange(7))
    assert np.all(blocks[:, 0] < 7)


def test_orders():
    length = np.sum(DESIGN**2, axis=0)
    rows = np.sum(np.abs(DESIGN.T @ DESIGN), axis=1)
    for kinds, values in (
        ((SortedBlocks, AveragedBlocks), length),
        ((RowSumSortedBlocks, RowSumAveragedBlocks), rows),
    ):
        rising = np.argsort(values)
        assert blocks_of(kinds[0](2)).ravel()[:7].tolist() == rising.tolist()
        turns = [
            rising[k // 2] if k % 2 == 0 else rising[-1 - k // 2] for k in range(7)
        ]
        assert blocks_of(kinds[1](2)).ravel()[:7].tolist() == turns
    assert blocks_of(OrderedBlocks(4)).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert blocks_of(VariableBlocks(4)).shape == (0, 4)


def test_graph_blocks():
    loss = Quadratic(5 * sparse.eye_array(12) - lattice(3, 4), np.ones(12))
    blocks = blocks_of(RedBlackBlocks(), loss)
    assert blocks.tolist() == [[0, 2, 5, 7, 8, 10], [1, 3, 4, 6, 9, 11]]
    given = blocks_of(TreePartition([0] * 8 + [1] * 4), loss)
    assert given.tolist() == [list(range(8)), [8, 9, 10, 11, *[12] * 4]]


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: OrderedBlocks(0), r"OrderedBlocks\.size: .*>= 1"),
        (lambda: SortedBlocks(2.5), r"SortedBlocks\.size: .*integer"),
        (lambda: VariableBlocks(8).check(7), r"size: .*at most the 7 variables"),
        (lambda: VariableBlocks(8, largest=4), r"largest: .*>= size"),
        (lambda: GivenBlocks([[0, 1], [1]]), r"groups: .*overlap.*index 1"),
        (lambda: GivenBlocks([[0, 2]]).check(3), r"groups: .*index 1"),
        (lambda: GivenBlocks([[0, 1, 5]]).check(2), r"groups: .*index 5"),
        (lambda: GivenBlocks([[0], []]), r"groups: .*not empty"),
        (lambda: GivenBlocks([[-1, 0]]), r"groups: .*>= 0"),
        (lambda: TreePartition([0, 1]).check(3), r"colours: .*3 colours"),
        (lambda: RedBlackBlocks(["red"]), "colours: .*whole numbers"),
    ],
)
def test_bad_partitions_are_named(attempt, message):
    with pytest.raises(InvalidMethod, match=message):
        attempt()
