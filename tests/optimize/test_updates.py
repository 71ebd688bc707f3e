"""Updates: block quadratics against scikit-learn and NNLS, decreases, exact zeros."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear, nnls

from lemmata.core import run
from lemmata.core._arrays import to_jax
from lemmata.core._chunk import begin
from lemmata.optimize import (
    GS,
    L1,
    BacktrackingUpdate,
    BlockCoordinateDescent,
    Box,
    CompositeProblem,
    CyclicSelection,
    ExactUpdate,
    GradientUpdate,
    LeastSquares,
    Logistic,
    MatrixUpdate,
    NewtonUpdate,
    NonNegativeL1,
    OrderedBlocks,
    ProximalGradientUpdate,
    ProximalNewtonUpdate,
    Softmax,
    TwoMetricUpdate,
    VariableBlocks,
)
from lemmata.optimize._block_quadratic import (
    Face,
    Terms,
    minimise_quadratic,
    newton_direction,
)
from lemmata.optimize._block_search import pseudo_inverse, solve_or_pseudo

SOLVE = jax.jit(minimise_quadratic)


def quadratic(seed, rank=12, size=10):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(rank, size))
    return root, root @ np.where(rng.random(size) < 0.5, rng.normal(size=size), 0)


def minimised(root, target, x, terms):
    h = root.T @ root
    g = h @ x - root.T @ target
    with jax.enable_x64(True):
        return np.asarray(SOLVE(h, g, x, Terms(*(np.full(10, t) for t in terms))))


@pytest.mark.parametrize("count", [0, 1, 128, 129, 192, 193, 256])
def test_directions_of_large_blocks_agree_with_numpy(count):
    """Whatever the size in which the free coordinates are factored."""
    rng = np.random.default_rng(count)
    root, slope = rng.normal(size=(300, 256)), rng.normal(size=256)
    free = np.zeros(256, bool)
    free[rng.permutation(256)[:count]] = True
    h = root.T @ root
    with jax.enable_x64(True):
        found = jax.jit(newton_direction)(h, Face(slope, -slope, slope, free))
    expected = np.zeros(256)
    expected[free] = np.linalg.solve(h[np.ix_(free, free)], -slope[free])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_block_quadratics_agree_with_other_solvers(seed):
    root, target = quadratic(seed)
    x = np.random.default_rng(seed + 50).normal(size=10)
    inf, start = np.inf, np.abs(x)
    found = minimised(root, target, start, (0.0, 0.0, inf))
    np.testing.assert_allclose(found, nnls(root, target)[0], atol=1e-9)
    found = minimised(root, target, np.clip(x, -0.1, 0.2), (0.0, -0.1, 0.2))
    boxed = lsq_linear(root, target, (-0.1, 0.2), tol=1e-14, method="bvls").x
    np.testing.assert_allclose(found, boxed, atol=1e-9)
    strength = 0.2 * np.abs(root.T @ target).max()
    from sklearn.linear_model import Lasso

    peer = Lasso(strength / 12, fit_intercept=False, tol=1e-15, max_iter=10**6)
    found = minimised(root, target, x, (strength, -inf, inf))
    np.testing.assert_allclose(found, peer.fit(root, target).coef_, atol=1e-6)
    slope = root.T @ (root @ found - target)
    residual = np.where(
        found != 0, slope + strength * np.sign(found), np.maximum(abs(slope), strength)
    )
    assert np.abs(np.where(found != 0, residual, residual - strength)).max() <= (
        1e-11 * np.abs(root.T @ target).max()
    )


def test_a_singular_block_is_still_minimised():
    root, target = quadratic(3, rank=4)
    strength = 0.1 * np.abs(root.T @ target).max()
    found = minimised(root, target, np.ones(10), (strength, -np.inf, np.inf))
    slope = root.T @ (root @ found - target)
    assert np.all(np.abs(slope) <= strength * (1 + 1e-7))
    np.testing.assert_allclose(
        slope[found != 0], -strength * np.sign(found[found != 0]), rtol=1e-6
    )


def test_pseudo_inverse_where_singular():
    root = np.random.default_rng(0).normal(size=(3, 5))
    h, g = root.T @ root, root.T @ np.ones(3)
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(solve_or_pseudo)(h, g))
        inverse = np.asarray(pseudo_inverse(jnp.asarray(h)))
    np.testing.assert_allclose(found, np.linalg.pinv(h, rcond=1e-12) @ g, atol=1e-9)
    np.testing.assert_allclose(inverse, np.linalg.pinv(h, rcond=1e-12), atol=1e-8)


RNG = np.random.default_rng(5)
DESIGN = RNG.normal(size=(30, 8)) * np.geomspace(0.3, 3, 8)
LABELS = np.where(DESIGN @ RNG.normal(size=8) + RNG.normal(size=30) > 0, 1.0, -1.0)


@eqx.filter_jit
def _step(problem, method, state):
    return method.step(problem, state)


def values(problem, update, partition=None, steps=25, select=None):
    partition = VariableBlocks(3) if partition is None else partition
    method = BlockCoordinateDescent(partition, select or GS(), update, record=0)
    out = []
    with jax.enable_x64(True):
        problem, method = to_jax(problem), to_jax(method)
        state = begin(problem, method, jax.random.key(0))
        for _ in range(steps):
            out.append(float(state.objective))
            state = _step(problem, method, state)
    return np.array(out), state


@pytest.mark.parametrize(
    "update", [GradientUpdate(), BacktrackingUpdate(), MatrixUpdate(), NewtonUpdate()]
)
def test_smooth_updates_never_ascend(update):
    problem = CompositeProblem(Logistic(DESIGN, LABELS, l2=0.1))
    found, _ = values(problem, update)
    # rounding of sums of 30 terms
    assert np.all(np.diff(found) <= 1e-14 * found[0])
    assert found[-1] < 0.7 * found[0]


def test_matrix_and_exact_are_the_same_on_quadratics():
    problem = CompositeProblem(LeastSquares(DESIGN, LABELS))
    one, _ = values(problem, MatrixUpdate(), OrderedBlocks(3), 8)
    two, _ = values(problem, ExactUpdate(), OrderedBlocks(3), 8)
    assert np.array_equal(one, two)
    # one block that holds all variables: one step
    whole, _ = values(problem, ExactUpdate(), OrderedBlocks(8), 2)
    best = np.linalg.lstsq(DESIGN, LABELS, rcond=None)[1][0] / 2
    assert whole[1] == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize(
    ("update", "penalty"),
    [
        (ProximalGradientUpdate(), NonNegativeL1(1.0)),
        (ProximalNewtonUpdate(), L1(2.0)),
        (TwoMetricUpdate(), Box(-0.1, 0.3)),
        pytest.param(TwoMetricUpdate(), L1(2.0), marks=pytest.mark.slow),
        pytest.param(ProximalNewtonUpdate(), Box(-0.1, 0.3), marks=pytest.mark.slow),
        pytest.param(ProximalGradientUpdate(), L1(2.0), marks=pytest.mark.slow),
    ],
)
def test_composite_updates_never_ascend_and_reach_exact_faces(update, penalty):
    problem = CompositeProblem(Logistic(DESIGN, LABELS, l2=0.1), penalty)
    found, state = values(problem, update, steps=60, select=CyclicSelection())
    assert np.all(np.diff(found) <= 1e-14 * found[0])
    x = np.asarray(state.x)
    bound = {0.0} if not isinstance(penalty, Box) else {-0.1, 0.3}
    assert any(v in bound for v in x.tolist())  # exactly, not nearly
    assert float(state.residual) < 1e-2 * float(state.reference[1])


@pytest.mark.slow
def test_softmax_matrix_update_descends_on_digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    design = data.data[:200] / 16.0
    loss = Softmax(design, data.target[:200].astype(float), 10, l2=1e-3)
    problem = CompositeProblem(loss)
    found, _ = values(problem, MatrixUpdate(), VariableBlocks(20), steps=40)
    assert np.all(np.diff(found) < 0)  # strictly: the bound holds for any block


def test_backtracking_remembers_its_constants():
    problem = CompositeProblem(LeastSquares(DESIGN, LABELS))
    _, state = values(problem, BacktrackingUpdate(), OrderedBlocks(4), 10)
    memory = np.asarray(state.memory)
    top = [
        np.linalg.eigvalsh(DESIGN[:, b].T @ DESIGN[:, b])[-1]
        for b in (slice(0, 4), slice(4, 8))
    ]
    # doubled from 1 until they suffice: at most twice the true constant
    assert np.all(memory[[0, 4]] <= 2 * np.array(top))
    assert np.all(memory[[0, 4]] >= 1.0)


def test_run_is_pure():
    problem = CompositeProblem(LeastSquares(DESIGN, LABELS), L1(1.0))
    method = BlockCoordinateDescent(VariableBlocks(3), record=0)
    with jax.enable_x64(True):
        value, _, _ = jax.jit(lambda p: run(p, method, max_steps=100))(problem)
    assert np.all(np.isfinite(np.asarray(value.coefficients)))
