"""The pressure equation: stencil, walls, closed regions, certificates of any answer."""

import jax
import numpy as np
import pytest
import scipy.sparse.linalg as sla

import lemmata as lm
from lemmata.core import InvalidProblem
from lemmata.linear import (
    AIR,
    FLUID,
    SOLID,
    ConjugateGradients,
    DeepConjugateDirection,
    GridPoisson,
    IncompleteCholesky,
    ResidualDirections,
)

RNG = np.random.default_rng(0)


def mixed(shape, seed=0):
    rng = np.random.default_rng(seed)
    cells = rng.choice([AIR, FLUID, FLUID, FLUID, SOLID], size=shape)
    return GridPoisson(cells, rng.normal(size=shape) * (cells == FLUID), spacing=0.3)


def by_hand(problem):
    """The matrix, entry by entry from the definition."""
    cells = np.asarray(problem.cells)
    found = np.zeros((cells.size, cells.size))
    number = np.arange(cells.size).reshape(cells.shape)
    for place in np.ndindex(cells.shape):
        degree, row = 0, number[place]
        for axis in range(cells.ndim):
            for step in (-1, 1):
                beside = list(place)
                beside[axis] += step
                inside = 0 <= beside[axis] < cells.shape[axis]
                code = cells[tuple(beside)] if inside else AIR
                degree += code != SOLID
                if code == FLUID and cells[place] == FLUID:
                    found[row, number[tuple(beside)]] = -1
        if cells[place] != FLUID or degree == 0:
            found[row], degree = 0, 2 * cells.ndim
        found[row, row] = degree
    return found / problem.spacing**2


@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 2)])
def test_stencil_and_matrix_are_the_definition(shape):
    problem = mixed(shape)
    expected = by_hand(problem)
    np.testing.assert_allclose(problem.matrix().toarray(), expected, rtol=1e-14)
    assert np.array_equal(expected, expected.T)
    x = RNG.normal(size=problem.size)
    with jax.enable_x64(True):
        image = np.asarray(problem.apply(jax.numpy.asarray(x)))
        diagonal = np.asarray(problem.diagonal())
    # sums of at most seven products, two more roundings for the spacing
    np.testing.assert_allclose(image, expected @ x, rtol=1e-13, atol=1e-12)
    np.testing.assert_allclose(diagonal, np.diag(expected), rtol=1e-15)


def test_box_eigenvalue_is_the_formula():
    problem = GridPoisson(np.ones((5, 7)), np.zeros((5, 7)))
    least, vector = problem.least_eigenvalue()
    formula = sum(4 * np.sin(np.pi / (2 * (n + 1))) ** 2 for n in (5, 7))
    # the ratio (A v)_i / v_i is formed from rounded numbers of size one
    assert least == pytest.approx(formula, rel=1e-12)
    assert np.all(vector > 0)


@pytest.mark.parametrize("seed", range(4))
def test_least_eigenvalue_is_a_lower_bound_among_obstacles(seed):
    problem = mixed((6, 7), seed)
    if problem.is_singular:
        pytest.skip("a closed region: nothing is bounded there")
    least, _ = problem.least_eigenvalue()
    true = np.linalg.eigvalsh(by_hand(problem))[0]
    assert 0.2 * true < least <= true * (1 + 1e-12)


def closed_box():
    """A walled region of 2 by 3 cells, and one open to the air."""
    cells = np.full((5, 9), SOLID)
    cells[1:3, 1:4] = FLUID
    cells[1:4, 5:8] = FLUID
    cells[1, 8] = AIR
    return cells


def test_closed_regions_are_solved_up_to_their_constant():
    cells = closed_box()
    rhs = RNG.normal(size=cells.shape) * (cells == FLUID)
    rhs[1:3, 1:4] -= rhs[1:3, 1:4].mean()
    problem = GridPoisson(cells, rhs, rtol=1e-9)
    assert problem.is_singular
    solution = lm.solve(problem, DeepConjugateDirection(ResidualDirections()))
    assert solution.certified
    x = np.asarray(solution.value.x).reshape(cells.shape)
    assert abs(x[1:3, 1:4].mean()) < 1e-12  # the constant is projected out at the end
    least_squares = np.linalg.lstsq(by_hand(problem), rhs.ravel(), rcond=None)[0]
    # lambda_min on the complement of constants is 0.6: 1e-9 / 0.6 times ||b|| ~ 5
    np.testing.assert_allclose(x.ravel(), least_squares, atol=2e-8)
    reasons = {w.id: w.reason for w in solution.certificate.withheld}
    assert "no air" in reasons["linear.error_bound/1"]


def test_inconsistent_region_is_named_with_its_sum():
    cells = closed_box()
    rhs = np.zeros(cells.shape)
    rhs[1, 1] = 0.25
    with pytest.raises(InvalidProblem, match=r"region 1.*sum of 0\.25"):
        GridPoisson(cells, rhs)


def test_walled_in_cell_has_no_equation():
    cells = np.full((3, 3), SOLID)
    cells[1, 1] = FLUID
    problem = GridPoisson(cells, np.zeros((3, 3)))
    assert not problem.is_singular
    assert lm.solve(problem).certified
    with pytest.raises(InvalidProblem, match="region 1"):
        GridPoisson(cells, (cells == FLUID) * 1.0)


def test_foreign_answers_are_judged():
    problem = mixed((6, 7), 1)
    x = sla.spsolve(problem.matrix().tocsc(), problem.rhs)
    good = lm.certify(problem, problem.candidate(x=x.reshape(6, 7)))
    assert good.certified
    assert good.certificate["error_bound"].measured < 1e-12
    changed = x.copy()
    changed[np.flatnonzero(np.asarray(problem.active).ravel())[3]] += 1e-3
    bad = lm.certify(problem, problem.candidate(x=changed))
    assert not any(d.holds for d in bad.certificate.decisions)


def test_incomplete_cholesky_agrees_with_scipy():
    problem = mixed((7, 8), 2)
    found = lm.solve(problem, ConjugateGradients(IncompleteCholesky()))
    expected = sla.spsolve(problem.matrix().tocsc(), problem.rhs)
    # rtol 1e-8 over a condition number below 100
    np.testing.assert_allclose(found.value.x, expected, atol=1e-6, rtol=1e-6)


def test_pack_and_unpack():
    problem = mixed((4, 5))
    packed = problem.pack()
    again = GridPoisson.unpack(packed.json, packed.arrays)
    assert again.pack().json == packed.json
    for name, array in packed.arrays.items():
        np.testing.assert_array_equal(again.pack().arrays[name], array)
