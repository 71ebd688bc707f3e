"""Symmetry of compressed rows, decided to the last bit."""

import numpy as np
import pytest

from lemmata_checker.sparse import matrix_of


def compressed(dense):
    rows, columns = np.nonzero(dense)
    counts = np.bincount(rows, minlength=dense.shape[0])
    return {
        "a_data": dense[rows, columns],
        "a_indices": columns.astype(np.int64),
        "a_indptr": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    }


def symmetric(n, seed=0):
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(n, n)) * (rng.uniform(size=(n, n)) < 0.2)
    return dense + dense.T


def decided(arrays, columns):
    return matrix_of(arrays, "a", columns=columns).is_symmetric()


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_dense_and_compressed_agree(n):
    dense = symmetric(n)
    assert decided(compressed(dense), n)
    assert matrix_of({"a": dense}, "a").is_symmetric()


def test_every_single_bit_counts():
    dense = symmetric(12, 1)
    for row, column in zip(*np.nonzero(np.triu(dense, 1)), strict=True):
        other = dense.copy()
        other[row, column] = np.nextafter(other[row, column], np.inf)
        assert not decided(compressed(other), 12)
        other[row, column] = 0.0
        assert not decided(compressed(other), 12)


@pytest.mark.parametrize(("entry", "expected"), [(0.0, True), (3.0, False)])
def test_stored_zeros_are_no_entries(entry, expected):
    """[[1, entry], [nothing, 2]]."""
    arrays = {
        "a_data": np.array([1.0, entry, 2.0]),
        "a_indices": np.array([0, 1, 1]),
        "a_indptr": np.array([0, 2, 3]),
    }
    assert decided(arrays, 2) == expected


def test_columns_beyond_sixteen_bits():
    """Both digits of the sort matter: 300 entries of a matrix of side 200,000."""
    side, rng = 200_000, np.random.default_rng(3)
    i, j = rng.choice(side, (2, 300), replace=False)
    values = rng.normal(size=300)
    rows, columns = np.r_[i, j], np.r_[j, i]
    entries = np.r_[values, values]
    order = np.lexsort((columns, rows))
    counts = np.bincount(rows, minlength=side)
    arrays = {
        "a_data": entries[order],
        "a_indices": columns[order].astype(np.int64),
        "a_indptr": np.r_[0, np.cumsum(counts)].astype(np.int64),
    }
    assert decided(arrays, side)
    arrays["a_data"][7] *= 2
    assert not decided(arrays, side)


def test_rectangles_are_not_symmetric():
    assert not decided(compressed(np.ones((2, 3))), 3)


def test_every_pattern_of_four():
    """Equal entries: places alone tell a matrix from its transpose."""
    away = np.flatnonzero(~np.eye(4, dtype=bool).reshape(-1))
    for chosen in range(2**12):
        dense = np.eye(4).reshape(-1)
        dense[away[[chosen >> k & 1 == 1 for k in range(12)]]] = 1.0
        dense = dense.reshape(4, 4)
        assert decided(compressed(dense), 4) == np.array_equal(dense, dense.T)
