"""Selections: scores compared with their formulas, written out with NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lemmata.core import InvalidMethod
from lemmata.core._arrays import to_jax
from lemmata.core._chunk import begin
from lemmata.optimize import (
    GS,
    GSD,
    GSL,
    GSQ,
    L1,
    BlockCoordinateDescent,
    CompositeProblem,
    CoordinateBound,
    CyclicSelection,
    Exhaustive,
    LeastSquares,
    LipschitzSampling,
    MatrixUpdate,
    MaximumImprovement,
    OrderedBlocks,
    RandomSelection,
    RowSumBound,
    SizeBound,
    TopDiagonal,
    VariableBlocks,
)
from lemmata.optimize._block_choice import view_of as _view

RNG = np.random.default_rng(4)
DESIGN = RNG.normal(size=(20, 7)) * np.geomspace(1, 30, 7)
TARGET = RNG.normal(size=20)
H, G = DESIGN.T @ DESIGN, -DESIGN.T @ TARGET
LENGTHS = np.diag(H)
PAIRS = [np.array(b) for b in ([0, 1, 2], [3, 4, 5], [6])]


def view_of(select, partition, penalty=None, key=0, step=0):
    problem = CompositeProblem(LeastSquares(DESIGN, TARGET), penalty)
    method = BlockCoordinateDescent(partition, select, MatrixUpdate(), record=0)
    if penalty is not None:
        method = BlockCoordinateDescent(partition, select, record=0)
    state = begin(to_jax(problem), to_jax(method), jax.random.key(key))
    return _view(problem, state)._replace(step=jnp.asarray(step))


def blocks(select, **options):
    with jax.enable_x64(True):
        view = view_of(select, OrderedBlocks(3), **options)
        return np.asarray(select.of_blocks(view))


def coordinates(select, size=3, **options):
    with jax.enable_x64(True):
        view = view_of(select, VariableBlocks(size), **options)
        return np.asarray(select.of_coordinates(view))


def test_greedy_scores_of_blocks():
    top = [np.linalg.eigvalsh(H[np.ix_(b, b)])[-1] for b in PAIRS]
    square = [np.sum(G[b] ** 2) for b in PAIRS]
    # the model decrease is half of the square over the constant
    np.testing.assert_allclose(blocks(GS()), np.divide(square, 2 * LENGTHS.max()))
    np.testing.assert_allclose(blocks(GSL()), np.divide(square, 2 * np.array(top)))
    for bound, d in (
        (SizeBound(), 3 * LENGTHS),
        (RowSumBound(), np.abs(H).sum(axis=1)),
        (CoordinateBound(), LENGTHS),
    ):
        expected = [np.sum(G[b] ** 2 / (2 * d[b])) for b in PAIRS]
        np.testing.assert_allclose(blocks(GSD(bound)), expected)
    exact = [G[b] @ np.linalg.solve(H[np.ix_(b, b)], G[b]) for b in PAIRS]
    np.testing.assert_allclose(blocks(GSQ()), exact, rtol=1e-9)


def test_with_a_penalty_scores_are_decreases_of_the_model():
    strength = 0.3 * np.abs(G).max()
    found = coordinates(GSL(), penalty=L1(strength))
    grid = np.linspace(-1, 1, 20001)[:, None]
    model = G * grid + LENGTHS / 2 * grid**2 + strength * np.abs(grid)
    # the grid's step is 1e-4, curvature at most 2e4: its minimum is 1e-4 off at most
    np.testing.assert_allclose(found, -model.min(axis=0), atol=3e-4)
    assert np.any(found == 0)


def test_exhaustive_search_finds_the_best_block():
    every = [np.array(b) for b in itertools.combinations(range(7), 3)]
    gains = [G[b] @ np.linalg.solve(H[np.ix_(b, b)], G[b]) for b in every]
    best = every[int(np.argmax(gains))]
    problem = CompositeProblem(LeastSquares(DESIGN, TARGET))
    for select in (GSQ(Exhaustive()), MaximumImprovement()):
        with jax.enable_x64(True):
            method = BlockCoordinateDescent(VariableBlocks(3), select, MatrixUpdate())
            problem, method = to_jax(problem), to_jax(method)
            state = begin(problem, method, jax.random.key(0))
            state = jax.jit(method.step)(problem, state)
        assert np.asarray(state.block).tolist() == best.tolist()


def test_thresholding_is_at_least_as_good_as_the_diagonal():
    def gain(select):
        b = np.argsort(-coordinates(select), kind="stable")[:3]
        return G[b] @ np.linalg.solve(H[np.ix_(b, b)], G[b])

    assert gain(GSQ()) >= gain(GSQ(TopDiagonal())) * (1 - 1e-12)
    assert np.all(np.isfinite(coordinates(GSQ())))


def test_cycles_visit_everything_once_a_pass():
    seen = [np.flatnonzero(blocks(CyclicSelection(), step=k))[0] for k in range(3)]
    assert seen == [0, 1, 2]
    passes = []
    for start in (0, 3):
        chosen = [
            np.flatnonzero(coordinates(CyclicSelection(), step=start + k) == 0)
            for k in range(3)
        ]
        assert [c.size for c in chosen] == [3, 3, 1]
        assert np.array_equal(np.sort(np.concatenate(chosen)), np.arange(7))
        passes.append(np.concatenate(chosen).tolist())
    assert passes[0] != passes[1]


@pytest.mark.parametrize("select", [RandomSelection(), LipschitzSampling()])
def test_sampling_frequencies(select):
    with jax.enable_x64(True):
        view = view_of(select, OrderedBlocks(3))
        constants = np.asarray(view.tables.constants)

        def draw(step):
            return jnp.argmax(select.of_blocks(view._replace(step=step)))

        drawn = np.asarray(jax.jit(jax.vmap(draw))(jnp.arange(4000)))
    weights = np.ones(3) if isinstance(select, RandomSelection) else constants
    expected = weights / weights.sum()
    found = np.bincount(drawn, minlength=3) / 4000
    # four standard deviations of a binomial share
    np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(0.25 / 4000))


def test_ties_go_to_the_smaller_index():
    problem = CompositeProblem(LeastSquares(np.eye(6), np.ones(6)))
    with jax.enable_x64(True):
        method = BlockCoordinateDescent(VariableBlocks(2), GSL(), MatrixUpdate())
        problem, method = to_jax(problem), to_jax(method)
        state = begin(problem, method, jax.random.key(0))
        state = jax.jit(method.step)(problem, state)
    assert np.asarray(state.block).tolist() == [0, 1]


def test_exact_search_over_many_variables_is_refused():
    design = np.ones((3, 21))
    problem = CompositeProblem(LeastSquares(design, np.ones(3)))
    for select in (GSQ(Exhaustive()), MaximumImprovement()):
        method = BlockCoordinateDescent(VariableBlocks(5), select, MatrixUpdate())
        with (
            jax.enable_x64(True),
            pytest.raises(InvalidMethod, match=r"select: .*at most 20 variables.*21"),
        ):
            method.init(problem, jax.random.key(0))
