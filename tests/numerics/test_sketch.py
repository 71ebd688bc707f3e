"""Sketches, projections, equilibration and GMRES against dense linear algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from lemmata.core import InvalidMethod
from lemmata.numerics.equilibration import (
    equilibrated,
    equilibrated_by_products,
    powers_of_two,
)
from lemmata.numerics.gmres import gmres_cycle
from lemmata.numerics.sketch import (
    CountSketch,
    GaussianBlock,
    GaussianVector,
    Kaczmarz,
    RowBlock,
    WeightedKaczmarz,
    least_norm,
    row_probabilities,
    sketch_step,
)

SIZE = 9
SKETCHES = [
    GaussianVector(),
    Kaczmarz(),
    WeightedKaczmarz(),
    GaussianBlock(),
    GaussianBlock(2),
    RowBlock(),
    RowBlock(4),
    CountSketch(),
    CountSketch(7),  # some buckets stay empty
]


class Counting:
    """A matrix that counts the vectors it is multiplied with."""

    def __init__(self, matrix):
        self.matrix, self.products = jnp.asarray(matrix), 0

    def times(self, vectors):
        self.products += vectors.shape[1]
        return self.matrix @ vectors

    def rows(self, indices):
        self.products += indices.shape[0]
        return self.matrix[:, indices]

    def row_norms(self):
        return jnp.linalg.norm(self.matrix, axis=0)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def system():
    """A symmetric indefinite system with rows of different length, and its solution."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(SIZE, SIZE)) * np.geomspace(1, 20, SIZE)
    matrix = matrix + matrix.T
    return matrix, matrix @ (solution := rng.normal(size=SIZE)), solution


@pytest.mark.parametrize("sketch", SKETCHES, ids=repr)
def test_step_is_the_projection_onto_the_sketched_equations(sketch, system):
    matrix, rhs, solution = system
    operator, point = Counting(matrix), np.ones(SIZE)
    drawn = sketch.draw(jax.random.key(1), SIZE, 3, operator.row_norms())
    for j in range(3):
        one = jax.tree.map(lambda a, j=j: a[j], drawn)
        operator.products = 0
        moved = np.asarray(sketch_step(sketch, operator, rhs, jnp.asarray(point), one))
        assert operator.products == sketch.width(SIZE)  # nothing else of K was read
        s = np.asarray(sketch.dense(one, SIZE))
        # the affine projection by the pseudo-inverse of S^T K, from SciPy
        a = s.T @ matrix
        expected = point - scipy.linalg.pinv(a) @ (a @ point - s.T @ rhs)
        # 1e-9: condition of a few rows of K (below 1e4) times rounding
        np.testing.assert_allclose(moved, expected, atol=1e-9)
        before, after = (np.linalg.norm(p - solution) for p in (point, moved))
        assert after <= before * (1 + 1e-12)
        np.testing.assert_allclose(sketch.apply(one, rhs), s.T @ rhs, atol=1e-11)
        point = moved


@pytest.mark.parametrize("sketch", SKETCHES, ids=repr)
def test_iteration_converges(sketch, system):
    matrix, _, solution = system
    matrix = matrix / np.linalg.norm(matrix, axis=0).max() + 2 * np.eye(SIZE)
    rhs, operator = matrix @ solution, Counting(matrix)

    @jax.jit
    def solve(key):
        drawn = sketch.draw(key, SIZE, 2000, operator.row_norms())

        def step(point, one):
            return sketch_step(sketch, operator, jnp.asarray(rhs), point, one), None

        return jax.lax.scan(step, jnp.zeros(SIZE), drawn)[0]

    # condition below 10: 2000 single rows leave a few parts in a thousand at worst,
    # typically far less; wider sketches are at rounding
    bound = 1e-2 if sketch.width(SIZE) == 1 else 1e-8
    assert np.linalg.norm(solve(jax.random.key(0)) - solution) < bound


def test_dependent_columns_are_left_out():
    rng = np.random.default_rng(2)
    m = rng.normal(size=(7, 3))
    gap = rng.normal(size=3)
    expected = m @ np.linalg.solve(m.T @ m, gap)
    repeated = np.c_[np.zeros(7), m[:, 0], m]
    again = np.r_[0.0, gap[0], gap]
    found = least_norm(jnp.asarray(repeated), jnp.asarray(again))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert not np.any(least_norm(jnp.zeros((7, 1)), jnp.zeros(1)))


def test_rows_are_drawn_by_their_squared_norms():
    norms = jnp.asarray([1.0, 2.0, 3.0, 0.0])
    drawn = WeightedKaczmarz().draw(jax.random.key(0), 4, 20_000, norms)
    shares = np.bincount(np.asarray(drawn).ravel(), minlength=4) / 20_000
    # four standard errors of a share: 4 sqrt(1/4 / 20000) = 0.014
    np.testing.assert_allclose(shares, row_probabilities(norms), atol=0.014)
    assert shares[3] == 0


def test_expected_fall_of_weighted_kaczmarz_is_exact(system):
    matrix, rhs, solution = system
    norms = np.linalg.norm(matrix, axis=1)
    p = np.asarray(row_probabilities(jnp.asarray(norms)))
    point, operator = np.zeros(SIZE), Counting(matrix)
    fall = 0.0
    for i in range(SIZE):
        moved = sketch_step(
            WeightedKaczmarz(), operator, rhs, jnp.asarray(point), jnp.asarray([i])
        )
        squares = [np.sum((q - solution) ** 2) for q in (point, np.asarray(moved))]
        fall += p[i] * (squares[0] - squares[1])
    expected = np.sum(rhs**2) / np.sum(matrix**2)
    assert fall == pytest.approx(expected, rel=1e-12)


def test_row_blocks_repeat_no_row():
    drawn = RowBlock(5).draw(jax.random.key(3), SIZE, 50, jnp.ones(SIZE))
    assert all(len(set(row)) == 5 for row in np.asarray(drawn).tolist())


def test_width_is_checked():
    for kind in (RowBlock, GaussianBlock, CountSketch):
        with pytest.raises(InvalidMethod, match=r"columns: expected None or >= 1"):
            kind(0).validate()
        assert kind(100).width(SIZE) == SIZE
        assert kind().width(SIZE) == 3


def test_equilibration_is_exact_and_evens_rows():
    rng = np.random.default_rng(4)
    scale = np.geomspace(1e-4, 1e4, 12)
    plain = rng.normal(size=(12, 12))
    matrix = scale[:, None] * (plain + plain.T) * scale
    matrix[-1], matrix[:, -1] = 0.0, 0.0
    d = np.asarray(equilibrated(jnp.asarray(matrix)))
    assert np.all(np.frexp(d)[0] == 0.5)
    largest = np.abs(d[:, None] * matrix * d)[:-1].max(axis=1)
    # rounding to powers of two costs a factor of two at most
    assert largest.min() >= 0.5 - 1e-9
    assert largest.max() <= 2 + 1e-9
    by_products = equilibrated_by_products(
        lambda v: jnp.asarray(matrix) @ v, 12, jax.random.key(0)
    )
    by_products = np.asarray(by_products)
    norms = np.linalg.norm(by_products[:, None] * matrix * by_products, axis=1)
    # the norms are estimates from eight probes each
    assert norms[:-1].max() / norms[:-1].min() < 20
    np.testing.assert_array_equal(powers_of_two(jnp.asarray([3.0, 0.3])), [4.0, 0.25])


def test_gmres_is_least_squares_on_the_krylov_space():
    rng = np.random.default_rng(5)
    a, b, x = rng.normal(size=(8, 8)), rng.normal(size=8), rng.normal(size=8)
    r = b - a @ x
    for length in (1, 3, 8):
        space = np.stack([np.linalg.matrix_power(a, k) @ r for k in range(length)], 1)
        best = np.linalg.norm(r - a @ space @ np.linalg.lstsq(a @ space, r)[0])
        found = gmres_cycle(lambda v: jnp.asarray(a) @ v, jnp.asarray(b), x, length)
        # the comparison's own basis is ill-conditioned
        assert np.linalg.norm(b - a @ found) == pytest.approx(best, rel=1e-6, abs=1e-8)
    # an invariant subspace, met early
    exact = gmres_cycle(lambda v: 2.0 * v, jnp.asarray(b), jnp.zeros(8), 5)
    np.testing.assert_allclose(exact, b / 2, rtol=1e-14)
