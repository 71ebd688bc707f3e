"""Sparse matrices: every layout multiplies as SciPy does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings, strategies as st

from lemmata.core import InvalidArgument, TooLarge
from lemmata.core._arrays import to_jax
from lemmata.numerics import sparse
from lemmata.numerics.sparse import SparseMatrix, malformed_csr


def with_long_row(rng):
    matrix = sp.lil_array(sp.random_array((40, 40), density=0.05, rng=rng))
    matrix[3, :] = 1.0
    return sp.csr_array(matrix)


def tridiagonal(n, m):
    return sp.diags_array([1.0, 2.0, -3.0], offsets=[-1, 0, 2], shape=(n, m))


def matrices():
    rng = np.random.default_rng(0)
    return {
        "diagonals": tridiagonal(9, 9),
        "wide diagonals": tridiagonal(5, 9),
        "tall diagonals": tridiagonal(9, 5),
        "padded": sp.random_array((12, 8), density=0.3, rng=rng),
        "long row": with_long_row(rng),
        "dense": rng.normal(size=(3, 4)),
        "empty": sp.csr_array((3, 5)),
        "empty rows": sp.csr_array(np.diag([0.0, 1.0, 0.0, 2.0])),
        "wider than unrolled": rng.normal(size=(38, 36)),
    }


@jax.jit
def compiled(matrix, x, several, y):
    return {
        "x": matrix @ x,
        "several": matrix @ several,
        "y": y @ matrix,
        "diagonal": matrix.diagonal(),
        "absolute": matrix.absolute() @ x,
        "doubled": matrix.with_data(2 * matrix.data) @ x,
        "rows": matrix.rows(),
    }


@pytest.mark.parametrize("name", matrices())
def test_products(name):
    matrix = matrices()[name]
    expected = matrix.toarray() if sp.issparse(matrix) else matrix
    found, rng = SparseMatrix.of(matrix), np.random.default_rng(1)
    x, y = rng.normal(size=expected.shape[1]), rng.normal(size=expected.shape[0])
    several = rng.normal(size=(expected.shape[1], 2))
    close = {"rtol": 1e-12, "atol": 1e-12}  # sums of at most 40 terms of size 1
    with jax.enable_x64(True):
        inside = jax.tree.map(np.asarray, compiled(to_jax(found), x, several, y))
    np.testing.assert_allclose(inside["x"], expected @ x, **close)
    np.testing.assert_allclose(inside["several"], expected @ several, **close)
    np.testing.assert_allclose(inside["y"], y @ expected, **close)
    np.testing.assert_array_equal(inside["diagonal"], expected.diagonal())
    np.testing.assert_allclose(inside["absolute"], abs(expected) @ x, **close)
    np.testing.assert_allclose(inside["doubled"], 2 * (expected @ x), **close)
    np.testing.assert_array_equal(inside["rows"], found.rows())
    np.testing.assert_array_equal(found.dense(), expected)
    np.testing.assert_array_equal(found.T.dense(), expected.T)
    np.testing.assert_allclose(found @ x, expected @ x, **close)
    np.testing.assert_allclose(y @ found, y @ expected, **close)
    tripled = found.with_data(3 * found.data)
    np.testing.assert_allclose(tripled.dense(), 3 * expected, **close)


def test_layout_is_chosen_by_shape():
    layouts = {name: SparseMatrix.of(m).layout for name, m in matrices().items()}
    assert isinstance(layouts["diagonals"], sparse._Diagonals)
    assert layouts["diagonals"].offsets == (-1, 0, 2)
    assert isinstance(layouts["padded"], sparse._PaddedRows)
    long = layouts["long row"]
    assert long.values.shape[0] < 40  # one long row does not pad all others
    assert long.apart_values.size > 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_round_trip(n, m, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, m)) * (rng.random((n, m)) < 0.4)
    found = SparseMatrix.of(matrix)
    np.testing.assert_array_equal(found.dense(), matrix)
    again = SparseMatrix.from_csr(found.data, found.indices, found.indptr, m)
    np.testing.assert_array_equal(again.dense(), matrix)
    assert malformed_csr(found.data, found.indices, found.indptr, m) is None
    assert found.nnz == np.count_nonzero(matrix)
    assert found.width == max(np.count_nonzero(matrix, axis=1))


def test_duplicates_are_added_and_stored_zeros_kept():
    entries = ([1.0, 2.0, 0.0], ([0, 0, 1], [1, 1, 0]))
    found = SparseMatrix.of(sp.coo_array(entries, shape=(2, 2)))
    np.testing.assert_array_equal(found.data, [3.0, 0.0])


@pytest.mark.parametrize("bad", [np.ones(3), np.ones((2, 2)) + 1j, np.array([["a"]])])
def test_what_is_no_matrix(bad):
    with pytest.raises(InvalidArgument, match=r"SparseMatrix\.of: expected a real"):
        SparseMatrix.of(bad)


@pytest.mark.parametrize(
    ("data", "indices", "indptr", "phrase"),
    [
        ([1.0], [0, 1], [0, 1], "column indices"),
        ([1.0], [0], [1, 1], "start at 0"),
        ([1.0], [0], [0, 2], "rise"),
        ([1.0, 1.0], [0, 1], [0, 2, 1, 2], "rise"),
        ([1.0], [2], [0, 1], "outside 0 .. 1"),
        ([1.0], [-1], [0, 1], "outside"),
        ([1.0, 1.0], [1, 0], [0, 2], "ascend"),
        ([1.0, 1.0], [1, 1], [0, 2], "ascend"),
    ],
)
def test_malformed_rows_are_named(data, indices, indptr, phrase):
    arrays = np.array(data), np.array(indices), np.array(indptr)
    assert phrase in malformed_csr(*arrays, 2)


def test_dense_is_guarded():
    with pytest.raises(TooLarge):
        SparseMatrix.of(sp.csr_array((10**5, 10**5))).dense()


def test_derivative_in_the_entries():
    matrix = SparseMatrix.of(with_long_row(np.random.default_rng(0)))
    x = np.random.default_rng(1).normal(size=40)
    with jax.enable_x64(True):
        gradient = jax.grad(lambda d: jnp.sum(matrix.with_data(d) @ x))(
            jnp.asarray(matrix.data)
        )
    np.testing.assert_array_equal(gradient, x[matrix.indices])
