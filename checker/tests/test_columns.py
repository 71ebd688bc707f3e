"""Columns of packed matrices, dense or compressed: read exactly, radii that hold."""

from fractions import Fraction as F
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from checker.tests.test_symmetry import compressed

from lemmata_checker.rules.optimize_composite_data import column_norms, pulled
from lemmata_checker.rules.optimize_composite_free import dense_columns
from lemmata_checker.sparse import matrix_of


def matrices():
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(40, 7)) * (rng.random((40, 7)) < 0.4)
    dense[3] = 0.0  # a row without entries
    packed = ({"a": dense}, compressed(dense))
    return dense, [matrix_of(arrays, "a", columns=7) for arrays in packed]


@pytest.mark.parametrize("features", [[], [0], [6], [1, 2, 5], range(7)])
def test_columns_are_read_as_they_are(features):
    dense, both = matrices()
    chosen = np.array(features, dtype=np.int64)
    for matrix in both:
        np.testing.assert_array_equal(dense_columns(matrix, chosen), dense[:, chosen])


def test_products_with_columns_lie_within_their_radii():
    dense, both = matrices()
    theta = np.random.default_rng(1).normal(size=40)
    exact = [
        sum(F(a) * F(t) for a, t in zip(column, theta.tolist(), strict=True))
        for column in dense.T.tolist()
    ]
    for matrix in both:
        at: Any = SimpleNamespace(matrix=matrix, norms=column_norms(matrix))
        found = pulled(at, theta, 0.0)
        off = [abs(F(v) - e) for v, e in zip(found.value.tolist(), exact, strict=True)]
        assert any(off)
        assert all(o <= F(r) for o, r in zip(off, found.error.tolist(), strict=True))
