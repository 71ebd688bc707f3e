"""Baselines of matrix sensing: they recover, or stop and say what to do."""

import numpy as np
import pytest
from tests.optimize.sensing_instances import population, semidefinite

import lemmata as lm
from lemmata.core import InvalidMethod
from lemmata.optimize import (
    AlternatingLeastSquares,
    FourierOperator,
    GaussianOperator,
    IdentityOperator,
    LowRank,
    MaskOperator,
    MatrixSensing,
    NuclearNormFISTA,
    Planted,
    RankOneOperator,
    ScaledGradientDescent,
    SpectralStart,
)

RNG = np.random.default_rng(0)
TRUTH = LowRank(RNG.normal(size=(12, 1)), RNG.normal(size=(10, 1)))
INDEX = RNG.permutation(120)[:90]
GAUSSIAN = GaussianOperator((12, 10), 110, key=3)
METHODS = {
    "scaled": ScaledGradientDescent(2),
    "scaled, spectral": ScaledGradientDescent(2, start=SpectralStart()),
    "least squares": AlternatingLeastSquares(1),
    "nuclear norm": NuclearNormFISTA(),
}


def error(solution) -> float:
    return float(np.linalg.norm(solution.value.matrix() - TRUTH.matrix()))


@pytest.mark.parametrize("name", METHODS)
def test_baselines_recover_a_planted_matrix(name):
    problem = Planted.of(GAUSSIAN, TRUTH, rtol=1e-9)
    solution = lm.solve(problem, METHODS[name])
    # the smallest gain of this operator on rank 3 differences is about 0.2
    assert error(solution) < 1e-8 * np.linalg.norm(TRUTH.matrix())
    assert solution.citation()


@pytest.mark.parametrize(
    "operator",
    [
        MaskOperator((12, 10), INDEX // 10, INDEX % 10),
        FourierOperator((12, 10), INDEX[:60] // 10, INDEX[:60] % 10),
        RankOneOperator(RNG.normal(size=(120, 12)), RNG.normal(size=(120, 10))),
    ],
    ids=lambda operator: operator.name,
)
def test_least_squares_work_with_every_operator(operator):
    problem = Planted.of(operator, TRUTH, rtol=1e-9)
    solution = lm.solve(problem, AlternatingLeastSquares(1))
    assert error(solution) < 1e-7 * np.linalg.norm(TRUTH.matrix())


def test_scaled_descent_of_one_factor_is_linear_beyond_the_rank():
    problem = population(12, (1.0, 0.1), rtol=1e-12)
    solution = lm.solve(problem, ScaledGradientDescent(5, symmetric=True))
    np.testing.assert_array_equal(solution.value.left, solution.value.right)
    assert solution.stats.trace["gradient_steps"][-1] <= 200
    fixed = ScaledGradientDescent(5, symmetric=True, adaptive=False)
    slow = lm.solve(problem, fixed, max_steps=20, throw=False)
    assert slow.stats.trace["residual"][-1] > 1e-6


def test_nuclear_norm_answers_with_one_factor_where_the_matrix_is_semidefinite():
    truth = semidefinite(8, (1.0,))
    operator = GaussianOperator((8, 8), 50, key=1)
    problem = Planted.of(operator, truth, psd=True, rtol=1e-7)
    solution = lm.solve(problem, NuclearNormFISTA())
    np.testing.assert_array_equal(solution.value.left, solution.value.right)
    away = np.linalg.norm(solution.value.matrix() - truth.matrix())
    assert away < 1e-6


def test_nuclear_norm_solves_its_convex_problem():
    """Proximal fixed point at the last penalty, checked by NumPy's own SVD."""
    y = np.asarray(GAUSSIAN.stored) @ TRUTH.matrix().reshape(-1)
    strength = 0.05
    method = NuclearNormFISTA(strength=strength, decay=0.9, patience=400)
    problem = MatrixSensing(GAUSSIAN, y, rtol=1e-12)
    solution = lm.solve(problem, method, max_steps=3_000, throw=False)
    assert solution.result.name == "stalled"  # at the bias of the penalty
    matrix = solution.value.matrix()
    a = np.asarray(GAUSSIAN.stored)
    slope = ((a @ matrix.reshape(-1) - y) @ a).reshape(12, 10) / 110
    penalty = strength * np.linalg.norm(matrix)
    u, s, vt = np.linalg.svd(matrix - slope)
    shrunk = u[:, :10] * np.maximum(s - penalty, 0) @ vt
    assert np.linalg.norm(shrunk - matrix) < 1e-6 * np.linalg.norm(matrix)


def test_noise_stalls_a_run_and_the_reason_says_what_to_do():
    noise = np.random.default_rng(1).normal(size=110)
    y = np.asarray(GAUSSIAN.stored) @ TRUTH.matrix().reshape(-1)
    problem = MatrixSensing(GAUSSIAN, y + 0.1 * noise)
    for method in (AlternatingLeastSquares(1), ScaledGradientDescent(1)):
        solution = lm.solve(problem, method, throw=False)
        assert solution.result.name == "stalled"
        assert "rtol" in solution.result.sentence
        assert not solution.certificate["measurement_residual"].holds
    good = MatrixSensing(GAUSSIAN, y + 0.1 * noise, rtol=0.2)
    assert lm.solve(good, ScaledGradientDescent(1)).certified


def test_a_width_that_does_not_fit_is_refused():
    problem = MatrixSensing(IdentityOperator((3, 2)), np.ones((3, 2)))
    for method in (AlternatingLeastSquares(3), ScaledGradientDescent(3)):
        with pytest.raises(InvalidMethod, match="width: expected at most 2"):
            lm.solve(problem, method)
    with pytest.raises(InvalidMethod, match="psd=True"):
        lm.solve(problem, ScaledGradientDescent(1, symmetric=True))
