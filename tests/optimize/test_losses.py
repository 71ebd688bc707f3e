"""Losses: gradients and Hessians by automatic differentiation, bounds for any block."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings, strategies as st

from lemmata.optimize import LeastSquares, Logistic, Quadratic, Softmax

M, N, K = 9, 5, 4
NAMES = ("least_squares", "logistic", "softmax", "quadratic")


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def design(seed=0, sparse=False):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(M, N)) * (rng.random((M, N)) < 0.6)
    values[:, 3] = 0.0
    return scipy.sparse.csr_array(values) if sparse else values


def loss(name, seed=0, sparse=False, l2=0.3):
    a, rng = design(seed, sparse), np.random.default_rng(seed + 1)
    y = rng.normal(size=M)
    if name == "least_squares":
        return LeastSquares(a, y)
    if name == "logistic":
        return Logistic(a, np.where(y > 0, 1.0, -1.0), l2)
    if name == "softmax":
        return Softmax(a, np.arange(M) % K, K, l2)
    return Quadratic(a.T @ a, rng.normal(size=N))


@eqx.filter_jit
def probe(found, x, block, d):
    """Everything about one point, one block and one step, compiled once."""

    def value(z):
        return found.value(z, found.image(z))

    image = found.image(x)
    moved = x.at[block].add(d, mode="drop")
    return {
        "value": value(x),
        "gradient": found.gradient(x, image),
        "slope": jax.grad(value)(x),
        "hessian": jax.hessian(value)(x),
        "block_hessian": found.block_hessian(x, image, block),
        "block_bound": found.block_bound(block),
        "updated": found.update_image(image, block, d),
        "image": found.image(moved),
        "moved": value(moved),
        "lipschitz": found.coordinate_lipschitz(),
        "rows": found.row_bounds(),
    }


def probed(found, seed, block, scale=1.0):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=found.variables) * 2)
    d = np.where(block < found.variables, rng.normal(size=block.size) * scale, 0.0)
    return {k: np.asarray(v) for k, v in probe(found, x, block, d).items()}, d


@pytest.mark.parametrize(
    ("name", "sparse"), [*((n, False) for n in NAMES), (NAMES[2], True)]
)
def test_derivatives_are_those_of_the_value(name, sparse):
    """With a masked place in the block: its row and column are the identity's."""
    found = loss(name, sparse=sparse)
    n = found.variables
    block = np.array([3, n, n - 1, 0])
    got, _ = probed(found, 5, block)
    np.testing.assert_allclose(got["gradient"], got["slope"], atol=1e-12)
    expected, real = np.eye(4), block < n
    inner = got["hessian"][np.ix_(block[real], block[real])]
    expected[np.ix_(real, real)] = inner
    np.testing.assert_allclose(got["block_hessian"], expected, atol=1e-12)
    np.testing.assert_allclose(got["block_bound"][1], np.eye(4)[1])
    np.testing.assert_allclose(got["updated"], got["image"], atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 2**32 - 1), st.floats(-2, 2))
def test_block_bounds_hold_everywhere(name, seed, power):
    """The model of any block is above the loss, from any point, for any step."""
    with jax.enable_x64(True):
        found = loss(name, seed, l2=0.0)
        n, rng = found.variables, np.random.default_rng(seed)
        block = rng.choice(n, 4, replace=False)
        block[0] = n if rng.random() < 0.3 else block[0]
        got, d = probed(found, seed, block, 10.0**power)
    real = block < n
    g, bound = got["gradient"][block[real]], got["block_bound"][np.ix_(real, real)]
    d = d[real]
    model = got["value"] + g @ d + d @ bound @ d / 2
    assert got["moved"] <= model + 1e-9 * abs(model)
    hessian = got["block_hessian"][np.ix_(real, real)]
    diagonal = np.diag(got["rows"][block[real]])
    assert np.linalg.eigvalsh(diagonal - hessian).min() > -1e-9
    assert np.linalg.eigvalsh(bound - hessian).min() > -1e-9
    assert np.all(got["lipschitz"][block[real]] >= np.diag(hessian) - 1e-12)


def test_softmax_bound_is_attained_by_two_equal_classes():
    """p = 1/2, 1/2: Böhning's bound is the Hessian, so no smaller constant is valid."""
    found = Softmax(np.ones((1, 1)), [0.0], 2)
    x = np.zeros(2)
    hessian = found.block_hessian(x, found.image(x), np.arange(2))
    np.testing.assert_allclose(found.block_bound(np.arange(2)), hessian, atol=1e-15)


def test_the_ridge_is_on_the_diagonal_alone():
    plain, ridged = loss("logistic", l2=0.0), loss("logistic", l2=0.7)
    block = np.array([0, 2, N])
    off = np.asarray(ridged.block_bound(block)) - np.asarray(plain.block_bound(block))
    np.testing.assert_allclose(off, np.diag([0.7, 0.7, 0.0]), atol=1e-14)


@pytest.mark.parametrize("name", ["least_squares", "quadratic"])
def test_sparse_designs_are_dense_ones(name):
    one, two = loss(name, sparse=False), loss(name, sparse=True)
    np.testing.assert_allclose(one.coordinate_lipschitz(), two.coordinate_lipschitz())
    np.testing.assert_array_less(one.row_bounds() - 1e-12, two.row_bounds())
    assert (one.pattern() != two.pattern()).nnz == 0


def test_pattern_is_where_the_hessian_may_be_nonzero():
    found = loss("logistic")
    got, _ = probed(found, 0, np.array([0, 1, 2, 3]))
    hessian = got["hessian"] - 0.3 * np.eye(N)
    assert not np.any(hessian[found.pattern().toarray() == 0])
